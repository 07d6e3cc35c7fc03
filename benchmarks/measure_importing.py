"""Fresh processes, by turns: the CPU that each import takes, and the ratio pair by pair."""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
BOUND = 1.35
BASE = "import fastapi"
OURS = "from watchword import Auth, Principal, JWTManager"


def cpu_seconds(statement: str) -> float:
    """User and system time of one fresh interpreter; less noisy than the wall's on a busy machine."""
    before = os.times()
    subprocess.run([sys.executable, "-c", statement], check=True)
    after = os.times()
    return (after.children_user + after.children_system) - (before.children_user + before.children_system)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    cpu_seconds(BASE), cpu_seconds(OURS)  # the caches are warm from here on
    pairs = []
    for number in range(rounds):
        pairs.append((cpu_seconds(BASE), cpu_seconds(OURS)))
        print(f"\r{number + 1}/{rounds}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    ratio = statistics.median(ours / base for base, ours in pairs)
    for name, times in ((BASE, [base for base, _ in pairs]), (OURS, [ours for _, ours in pairs])):
        print(f"{name:55} median {statistics.median(times) * 1000:6.0f} ms CPU   min {min(times) * 1000:6.0f} ms")
    print(f"ratio, median of {rounds} pairs: {ratio:.2f} (bound {BOUND}): {'kept' if ratio <= BOUND else 'MISSED'}")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "importing.json").write_text(json.dumps({"pairs": pairs, "ratio": ratio, "bound": BOUND}))


if __name__ == "__main__":
    main()
