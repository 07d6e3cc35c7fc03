"""Secrets that would be recognised anywhere, and the search for them in every form in which one could have leaked."""

import base64
import binascii
import json
import logging
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

import httpx2
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from tests.house import House, Login

from watchword.core.jose import SigningKey


def forms(secret: bytes) -> set[bytes]:
    """The secret as it is, and as it would be written: hex, base64 and base64url, quoted, as JSON and as repr write it."""
    plain = base64.b64encode(secret).rstrip(b"=")
    made = {secret, binascii.hexlify(secret), binascii.hexlify(secret).upper(), plain}
    made |= {base64.urlsafe_b64encode(secret).rstrip(b"="), repr(secret)[2:-1].encode()}
    try:
        text = secret.decode()
    except UnicodeDecodeError:
        return made
    return made | {quote(text).encode(), quote_plus(text).encode(), json.dumps(text)[1:-1].encode()}


@dataclass
class Canaries:
    """The secrets of a run, each with its name."""

    secrets: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, secret: str | bytes) -> None:
        raw = secret.encode() if isinstance(secret, str) else secret
        assert len(raw) >= 12, "a shorter one would be found by chance"
        self.secrets[f"{name} {len(self.secrets)}"] = raw

    def add_login(self, login: Login) -> None:
        """Both tokens, and those parts of each that are secret: the signature, and what a refresh token consists of."""
        self.add("access token", login.access)
        self.add("signature", login.access.rpartition(".")[2])
        self.add("refresh token", login.refresh)
        for part in login.refresh.split(".")[2:]:
            self.add("part of a refresh token", part)
            self.add("part of a refresh token, raw", base64.urlsafe_b64decode(part + "=="))

    def add_key(self, key: SigningKey) -> None:
        """A private key, as it is serialised and as a number."""
        self.add("private key", key.private_bytes())
        assert isinstance(key.material, EllipticCurvePrivateKey)
        self.add("private number", key.material.private_numbers().private_value.to_bytes(32))

    def found(self, where: str, haystack: str | bytes) -> list[str]:
        """Which secrets lie there, in whatever form."""
        hay = haystack.encode("utf-8", "surrogatepass") if isinstance(haystack, str) else haystack
        return [
            f"{name} in {where}" for name, secret in self.secrets.items() if any(form in hay for form in forms(secret))
        ]


def logged(records: Iterable[logging.LogRecord]) -> str:
    """All that the records hold: text, arguments, tracebacks with their causes. The test's own client is not ours."""
    lines = []
    for record in records:
        if record.name.startswith(("httpx2", "httpcore2")):
            continue
        lines += [record.getMessage(), repr(record.args), repr(vars(record))]
        if record.exc_info and record.exc_info[1]:
            lines += traceback.format_exception(record.exc_info[1])
    return "\n".join(lines)


def told(answers: Iterable[httpx2.Response]) -> str:
    return "\n".join(f"{answer.status_code} {dict(answer.headers)} {answer.text}" for answer in answers)


async def stored(house: House) -> bytes:
    """Every byte of the SQLite file and what lies beside it, or every value of every table in PostgreSQL."""
    from sqlalchemy import text

    assert house.auth._home is not None
    db = house.auth._home.db
    if db.path is not None:
        return b"".join(path.read_bytes() for path in sorted(db.path.parent.glob(f"{db.path.name}*")))
    names = "SELECT tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    held = []
    async with db.read() as connection:
        for (name,) in (await connection.execute(text(names))).all():
            for row in await connection.execute(text(f'SELECT * FROM "{name}"')):
                held += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return b"\n".join(held)
