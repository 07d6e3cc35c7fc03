"""Spoofed forwarding headers and hosts: who the client is and what the server is called is not the client's to say."""

from typing import Any

from starlette.requests import HTTPConnection

from watchword.server.doctor.attack import Accepted, Attack, NotTried, Scene, must_refuse
from watchword.web import client
from watchword.web.wellknown import METADATA

EVIL = "evil.example"
HOSTS = (
    {"X-Forwarded-Host": EVIL},
    {"X-Forwarded-Proto": "gopher", "X-Forwarded-Port": "70"},
    {"Forwarded": f"host={EVIL};proto=gopher"},
    {"X-Original-Host": EVIL, "X-Host": EVIL, "X-Forwarded-Server": EVIL},
    {"X-Original-URL": f"//{EVIL}/", "X-Rewrite-URL": f"//{EVIL}/", "X-Forwarded-Prefix": f"//{EVIL}"},
)
SPOOFED = {
    "X-Forwarded-For": "203.0.113.66",
    "Forwarded": "for=203.0.113.67",
    "X-Real-IP": "203.0.113.68",
    "X-Client-IP": "203.0.113.69",
    "True-Client-IP": "203.0.113.70",
    "CF-Connecting-IP": "203.0.113.71",
    "X-Cluster-Client-IP": "203.0.113.72",
}
"""Addresses for documentation, nobody's. RFC 5737 3."""


async def address(scene: Scene) -> None:
    """CWE-348: an address that the client chose would stand in the list of sessions, and count for limits."""
    peer = await _listed_address(scene, {})
    if peer is not None and _trusted(peer, scene.settings.trusted_proxies):
        raise NotTried(f"this machine ({peer}) is one of WATCHWORD_TRUSTED_PROXIES; try from another one")
    shown = await _listed_address(scene, SPOOFED)
    for name, value in SPOOFED.items():
        if shown == value:
            raise Accepted(f"{name} was believed")


async def _listed_address(scene: Scene, headers: dict[str, str]) -> str | None:
    """The address of a new session, as its own list shows it."""
    guest = scene.guests().one
    form = {"username": guest.user.email, "password": guest.password}
    login = await scene.visitor.send("POST", f"{scene.prefix}/login", form=form, headers=headers)
    token = login.fields().get("access_token")
    if login.status != 200 or not isinstance(token, str):
        raise NotTried(f"the doctor's own login was answered with {login.status}")
    listed: Any = (await scene.visitor.send("GET", f"{scene.prefix}/sessions", token=token)).json()
    rows = listed if isinstance(listed, list) else []
    current = [row for row in rows if isinstance(row, dict) and row.get("current")]
    return current[0].get("ip") if current else None


def _trusted(peer: str, proxies: tuple[str, ...]) -> bool:
    """Whether a forwarding header from this peer would be believed, as the server itself decides."""
    told = HTTPConnection({"type": "http", "client": (peer, 0), "headers": [(b"x-forwarded-for", b"203.0.113.66")]})
    return client.address(told, proxies) == "203.0.113.66"


async def host(scene: Scene) -> None:
    """CWE-644: what the server calls itself goes into links and tokens."""
    for headers in HOSTS:
        answer = await scene.visitor.send("GET", METADATA, headers=headers)
        if answer.status == 200 and answer.fields() != scene.metadata:
            raise Accepted(f"{next(iter(headers))} changes the metadata")


async def host_header(scene: Scene) -> None:
    """The Host header itself: on a loopback issuer it must be refused, elsewhere it must change nothing."""
    for evil in (EVIL, f"{scene.visitor.host}.{EVIL}", f"{EVIL}:443"):
        answer = await scene.visitor.send("GET", METADATA, headers={"Host": evil})
        if scene.settings.loopback:
            must_refuse(answer, f"Host: {evil} on a loopback issuer")
        elif EVIL in answer.text or (answer.status == 200 and answer.fields() and answer.fields() != scene.metadata):
            raise Accepted(f"Host: {evil} changes the metadata")


ATTACKS = (
    Attack(
        "forwarded-address",
        "Spoofed client addresses",
        "The client chooses the address that is logged, and the one that its wrong passwords count for.",
        "Start it with `watchword serve` (or uvicorn with --no-proxy-headers), and name your proxies in "
        "WATCHWORD_TRUSTED_PROXIES.",
        address,
        setting="WATCHWORD_TRUSTED_PROXIES",
        of_development=True,
    ),
    Attack(
        "forwarded-host",
        "Spoofed forwarding of host and scheme",
        "The client chooses what the server calls itself.",
        "Start it with `watchword serve`, set WATCHWORD_ISSUER, and let nothing rewrite the metadata.",
        host,
        setting="WATCHWORD_ISSUER",
    ),
    Attack(
        "host-header",
        "Another Host header",
        "The server answers, or calls itself, by any name.",
        "Set WATCHWORD_ISSUER to the public address, and call auth.install on the application that is served.",
        host_header,
        setting="WATCHWORD_ISSUER",
    ),
)
