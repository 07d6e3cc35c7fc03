"""What an application's author sees of `Settings`. Checked by mypy and pyright, never run."""

from pathlib import Path
from typing import Literal, assert_type

from pydantic import SecretStr

from watchword import Settings

settings = Settings(issuer="https://auth.example.com", registration="closed")

assert_type(settings.issuer, str)
assert_type(settings.database_url, SecretStr | None)
assert_type(settings.data_dir, Path)
assert_type(settings.signing_alg, Literal["ES256", "Ed25519", "RS256", "HS256"])
assert_type(settings.access_ttl, int)
assert_type(settings.trusted_proxies, tuple[str, ...])
assert_type(settings.loopback, bool)
