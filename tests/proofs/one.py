"""Units of one proof, by hand: `python -m tests.proofs.one mutation core-jose flows-session`; without names, all of them."""

import importlib
import json
import sys
import tempfile
from pathlib import Path

from tests import keeper
from tests.proofs.proof import Bench, Proof


def main(name: str, names: list[str]) -> None:
    proof: Proof = importlib.import_module(f"tests.proofs.{name}").PROOF
    home = keeper.Home()
    figures = []
    try:
        for unit in proof.units(False):
            if not names or unit.name in names:
                with tempfile.TemporaryDirectory() as folder:
                    figures.append(unit.run(Bench(Path(folder), home.path)))
                sys.stdout.write(f"{unit.name}: {json.dumps(figures[-1], ensure_ascii=False)}\n")
                sys.stdout.flush()
    finally:
        home.close()
    sys.stdout.writelines(f"{row.figure:>20}  {row.en}\n" for row in proof.report(figures))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
