"""The cellar that remembers: adapters of `ports`. Stores answer; flows decide."""
