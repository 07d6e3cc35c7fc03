"""Mutation testing: the code is broken in every small way that mutmut knows, and the tests have to notice.

One unit is one module. mutmut works in a folder of its own, `.proofs/mutation/<module>`, with a copy of the source and of
the tests, and keeps there what it has found, so a run that was stopped goes on where it was; a change of the source or of
the tests begins that module anew. Only the tests of `TESTS` run, on SQLite alone: the score is a floor.

mutmut changes the bodies of functions and methods. It leaves out constants, class bodies and functions with a decorator
other than `staticmethod` and `classmethod`. No line is excluded by a pragma. A mutant that no test reaches has survived.
"""

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "watchword"
WORK = ROOT / ".proofs" / "mutation"
SURVIVORS = Path(__file__).with_name("survivors.toml")

FLOOR = 85.0
"""Per cent, of each module in HEART."""

HEART = ("core/jose", "core/tokens", "core/opaque", "core/sealing", "flows/session")
SHORT = "core/scopes"

VERIFIER = ("tests/attacks/test_verifier.py",)
LIST = ("tests/attacks/test_revocation_list.py",)
GUESSING = ("tests/attacks/test_guessing.py",)
FORGED = "tests/attacks/test_forged_tokens.py"
REASONS = "tests/core/test_reasons.py"
TESTS: dict[str, tuple[str, ...]] = {
    "core/account_lines": ("tests/core/test_account_lines.py", "tests/flows/test_importing.py"),
    "core/emails": ("tests/core/test_emails.py", "tests/web/test_accounts.py"),
    "core/events": ("tests/core/test_models.py", "tests/hosts/test_handlers.py"),
    "core/jose": (
        "tests/core/test_jose.py", "tests/core/test_keys.py", "tests/core/test_tokens.py", FORGED, REASONS,
        "tests/test_jwt_manager.py",
    ),
    "core/keys": ("tests/core/test_keys.py", "tests/core/test_tokens.py", "tests/flows/test_signing_keys.py"),
    "core/known_secrets": ("tests/core/test_secrets.py", "tests/attacks/test_weak_keys.py"),
    "core/opaque": ("tests/core/test_opaque.py", "tests/core/test_tokens.py", REASONS),
    "core/passwords": ("tests/core/test_passwords.py", "tests/core/test_foreign_hashes.py"),
    "core/policy": ("tests/web/test_settings.py",),
    "core/published": VERIFIER,
    "core/revocation_list": LIST,
    "core/scopes": ("tests/core/test_scopes.py", REASONS),
    "core/sealing": ("tests/core/test_sealing.py", REASONS),
    "core/service_keys": LIST,
    "core/tally": GUESSING,
    "core/tokens": ("tests/core/test_tokens.py", FORGED, REASONS, "tests/hosts/test_claims.py"),
    "flows/authenticate": ("tests/web/test_guard.py", "tests/web/test_sessions.py", "tests/attacks/test_logout.py"),
    "flows/bulletin": LIST,
    "flows/claims": ("tests/hosts/test_claims.py",),
    "flows/handlers": ("tests/hosts/test_handlers.py",),
    "flows/issuer_keys": VERIFIER,
    "flows/issuer_revocations": (*VERIFIER, *LIST),
    "flows/keyring": ("tests/flows/test_keyring.py", "tests/flows/test_signing_keys.py", "tests/web/test_first_start.py"),
    "flows/kit": ("tests/flows/test_session.py", "tests/hosts/test_handlers.py"),
    "flows/password": ("tests/flows/test_password.py", "tests/web/test_accounts.py", "tests/web/test_sessions.py"),
    "flows/register": ("tests/web/test_accounts.py", "tests/hosts/test_users.py"),
    "flows/session": (
        "tests/flows/test_session.py", "tests/flows/test_session_told.py", "tests/hosts/test_claims.py",
        "tests/hosts/test_users.py", "tests/attacks/test_refresh_tokens.py",
    ),
    "flows/throttle": GUESSING,
}  # fmt: skip
"""Which tests a module's mutants have to get past, where they are more than the module's own."""

KILLED = {1, 3}
SURVIVED = {0, 5, 33}
"""mutmut's exit codes; every other one is a mutant that ran out of time or of its process: noticed as well."""

CONFIGURATION = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/watchword/{module}.py"]
pytest_add_cli_args = ["-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:schemathesis", "-k", "not postgresql"]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
"""


def modules() -> Iterator[str]:
    """Every module of `core` and `flows` that has tests to get past."""
    for floor in ("core", "flows"):
        for path in sorted((SOURCE / floor).glob("*.py")):
            module = f"{floor}/{path.stem}"
            if path.stem != "__init__" and tests_of(module):
                yield module


def tests_of(module: str) -> tuple[str, ...]:
    """The tests that this module's mutants have to get past."""
    floor, _, name = module.partition("/")
    own = f"tests/{floor}/test_{name}.py"
    return TESTS.get(module) or ((own,) if (ROOT / own).exists() else ())


def run(module: str, work: Path | None, bench: Bench) -> Figures:
    """The figures of one module. Raises AssertionError when one of HEART is below the floor."""
    folder = _prepared(module, work or bench.folder)
    codes = _mutate(folder, module)
    survived = [name for name, code in codes.items() if code in SURVIVED]
    killed = sum(code in KILLED for code in codes.values())
    figures: dict[str, int | float | str] = {
        "module": module,
        "mutants": len(codes),
        "killed": killed,
        "out of time": len(codes) - killed - len(survived),
        "survived": len(survived),
        "survivors": json.dumps(list(_changes(folder, survived))),
    }
    assert module not in HEART or score([figures]) >= FLOOR, (
        f"{module}: {score([figures]):.1f} %\n{figures['survivors']}"
    )
    return figures


