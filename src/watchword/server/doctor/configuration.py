"""What starts, and is weak all the same. What does not start is found by `watchword.refusals`."""

import ipaddress
from collections.abc import Iterator
from urllib.parse import urlsplit

from watchword.refusals import is_loopback, web_address
from watchword.server.doctor.findings import Finding, found
from watchword.settings import Settings

LONG_ACCESS = 900
LONG_IDLE = 30 * 86400
LONG_ROTATION = 183 * 86400
LONG_STALENESS = 10.0
WIDE = {4: 16, 6: 48}
HASH_SECONDS = 0.03
"""What one hash takes, with OWASP's parameters on a common processor."""
LONG_WAIT = 30.0


def examine(settings: Settings, url: str | None) -> Iterator[Finding]:
    """Findings in settings that may be weak, or even refused. `url` is where the operator says that the server is."""
    yield from _issuer(settings, url)
    yield from _tokens(settings)
    yield from _master_keys(settings)
    yield from _proxies(settings)
    yield from _origins(settings)
    wait = settings.hashing_queue / settings.hashing_pool * HASH_SECONDS
    if wait > LONG_WAIT:
        yield found("hashing-queue-long", f"The last in the queue of logins waits for some {wait:.0f} seconds.")


def _issuer(settings: Settings, url: str | None) -> Iterator[Finding]:
    if settings.unsafe_http_issuer and settings.issuer.startswith("http:") and not settings.loopback:
        yield found("issuer-unsafe-http")
    if settings.loopback and (evidence := _public(settings, url)):
        yield found("issuer-loopback-in-public", f"The issuer is this machine alone, but {evidence}.")
    if not settings.loopback and settings.mail_url is None and settings.registration == "open":
        yield found("registration-open")


def _public(settings: Settings, url: str | None) -> str | None:
    """What says that a server with a loopback issuer is more than a developer's."""
    host = urlsplit(url).hostname if url and web_address(url) else None
    if host and not is_loopback(host):
        return "--url is another machine's, or this one's as others see it"
    if any(not _loopback_network(text) for text in settings.trusted_proxies):
        return "WATCHWORD_TRUSTED_PROXIES names a proxy on another machine"
    return None


def _tokens(settings: Settings) -> Iterator[Finding]:
    if settings.signing_alg == "HS256":
        yield found("signing-symmetric")
    if settings.access_ttl > LONG_ACCESS:
        minutes = f"{settings.access_ttl / 60:.0f} minutes"
        yield found(
            "access-ttl-long",
            f"Access tokens live for {minutes}: services that verify them by themselves honour a revoked one as long.",
        )
    if settings.refresh_idle > LONG_IDLE:
        days = f"{settings.refresh_idle // 86400} days"
        yield found("refresh-idle-long", f"A session may lie unused for {days}: a forgotten device stays signed in.")
    if settings.key_rotation > LONG_ROTATION:
        yield found("key-rotation-rare", f"A signing key signs for {settings.key_rotation // 86400} days.")
    if settings.revocation_staleness > LONG_STALENESS:
        yield found("revocation-staleness-long")


def _master_keys(settings: Settings) -> Iterator[Finding]:
    given = [key.get_secret_value() for key in settings.master_keys]
    if len(set(given)) < len(given):
        yield found("master-key-repeated")
    elif len(given) > 1:
        yield found("master-keys-several", f"{len(given)} master keys are given: each of them opens the signing keys.")


def _proxies(settings: Settings) -> Iterator[Finding]:
    for text in settings.trusted_proxies:
        network = _network(text)
        if network is None:
            continue
        if network.prefixlen < WIDE[network.version]:
            yield found(
                "trusted-proxies-wide",
                f"{text} is a wide network: each machine in it chooses the address that is logged.",
            )
        if network.num_addresses > 1 and network.is_global:
            yield found(
                "trusted-proxies-public",
                f"{text} is part of the public internet: whoever rents a machine there is believed.",
            )


def _origins(settings: Settings) -> Iterator[Finding]:
    for origin in settings.allowed_origins:
        parts = web_address(origin)
        if parts is None:
            continue
        if is_loopback(parts.hostname or ""):
            if not settings.loopback:
                yield found("allowed-origins-loopback", f"{origin} may call the public server.")
        elif parts.scheme == "http":
            yield found(
                "allowed-origins-http",
                f"{origin} may call the server: whoever can write to its network can be that page.",
            )


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _loopback_network(text: str) -> bool:
    network = _network(text)
    return network is None or network.is_loopback
