"""The long forms: `python3 scripts/prove`."""

import argparse
import contextlib
import os
import sys

from tests import keeper
from tests.proofs import page, registry, running
from tests.proofs.ledger import Ledger


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/prove", description="Prove what the documentation promises, at length."
    )
    parser.add_argument("name", nargs="*", help=f"these alone, out of {', '.join(registry.NAMES)}")
    parser.add_argument("--short", action="store_true", help="as the tests do it: seconds, and no report")
    parser.add_argument("--fresh", action="store_true", help="forget what was found before")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="units at the same time")
    asked = parser.parse_args()
    for name in asked.name:
        if name not in registry.NAMES:
            parser.error(f"there is no proof {name}; there are {', '.join(registry.NAMES)}")
    with contextlib.closing(keeper.Home()) as home:
        for name in asked.name or registry.NAMES:
            proof = registry.load(name)
            ledger = Ledger(name, short=asked.short)
            if asked.fresh:
                ledger.forget()
            try:
                entries = running.run(
                    name, proof.units(asked.short), ledger, home.path, 1 if proof.alone else asked.jobs
                )
            except running.Disproved as error:
                print(f"\n{name} does not hold: {error}", file=sys.stderr)
                return 1
            except KeyboardInterrupt:
                print("\nwhat is done is kept in .proofs/; the same command goes on from there", file=sys.stderr)
                return 130
            if not asked.short:
                page.write(proof, entries)
            for row in proof.report([entry.figures for entry in entries]):
                print(f"    {row.figure:>12}  {row.en}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
