"""Which proofs there are: modules of this package, in the order in which the report tells of them."""

import importlib

from tests.proofs.proof import Proof

NAMES = ("states", "kills", "cuts", "restarts")


def load(name: str) -> Proof:
    """The proof of this name. What it needs is imported now: some are for people who have installed more."""
    found: Proof = importlib.import_module(f"tests.proofs.{name}").PROOF
    assert found.name == name
    return found
