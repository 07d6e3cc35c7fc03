"""`watchword doctor`: what is weak in this configuration, in this deployment and in the running server, and the cure."""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from typing import Any

from watchword import settings as house
from watchword.auth import Auth
from watchword.core.clock import Clock, SystemClock
from watchword.server.doctor import configuration, deployment, findings, trial
from watchword.server.doctor.attack import Attempt
from watchword.server.doctor.attacks import ALL
from watchword.server.doctor.findings import Finding


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found, the gravest first, and what became of each attack."""

    findings: tuple[Finding, ...]
    attempts: tuple[Attempt, ...]

    @property
    def weak(self) -> bool:
        """Whether something should be mended."""
        return any(finding.severity == "weak" for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """For other programs; the names are stable."""
        tried = [
            {"id": one.attack.id, "title": one.attack.title, "result": one.result, "because": one.because}
            for one in self.attempts
        ]
        return {"weak": self.weak, "findings": [asdict(finding) for finding in self.findings], "attacks": tried}


async def examine(
    url: str | None = None,
    *,
    auth: Auth[Any] | None = None,
    trying: bool = True,
    only: Collection[str] | None = None,
    clock: Clock | None = None,
) -> Report:
    """Examine a deployment, and try the server at `url` (the issuer, unless given).

    The deployment is that of `auth`, where an application has its own, or the one that the environment names. Nothing is
    changed but the doctor's own accounts, which are gone at the end. `only` names the attacks that are tried.
    """
    # the settings of a weak Auth were refused before
    settings, refusals = house.examine() if auth is None else (auth.whereabouts(), tuple(auth.weaknesses()))
    found = [findings.of_refusal(refusal) for refusal in refusals]
    found += configuration.examine(settings, url)
    deployed, ready = await deployment.examine(settings, clock or SystemClock())
    found += deployed
    attempts: list[Attempt] = []
    if trying:
        told, attempts = await trial.run(settings, url, auth, may_enter=ready and not refusals, only=only)
        found += told
    found.sort(key=lambda finding: finding.severity != "weak")
    return Report(tuple(found), tuple(attempts))


def catalogue() -> list[dict[str, Any]]:
    """Everything that may be found, for the documentation: id, kind, severity, weakness, cure, setting."""
    kinds = {
        "refusal": findings.REFUSED,
        "configuration": findings.CONFIGURATION,
        "deployment": findings.DEPLOYMENT,
        "server": findings.SERVER,
    }
    checks = [{"kind": kind, **asdict(check)} for kind, listed in kinds.items() for check in listed]
    names = ("id", "title", "severity", "weakness", "cure", "setting")
    return [*checks, *({"kind": "attack"} | {name: getattr(attack, name) for name in names} for attack in ALL)]
