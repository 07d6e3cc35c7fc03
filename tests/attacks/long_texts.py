"""Run by `test_bounds.py`: every pattern and every reader of the package meets long texts that make a bad one start again."""

import contextlib
import importlib
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import watchword
from watchword.core import account_lines, emails, jose, opaque, scopes, strict_json
from watchword.core.errors import AuthError, ConfigError
from watchword.core.passwords import check, hashable
from watchword.refusals import is_loopback, web_address
from watchword.server.app import CONTROL
from watchword.server.doctor.attacks.answers import SOFTWARE, TELLS
from watchword.web import client, device

SIZE = 64 * 1024
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SEARCHED = {CONTROL, SOFTWARE, TELLS}
"""All others are only matched from the beginning."""

SEEDS = [
    *'a@.-_/:[]\\"01$=+ ()%,{é\nﬃ\u0300İß\ufdfa',
    *("a@", "@a", "a.", "a-", "9.", "a b", "((", "x;", "a@a.", "%25", '{"a":', "\r\n", "a\u0300\u0316", "\u1e9b\u0323"),
    *("://", "http://a", "https://a/", 'File "', "Internal Server Error", "wwr_", "$argon2id$v=19$m=1,t=1,p=1$"),
    *("pbkdf2_sha256$1$", "Mozilla/5.0 (", "Version/1.", "Chrome/1 "),
]
TEXTS = [(seed * SIZE)[:SIZE] + end for seed in SEEDS for end in ("", "!", "@example.com", "\n")]


def patterns() -> Iterator[re.Pattern[str]]:
    for module in pkgutil.walk_packages(watchword.__path__, "watchword."):
        if "__main__" not in module.name and "migrations" not in module.name:
            named = vars(importlib.import_module(module.name)).values()
            yield from (value for value in named if isinstance(value, re.Pattern))


def readers(text: str) -> Iterator[Callable[[], object]]:
    """Whatever reads what a client, an operator or an import says; capped where its callers cap."""
    line = json.dumps({"email": "ada@example.com", "password_hash": text[:20_000]}).encode()
    yield lambda: emails.accept_email(text)
    yield lambda: emails.accept_username(text)
    yield lambda: emails.fold(text)
    yield lambda: scopes.parse(text)
    yield lambda: opaque.parse(text, (bytes(32),))
    yield lambda: jose.verify(text, jose.KeySet(()))
    yield lambda: jose.b64decode(text)
    yield lambda: strict_json.loads(text.encode(), "payload")
    yield lambda: account_lines.read(1, text.encode(), NOW)
    yield lambda: account_lines.read(1, line, NOW)
    yield lambda: client.printable(text)
    yield lambda: client.is_local(text)
    yield lambda: is_loopback(text)
    yield lambda: web_address(text)
    yield lambda: hashable(text)
    yield lambda: check(text, 15, (text[:200],))
    yield lambda: check(text[:1024], 15, (text[:200],))
    yield lambda: device.name(text[: client.MAX_USER_AGENT])


def main() -> None:
    found: set[Any] = set(patterns())
    assert len(found) >= 20, found
    for text in TEXTS:
        for pattern in found:
            of_bytes = isinstance(pattern.pattern, bytes)
            fitting = text.encode() if of_bytes else text
            pattern.fullmatch(fitting)
            pattern.match(fitting)
        for pattern in SEARCHED:
            pattern.search(text)
        for read in readers(text):
            with contextlib.suppress(AuthError, ConfigError):
                read()
    sys.stdout.write("linear\n")


if __name__ == "__main__":
    main()
