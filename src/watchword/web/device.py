"""A name for the device behind a user agent. The patterns load on first use: that takes a tenth of a second."""

import functools
import re

PRODUCT = re.compile(r"([\w.+-]{1,40})(?:/([\w.]{1,20}))?")


@functools.lru_cache(maxsize=2048)
def name(user_agent: str | None) -> str:
    """ "Chrome on Windows", "curl", "my-tool 1.2", or "Unknown device". Slow on its first call: keep it off the event loop."""
    if not user_agent:
        return "Unknown device"
    import ua_parser  # noqa: PLC0415 - loads its patterns only where sessions are listed

    try:
        agent, operating = ua_parser.parse_user_agent(user_agent), ua_parser.parse_os(user_agent)
    except ValueError:  # a pattern matched, and what it should find was blank
        agent = operating = None
    browser = agent.family if agent else None
    system = operating.family if operating else None
    if browser and system:
        return f"{browser} on {system}"
    product = PRODUCT.match(user_agent)
    if browser or product is None:
        return browser or "Unknown device"
    return " ".join(part for part in product.groups() if part)
