"""An attack: a name, what it means when it succeeds, and a function that tries it on a `Scene`."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from watchword.server.doctor.findings import DOCS, Finding, Severity

if TYPE_CHECKING:
    from watchword.server.doctor.guests import Party
    from watchword.server.doctor.visitor import Answer, Visitor
    from watchword.settings import Settings

Result = Literal["refused", "accepted", "not tried"]


class Accepted(Exception):
    """The attack succeeded; the text says how."""


class NotTried(Exception):
    """The attack can't be tried here; the text says why."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where attacks happen: the server, what it says of itself, and the doctor's own accounts (None: no way in)."""

    visitor: "Visitor"
    settings: "Settings"
    metadata: dict[str, Any]
    prefix: str
    party: "Party | None" = None
    shut: str = field(default="the doctor has no account there")

    def guests(self) -> "Party":
        """The doctor's accounts. Raises NotTried when there are none."""
        if self.party is None:
            raise NotTried(self.shut)
        return self.party


@dataclass(frozen=True, slots=True)
class Attack:
    """`title` names it; `weakness` is true when it succeeds. `run` returns when it was refused, raises otherwise.

    `of_development` says that it is only worth a note on a loopback issuer: uvicorn's own defaults are meant for that.
    """

    id: str
    title: str
    weakness: str
    cure: str
    run: Callable[[Scene], Awaitable[None]]
    severity: Severity = "weak"
    setting: str | None = None
    of_development: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of an attack."""

    attack: Attack
    result: Result
    because: str = ""

    def finding(self, *, loopback: bool) -> Finding | None:
        """What is weak, where the attack succeeded against a server whose issuer is (or is not) this machine alone."""
        if self.result != "accepted":
            return None
        one = self.attack
        severity: Severity = "note" if one.of_development and loopback else one.severity
        return Finding(one.id, severity, f"{one.weakness} ({self.because})", one.cure, one.setting, DOCS)


def must_refuse(answer: "Answer", what: str) -> None:
    """Raise Accepted unless the server refused in good order; a server that breaks has not refused."""
    if answer.status in (429, 503):
        raise NotTried(f"the server was too busy to say ({answer.status})")
    if answer.status >= 500:
        raise Accepted(f"{what}: the server broke ({answer.status})")
    if answer.status < 400:
        raise Accepted(f"{what}: {answer.status}")
