"""Who has an account at each contestant, and what each answers. The number of accounts comes from BENCHMARK_PEOPLE."""

import os

PASSWORD = "seven lanterns over the harbour"
SECRET = "a secret of forty-two bytes for benchmarks"
EMAILS = [f"person{number}@example.com" for number in range(int(os.environ.get("BENCHMARK_PEOPLE", "1")))]
ITEMS = {"items": ["Foo", "Bar", "Baz"]}
DATABASE_URL = os.environ.get("BENCHMARK_DATABASE_URL", "sqlite+aiosqlite://")
"""An empty database; without one, SQLite in memory."""
