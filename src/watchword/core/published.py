"""What an issuer publishes for other services, read as strictly as a token: metadata (RFC 8414), keys (RFC 7517)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from watchword.core import strict_json
from watchword.core.errors import InvalidToken, Unavailable
from watchword.core.jose import KeySet

WELL_KNOWN = "/.well-known/oauth-authorization-server"
REVOCATIONS = "watchword_revocations_uri"
"""The member of the metadata that is ours. RFC 8414 2 allows more."""

PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
"""Members of a JWK that nobody may publish. RFC 7518 6.2.2, 6.3.2, 6.4."""

ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>\d{1,5}))?"
    r"(?P<rest>(/[A-Za-z0-9._~%/\-]*)?(\?[A-Za-z0-9._~%/&=\-]*)?)"
)
"""What two parsers of addresses read alike: no user, no fragment, no white space, no backslash."""

PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Metadata:
    """Where an issuer's things are. All of it is on the issuer's own origin."""

    jwks_uri: str
    revocations_uri: str | None = None


@dataclass(frozen=True, slots=True)
class PublishedKeys:
    """A published key set. What stands in it verifies, unless the issuer has said since that it was `retired`."""

    keys: KeySet
    retired: frozenset[str] = frozenset()

    def alive(self, kid: str, timestamp: float) -> bool:  # noqa: ARG002 - a published key has no deadline
        """See `keys.VerifyingRing`."""
        return kid in self.keys and kid not in self.retired


def metadata_urls(issuer: str) -> tuple[str, ...]:
    """Where the metadata may be: RFC 8414 3.1 puts it before the issuer's path, OpenID Connect Discovery behind it."""
    match = ADDRESS.fullmatch(issuer)
    path = match["rest"].rstrip("/") if match else ""
    root = issuer.rstrip("/").removesuffix(path)
    return (f"{root}{WELL_KNOWN}{path}", f"{root}{path}{WELL_KNOWN}") if path else (root + WELL_KNOWN,)


def read_metadata(raw: bytes, issuer: str) -> Metadata:
    """The metadata of this issuer, letter by letter. Raises Unavailable.

    Metadata of another issuer would bring another's keys. RFC 8414 3.3.
    """
    members = _object(raw, "metadata")
    if members.get("issuer") != issuer:
        raise Unavailable("the metadata is of another issuer")
    return Metadata(
        jwks_uri=_address(members, "jwks_uri", issuer),
        revocations_uri=_address(members, REVOCATIONS, issuer) if REVOCATIONS in members else None,
    )


def read_keys(raw: bytes) -> PublishedKeys:
    """The published keys. Raises Unavailable for a set that is malformed, weak, or holds a secret."""
    members = _object(raw, "key set")
    listed = members.get("keys")
    for jwk in listed if isinstance(listed, list) else []:
        if isinstance(jwk, Mapping) and (jwk.keys() & PRIVATE or jwk.get("kty") == "oct"):
            raise Unavailable("the issuer's key set holds a secret, so whoever reads it can sign")
    try:
        return PublishedKeys(KeySet.from_jwks(members))
    except InvalidToken as error:
        raise Unavailable(f"the issuer's key set is not usable: {error.because}") from error


def _object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        return strict_json.loads(raw, what)
    except InvalidToken as error:
        raise Unavailable(f"the issuer's {what} is not usable: {error.because}") from error


def _address(members: Mapping[str, Any], name: str, issuer: str) -> str:
    """An address on the issuer's own origin: whoever can write the metadata names nobody else's keys."""
    address = members.get(name)
    if not isinstance(address, str) or _origin(address) is None or _origin(address) != _origin(issuer):
        raise Unavailable(f"the metadata's {name} is not an address on the issuer's own origin")
    return address


def _origin(address: str) -> tuple[str, str, int] | None:
    """RFC 6454 4."""
    match = ADDRESS.fullmatch(address)
    if match is None:
        return None
    return match["scheme"], match["host"].lower(), int(match["port"] or PORTS[match["scheme"]])
