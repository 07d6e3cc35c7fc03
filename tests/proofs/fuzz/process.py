"""One process of the fuzzer: `python -m tests.proofs.fuzz.process "{…}"`, with parser, runs, seed, corpus and engine in JSON.

Where atheris is, libFuzzer drives, and follows what the code of watchword does with each input; what led somewhere new is
kept in the corpus, for the processes after this one. Elsewhere the good inputs are changed by chance, which finds less.
A process that found something ends with another code than 0, and its last words tell what, and with which bytes.
"""

import itertools
import json
import os
import random
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMEOUT = 20
"""Seconds that one input may take."""


def by_atheris(atheris: Any, name: str, runs: int, seed: int, corpus: Path) -> None:
    """Does not return: libFuzzer ends the process."""
    with atheris.instrument_imports(include=["watchword"]):
        parser = _parser(name)
    for nth, good in enumerate(parser.good()):
        (corpus / f"good-{nth}").write_bytes(good)
    began = time.monotonic()
    left = itertools.count(runs, -1)

    def one(data: bytes) -> None:
        if next(left) <= 0:  # libFuzzer's own count leaves out the first pass over the corpus
            _tell("atheris", runs, time.monotonic() - began)
        _try(parser, data)

    words = [f"-seed={seed}", f"-max_len={parser.longest}", f"-timeout={TIMEOUT}", "-rss_limit_mb=2048", "-verbosity=0"]
    atheris.Setup(
        [name, *words, "-runs=-1", "-print_final_stats=0", f"-artifact_prefix={corpus.parent}/", str(corpus)], one
    )
    atheris.Fuzz()


def by_chance(name: str, runs: int, seed: int) -> None:
    """Change good inputs: bytes, pieces, and one put into another."""
    parser = _parser(name)
    chance = random.Random(seed)
    good = parser.good()
    began = time.monotonic()
    for _ in range(runs):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randrange(4)):
            chance.choice(CHANGES)(chance, data, chance.choice(good))
        _try(parser, bytes(data[: parser.longest]))
    _tell("chance", runs, time.monotonic() - began)


def _set_byte(chance: random.Random, data: bytearray, _: bytes) -> None:
    if data:
        data[chance.randrange(len(data))] = chance.randrange(256)


def _insert(chance: random.Random, data: bytearray, _: bytes) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = chance.choice(INTERESTING)


def _cut(chance: random.Random, data: bytearray, _: bytes) -> None:
    at = chance.randrange(len(data) + 1)
    del data[at : at + chance.randrange(16)]


def _splice(chance: random.Random, data: bytearray, other: bytes) -> None:
    data[chance.randrange(len(data) + 1) :] = other[chance.randrange(len(other) + 1) :]


def _repeat(chance: random.Random, data: bytearray, _: bytes) -> None:
    at = chance.randrange(len(data) + 1)
    data[at:at] = data[at : at + chance.randrange(64)] * chance.randrange(8)


CHANGES: list[Callable[[random.Random, bytearray, bytes], None]] = [_set_byte, _insert, _cut, _splice, _repeat]
INTERESTING = (
    b"\x00",
    b"\xff",
    b"\n",
    b'"',
    b"{",
    b"[[",
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 20,
    b".",
    b"=",
    b"%",
    b"\\ud800",
    b"\xc3\xa9",
)


def _parser(name: str) -> Any:
    from tests.proofs.fuzz import parsers

    return parsers.KNOWN[name]


def _try(parser: Any, data: bytes) -> None:
    try:
        parser(data)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error} with {data!r}\n")
        raise


def _tell(engine: str, runs: int, seconds: float) -> None:
    """Say what was done, and go: there is no way out of libFuzzer but the end."""
    sys.stdout.write(json.dumps({"engine": engine, "runs": runs, "seconds": round(seconds, 1)}) + "\n")
    sys.stdout.flush()
    os._exit(0)


def main(told: str) -> None:
    work = json.loads(told)
    warnings.simplefilter("error")
    try:
        if work["engine"] == "chance":
            raise ImportError("not wanted")
        import atheris
    except ImportError:
        by_chance(work["parser"], work["runs"], work["seed"])
    else:
        by_atheris(atheris, work["parser"], work["runs"], work["seed"], Path(work["corpus"]))


if __name__ == "__main__":
    main(sys.argv[1])
