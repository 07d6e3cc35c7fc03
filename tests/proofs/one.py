"""Units of one proof, by hand: `python -m tests.proofs.one mutation core/jose flows/session`, or all of them without names."""

import importlib
import json
import sys


def main(name: str, names: list[str]) -> None:
    proof = importlib.import_module(f"tests.proofs.{name}")
    for unit in names or proof.units(long=True):
        sys.stdout.write(f"{unit}\n{json.dumps(proof.run(unit), indent=1, ensure_ascii=False)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
