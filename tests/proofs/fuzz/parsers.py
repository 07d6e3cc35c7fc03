"""All parsers, by name."""

from tests.proofs.fuzz import credentials, requests
from tests.proofs.fuzz.parser import Parser

PARSERS: dict[str, Parser] = {**credentials.PARSERS, **requests.PARSERS}


def _faulty(data: bytes) -> None:
    if data.count(b"{") > 1:
        raise KeyError("a fault that has to be found")


CANARY = "a parser with a fault"
"""A fuzzer that finds nothing proves something only if it finds this."""

KNOWN = {**PARSERS, CANARY: Parser(_faulty, (ValueError,), lambda: [b"{}"], "결함이 있는 파서", 64)}
