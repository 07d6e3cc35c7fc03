"""All parsers, by name."""

from tests.proofs.fuzz import credentials, requests
from tests.proofs.fuzz.parser import Parser

PARSERS: dict[str, Parser] = {**credentials.PARSERS, **requests.PARSERS}
