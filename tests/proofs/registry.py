"""Which proofs there are: modules of this package, in the order in which the report tells of them."""

import importlib

from tests.proofs.proof import Proof

NAMES = (
    "states",
    "kills",
    "cuts",
    "restarts",
    "rolling",
    "machines",
    "feed",
    "links",
    "outage",
    "fuzzing",
    "schemathesis",
    "mutation",
)
MODULES = {"schemathesis": "schema"}
"""Where the module has another name than the proof: that of the package that it drives."""


def load(name: str) -> Proof:
    """The proof of this name. What it needs is imported now: some are for people who have installed more."""
    found: Proof = importlib.import_module(f"tests.proofs.{MODULES.get(name, name)}").PROOF
    assert found.name == name
    return found
