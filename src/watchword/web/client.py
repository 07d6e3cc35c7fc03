"""Where a request comes from: its address behind proxies, its host, its device."""

import asyncio
import contextlib
import ipaddress
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.requests import HTTPConnection, Request

from watchword.core.models import Client
from watchword.core.policy import Policy

MAX_USER_AGENT = 512
MAX_LANGUAGES = 256
TEST_HOSTS = frozenset({"testserver", "test"})
"""What the ecosystem's test clients call themselves; neither name can be reached from outside."""

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._-]+)(?::[0-9]{1,5})?")


WITH_PORT = re.compile(r"\A(?:([0-9.]+)|\[([^\]]*)\])(?::[0-9]{1,5})?\Z")


def describe(connection: HTTPConnection, policy: Policy) -> Client:
    """The client as the session list will show it."""
    user_agent = connection.headers.get("user-agent")
    return Client(
        user_agent=None if user_agent is None else printable(user_agent[:MAX_USER_AGENT]),
        ip=address(connection, policy.trusted_proxies),
        languages=connection.headers.get("accept-language", "")[:MAX_LANGUAGES],
    )


@contextlib.asynccontextmanager
async def watched(request: Request) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """Gives what ends when the client hangs up from now on. For a request whose body was read.

    A server that says at once that the client has gone is not believed: some adapters and test clients always say so.
    """
    told = asyncio.ensure_future(_disconnected(request))
    told.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
    await asyncio.sleep(0)
    hung_up = asyncio.get_running_loop().create_future() if told.done() else told
    try:
        yield lambda: asyncio.shield(hung_up)
    finally:
        told.cancel()
        hung_up.cancel()


async def _disconnected(request: Request) -> None:
    """A middleware that gives the body again and again, whoever asks, never says that the client has gone."""
    if (await request.receive())["type"] != "http.disconnect":
        await asyncio.Event().wait()


def address(connection: HTTPConnection, trusted: tuple[str, ...]) -> str | None:
    """The client's address: X-Forwarded-For is believed from trusted proxies alone, from the right, hop by hop.

    Some proxies write the port behind it.
    """
    peer = _ip(connection.client.host) if connection.client else None
    hops = [hop.strip() for value in connection.headers.getlist("x-forwarded-for") for hop in value.split(",")]
    while peer is not None and hops and _within(peer, trusted):
        hop = _ip(WITH_PORT.sub(r"\1\2", hops.pop()))
        if hop is None:
            break
        peer = hop
    return None if peer is None else str(peer)


def is_local(host: str | None) -> bool:
    """Whether a Host header names this machine itself, or a test client."""
    match = HOST.fullmatch(host or "")
    if match is None:
        return False
    name = match[1].lower()
    if name.startswith("["):
        ip = _ip(name[1:-1]) if ":" in name else None
    else:
        name = name.removesuffix(".")  # the root of all names, which may be said
        if name in TEST_HOSTS or name == "localhost" or name.endswith(".localhost"):
            return True
        ip = _ip(name)
    return ip is not None and ip.is_loopback


def printable(text: str) -> str:
    """Without control characters, so that it can stand in a log line and in any database."""
    return "".join(character for character in text if character.isprintable())


def _within(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: tuple[str, ...]) -> bool:
    return any(ip in ipaddress.ip_network(network, strict=False) for network in networks)


def _ip(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])  # a zone means nothing outside its own host (RFC 4007)
    except ValueError:
        return None
    return (ip.ipv4_mapped or ip) if isinstance(ip, ipaddress.IPv6Address) else ip
