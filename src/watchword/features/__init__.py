"""Annexes: what an application adds to the house by `Auth(features=[…])`. Each has the house's floors inside."""
