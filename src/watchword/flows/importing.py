"""Taking over the accounts of another system: one JSON object per line, each checked wholly, written in batches.

Started again after any end, `kill -9` included, an import ends with exactly the good lines, each once: a line whose account
is there already is counted and left alone. The accounts themselves are the only checkpoint, so none can lie.
"""

import codecs
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol, runtime_checkable

from watchword.core import account_lines
from watchword.core.account_lines import MAX_LINE, NAME, Line
from watchword.core.errors import ConfigError, InvalidInput
from watchword.core.events import Registered
from watchword.core.models import User
from watchword.flows.kit import Kit
from watchword.ports import NewUser

BATCH = 500
"""Lines per transaction. A login on the same SQLite file waits for one of them at most."""

PACKED = (b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ")
"""How gzip, zip, bzip2, zstd and xz begin."""

Draft = tuple[Line, NewUser]


@runtime_checkable
class Imports(Protocol):
    """What an import asks of the store, beside `ports.Users`."""

    async def in_the_way(self, new: Sequence[NewUser]) -> list[tuple[User, ...]]:
        """For each: the accounts that have its id, its address or its username. Reads only."""

    async def add_many(self, new: Sequence[NewUser]) -> list[tuple[User, ...]]:
        """Make accounts in one transaction: those that can be are made, the others change nothing.

        For each: the accounts in its way, as `in_the_way` says them; none means that it was made. Of any number of callers
        with one id, address or username, and of any number among `new`, exactly one makes its account. Of callers that are
        killed in the middle none makes any.
        """


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was skipped, and why; without any value of it."""

    number: int
    because: str


@dataclass(slots=True)
class Count:
    """How far an import is. In a dry run `added` are those that would be."""

    added: int = 0
    already_there: int = 0
    bad: int = 0


async def run(
    kit: Kit,
    store: Imports,
    lines: Iterable[tuple[int, bytes]],
    count: Count,
    on_bad: Callable[[BadLine], None],
    *,
    dry_run: bool = False,
) -> None:
    """Make an account of every good line; hand every bad one to `on_bad`, in the order of the file.

    `count` is kept up batch by batch, so that it is true also when the store fails (Unavailable). A dry run checks
    everything and writes nothing. Raises ConfigError when the hashes need an extra that is not installed. Remembers some
    hundreds of bytes of each line, to find what stands in the file twice.
    """
    work = _Import(kit, store, count, on_bad, dry_run, kit.clock.now())
    good: list[Line] = []
    bad: list[BadLine] = []
    for number, raw in lines:
        try:
            good.append(work.read(number, raw))
        except InvalidInput as error:
            bad.append(BadLine(number, reason(error)))
        if len(good) + len(bad) == BATCH:
            await work.write(good, bad)
            good, bad = [], []
    await work.write(good, bad)


def lines_of(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines that are not empty, with their numbers. Of a line over the bound only the beginning is kept.

    Raises ConfigError for a file that is UTF-16 or compressed: every line of it would be bad.
    """
    number = 0
    while raw := file.readline(MAX_LINE + 1):
        number += 1
        rest = raw
        while len(rest) > MAX_LINE and not rest.endswith(b"\n"):
            rest = file.readline(MAX_LINE + 1)
        if number == 1:
            raw = _beginning(raw)
        if raw.strip():
            yield number, raw


def _beginning(raw: bytes) -> bytes:
    """The first line, without the mark that some programs put in front of UTF-8."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError("The file is UTF-16. Convert it: iconv -f UTF-16 -t UTF-8 OLD > NEW")
    if raw.startswith(PACKED):
        raise ConfigError("The file is compressed. Unpack it, or pipe it: zcat FILE | watchword users import -")
    return raw.removeprefix(codecs.BOM_UTF8)


def reason(error: InvalidInput) -> str:
    """Why a line is bad. A field's name is shown where it looks like one; a value in its place stays unseen."""
    told = [f"{name if NAME.fullmatch(name) else 'a field'}: {text}" for name, text in error.fields.items()]
    return " ".join(told) or error.because


@dataclass(frozen=True, slots=True)
class _Import:
    kit: Kit
    store: Imports
    count: Count
    on_bad: Callable[[BadLine], None]
    dry_run: bool
    now: datetime
    seen: dict[int, tuple[int, int]] = field(default_factory=dict)
    """By the hash of an id, address or username: the number of the line that has it, and the hash of all that it says."""

    def read(self, number: int, raw: bytes) -> Line:
        """The line. Raises InvalidInput when it is bad, or a line before it has its id, address or username for another."""
        line = account_lines.read(number, raw, self.now)
        mine = (number, hash(line))
        for name, value in _keys(line):
            first, content = self.seen.get(hash((name, value)), mine)
            if content != hash(line):
                raise InvalidInput("stands twice", fields={name: f"Line {first} has this too, for another account."})
        for key in _keys(line):
            self.seen.setdefault(hash(key), mine)
        return line

    async def write(self, good: list[Line], bad: list[BadLine]) -> None:
        """One batch. It is looked at before it is written, so what is there already costs one read and takes no lock."""
        drafts = [(line, self._draft(line)) for line in good]
        free = await self._meet(self.store.in_the_way, drafts, bad)
        if self.dry_run:
            twice = sum(self.seen[hash(("email", line.email))][0] != line.number for line, _ in free)
            self.count.already_there += twice
            self.count.added += len(free) - twice
        else:
            made = await self._meet(self.store.add_many, free, bad)
            self.count.added += len(made)
            for _, user in made:
                self.kit.announce(Registered(user.id))
            await self.kit.recorder.room()
        self.count.bad += len(bad)
        for one in sorted(bad, key=lambda one: one.number):
            self.on_bad(one)

    async def _meet(
        self,
        ask: Callable[[Sequence[NewUser]], Awaitable[list[tuple[User, ...]]]],
        asked: list[Draft],
        bad: list[BadLine],
    ) -> list[Draft]:
        """Those with nothing in their way. Of the others the same accounts are counted, and different ones are bad."""
        free = []
        ways = await ask([new for _, new in asked]) if asked else []
        for draft, met in zip(asked, ways, strict=True):
            line = draft[0]
            if not met:
                free.append(draft)
            elif any(not _differences(line, one) for one in met):
                self.count.already_there += 1
            else:
                bad.append(BadLine(line.number, _taken(line, met)))
        return free

    def _draft(self, line: Line) -> NewUser:
        return NewUser(
            id=line.id or self.kit.new_id(),
            email=line.email,
            username=line.username,
            password_hash=line.password_hash,
            scopes=line.scopes,
            created_at=line.created_at or self.now,
            disabled_at=self.now if line.disabled else None,
        )


def _keys(line: Line) -> list[tuple[str, str]]:
    """What no two accounts share."""
    named = (("id", line.id), ("email", line.email), ("username", line.username))
    return [(name, value) for name, value in named if value is not None]


def _differences(line: Line, there: User) -> list[str]:
    """Where the line says something else than the account that is there, of what does not change in an account's life."""
    said = (
        ("id", line.id, there.id),
        ("email", line.email, there.email),
        ("username", line.username, there.username),
        ("created_at", line.created_at, there.created_at),
    )
    return [name for name, ours, theirs in said if ours is not None and ours != theirs]


def _taken(line: Line, met: tuple[User, ...]) -> str:
    """Which value another account has, and how that one can be told to be another."""
    keys = dict(_keys(line))
    name, there = next(
        (name, there)
        for name in ("email", "username", "id")
        for there in met
        if name in keys and keys[name] == getattr(there, name)
    )
    return f"{name}: There is another account with this (of another {' and '.join(_differences(line, there))})."
