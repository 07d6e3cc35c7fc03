"""Test vectors of others: they lie beside the repository, and without them their tests are left out."""

import functools
import json
from pathlib import Path
from typing import Any

import pytest

VECTORS = Path(__file__).resolve().parents[2] / "shared" / "vectors"


@functools.cache
def load(name: str) -> Any:
    """The content of one file, read once per process; never change it."""
    if not VECTORS.is_dir():
        pytest.skip("left out: ../shared/vectors is not here", allow_module_level=True)
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))