def score(figures: Sequence[Figures]) -> float:
    """Of a hundred mutants, how many were noticed."""
    mutants = total(figures, "mutants")
    return 100 * (mutants - total(figures, "survived")) / mutants if mutants else 100.0


def units(short: bool) -> Sequence[Unit]:
    """The modules of `core` and `flows`, those that decide who gets in first; shortly, a small one."""
    if short:
        return [Unit(_slug(SHORT), partial(run, SHORT, None))]
    every = [*HEART, *sorted(set(modules()) - set(HEART))]
    return [Unit(_slug(module), partial(run, module, WORK)) for module in every]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    """A row for each module of HEART, one for the rest of each floor, and one for each mutant of HEART that lives."""
    heart = [one for one in figures if one["module"] in HEART]
    rows = [_row(f"`{one['module']}`", f"`{one['module']}`", [one]) for one in heart]
    for floor in ("core", "flows"):
        rest = [one for one in figures if one not in heart and str(one["module"]).startswith(f"{floor}/")]
        if rest:
            rows.append(
                _row(f"the rest of `{floor}`, {len(rest)} modules", f"`{floor}`의 나머지 모듈 {len(rest)}개", rest)
            )
    return [
        *rows,
        *(_survivor(str(one["module"]), change) for one in heart for change in json.loads(str(one["survivors"]))),
    ]


def _row(en: str, ko: str, figures: Sequence[Figures]) -> Row:
    noticed, mutants = total(figures, "mutants") - total(figures, "survived"), total(figures, "mutants")
    figure = f"{number(noticed)} / {number(mutants)} ({score(figures):.1f} %)"
    return Row(f"mutants noticed in {en}", f"잡아낸 뮤턴트: {ko}", figure)


def _survivor(module: str, change: dict[str, str]) -> Row:
    told = reason(module, change)
    what = f"`{module}`: `{change['was']}` → `{change['became']}`".replace("|", "\\|")
    en, ko = (told["en"], told["ko"]) if told else ("not explained", "설명 없음")
    return Row(f"lives in {what}: {en}", f"살아남은 뮤턴트 {what}: {ko}", "1")


def reason(module: str, change: dict[str, str]) -> dict[str, str] | None:
    """Why this mutant may live, as survivors.toml tells it."""
    for told in _told():
        if told["module"] == module and told["was"] == change["was"] and told["became"] in ("*", change["became"]):
            return told
    return None


@functools.cache
def _told() -> list[dict[str, str]]:
    told: list[dict[str, str]] = tomllib.loads(SURVIVORS.read_text(encoding="utf-8")).get("survivor", [])
    return told


def _slug(module: str) -> str:
    return module.replace("/", "-")


def _prepared(module: str, work: Path) -> Path:
    """The folder that mutmut works in: as it was left, or new when the source or the tests have changed since."""
    folder = work / _slug(module)
    stamp = folder / "stamp"
    wanted = _fingerprint(module)
    if stamp.exists() and stamp.read_text() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("src", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    configuration = CONFIGURATION.format(module=module, tests=json.dumps(tests_of(module)))
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8") + configuration)
    stamp.write_text(wanted)
    return folder


def _fingerprint(module: str) -> str:
    """Of the source, the tests that run and what they share."""
    shared = [*(ROOT / "tests").glob("*.py"), *(ROOT / "tests").rglob("conftest.py")]
    chosen = [ROOT / path for path in tests_of(module)]
    files = sorted({*SOURCE.rglob("*.py"), *shared, *chosen, *(ROOT / "tests" / "core").glob("[!t]*.py")})
    digest = hashlib.sha256(CONFIGURATION.encode())
    for path in files:
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()


def _mutate(folder: Path, module: str) -> dict[str, int]:
    """Let mutmut go through the module; the exit code of the tests for each mutant."""
    log = folder / "log"
    with log.open("ab") as to:
        done = _mutmut(folder, "run", "--max-children", str(os.cpu_count() or 1), stdout=to, stderr=subprocess.STDOUT)
    found = folder / "mutants" / "src" / "watchword" / f"{module}.py.meta"
    codes = json.loads(found.read_text())["exit_code_by_key"] if found.exists() else {}
    unfinished = [name for name, code in codes.items() if code is None]
    if unfinished or (done.returncode and codes):
        raise RuntimeError(f"mutmut did not finish {module}: {log}")
    return dict(codes)


def _changes(folder: Path, names: list[str]) -> Iterator[dict[str, str]]:
    """What each mutant changed: the lines that were, and those that became of them."""
    for name in names:
        shown = _mutmut(folder, "show", name, stdout=subprocess.PIPE).stdout.decode()
        lines = [line for line in shown.splitlines() if line[:3] not in ("---", "+++")]
        was, became = (" ".join(line[1:].strip() for line in lines if line[:1] == sign) for sign in "-+")
        yield {"name": name.removeprefix("watchword."), "was": was, "became": became}


def _mutmut(folder: Path, *arguments: str, **streams: Any) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "mutmut", *arguments]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "COVERAGE_", "PYTEST_"))}
    return subprocess.run(command, cwd=folder, env=kept, stdin=subprocess.DEVNULL, check=False, **streams)


PROOF = Proof("mutation", units, report, alone=True)
