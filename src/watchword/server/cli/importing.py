"""`watchword users import`: the accounts of another system, from a file."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from watchword.core.errors import ConfigError, Overloaded
from watchword.server.cli.terminal import Json, text, with_kit

if TYPE_CHECKING:
    from watchword.flows.importing import BadLine, Count
    from watchword.flows.kit import Kit

SHOWN = 20
"""Bad lines that the summary names."""

NEWS = 10_000
"""Lines between two reports where no bar can be drawn."""

Lines = Iterator[tuple[int, bytes]]


def import_users(
    file: Annotated[str, typer.Argument(metavar="FILE.jsonl", help="one JSON object per line; - is stdin")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check everything, write nothing")] = False,
    as_json: Json = False,
    errors: Annotated[Path | None, typer.Option(metavar="FILE", help="keep the bad lines' numbers and reasons")] = None,
) -> None:
    """Take over accounts with their password hashes. Bad lines are told and skipped.

    Fields of a line: email, and where there are any password_hash (bcrypt, PBKDF2, scrypt, Argon2), username, scopes,
    disabled, created_at, id. Interrupted? Start it again: what is there already is left alone.
    """
    from watchword.flows.importing import Count

    count, shown = Count(), _Shown()
    with _open(file) as source, _keep(errors, source) as keep:
        behind = [0]

        def on_bad(bad: "BadLine") -> None:
            shown.take(bad)
            keep(bad)

        def lines() -> Lines:
            for number, raw in _progressing(source):
                behind[0] = number
                yield number, raw

        try:
            with_kit(lambda kit: _run(kit, lines(), count, on_bad, dry_run=dry_run))
        except Overloaded as error:
            raise ConfigError(
                f"stopped near line {behind[0]}: {text(error)} What was added stays ({count.added} accounts). "
                "Start the import again, and it goes on."
            ) from None
    typer.echo(_as_json(count, shown, dry_run=dry_run) if as_json else _summary(count, shown, errors, dry_run=dry_run))
    if count.bad:
        raise typer.Exit(1)


class _Shown:
    """The first bad lines."""

    def __init__(self) -> None:
        self.first: list[BadLine] = []

    def take(self, bad: "BadLine") -> None:
        if len(self.first) < SHOWN:
            self.first.append(bad)


async def _run(kit: "Kit", lines: Lines, count: "Count", on_bad: Callable[["BadLine"], None], *, dry_run: bool) -> None:
    from watchword.flows import importing

    if not isinstance(kit.users, importing.Imports):
        raise ConfigError("This application keeps its users in a table of its own: import them there.")
    await importing.run(kit, kit.users, lines, count, on_bad, dry_run=dry_run)


@contextlib.contextmanager
def _open(name: str) -> Iterator[BinaryIO]:
    """The file, or stdin. Raises ConfigError with the cure."""
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        source = open(name, "rb")  # noqa: SIM115 - closed below, and only its opening may fail here
    except (OSError, ValueError) as error:
        because = getattr(error, "strerror", None) or "not a file name"
        raise ConfigError(f"{name} can't be read ({because}). Name a file with one JSON object per line.") from None
    with source:
        yield source


@contextlib.contextmanager
def _keep(path: Path | None, source: BinaryIO) -> Iterator[Callable[["BadLine"], None]]:
    """Write the bad lines to the file of --errors, each as it is found. The import's own file is never written over."""
    if path is None:
        yield lambda _: None
        return
    try:
        if path.exists() and os.path.samestat(path.stat(), os.fstat(source.fileno())):
            raise ConfigError(f"--errors {path} is the file to import itself. Name another one.")
        target = path.open("w", encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--errors {path} can't be written ({error.strerror}).") from None

    def keep(bad: "BadLine") -> None:
        try:
            print(json.dumps(_described(bad)), file=target, flush=True)
        except OSError as error:
            raise ConfigError(
                f"--errors {path} can't be written any more ({error.strerror}). What was added stays; start the import "
                "again, and it goes on."
            ) from None

    try:
        yield keep
    finally:
        with contextlib.suppress(OSError):  # what it could not write was told
            target.close()


def _progressing(source: BinaryIO) -> Lines:
    """The lines, while a bar shows on stderr how many bytes of them are done; without a terminal, a line now and then."""
    from watchword.flows.importing import lines_of

    if not sys.stderr.isatty():
        for number, raw in lines_of(source):
            if number % NEWS == 0:
                typer.echo(f"{number:,} lines read", err=True)
            yield number, raw
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("importing", total=_size(source))
        for number, raw in lines_of(source):
            yield number, raw
            progress.update(task, advance=len(raw), description=f"{number:,} lines")


def _size(source: BinaryIO) -> int | None:
    """In bytes; None for a pipe."""
    try:
        return os.fstat(source.fileno()).st_size or None
    except OSError:
        return None


def _summary(count: "Count", shown: _Shown, errors: Path | None, *, dry_run: bool) -> str:
    would = "would be " if dry_run else ""
    lines = [f"{count.added:,} {would}added, {count.already_there:,} already there, {count.bad:,} bad."]
    lines += [f"line {bad.number}: {bad.because}" for bad in shown.first]
    if count.bad > len(shown.first):
        where = f"all are in {errors}" if errors else "--errors FILE keeps them all"
        lines.append(f"and {count.bad - len(shown.first):,} more; {where}.")
    return "\n".join(lines)


def _as_json(count: "Count", shown: _Shown, *, dry_run: bool) -> str:
    told = {
        "dry_run": dry_run,
        "added": count.added,
        "already_there": count.already_there,
        "bad": count.bad,
        "first_bad_lines": [_described(bad) for bad in shown.first],
    }
    return json.dumps(told, ensure_ascii=False, indent=2)


def _described(bad: "BadLine") -> dict[str, Any]:
    return {"line": bad.number, "because": bad.because}
