"""The report for people: at a terminal with colours, in a pipe as plain lines."""

from collections import Counter

from rich.console import Console
from rich.text import Text

from watchword.server.doctor import Report
from watchword.server.doctor.findings import Finding

COLOURS = {"weak": "bold red", "note": "yellow", "accepted": "bold red", "refused": "green", "not tried": "yellow"}


def show(report: Report, console: Console) -> None:
    """Print findings with their cures, then the attacks, then one line that sums up."""
    for finding in report.findings:
        _finding(finding, console)
    if report.attempts:
        console.print("Attacks on the running server:")
        for one in report.attempts:
            line = Text.assemble(
                "  ", (f"{one.result:<10}", COLOURS[one.result]), f"{one.attack.id:<28}{one.attack.title}"
            )
            console.print(line.append(f": {one.because}" if one.because else ""), soft_wrap=True)
        console.print()
    console.print(_sum(report), soft_wrap=True)


def _finding(finding: Finding, console: Console) -> None:
    concerned = f"  {finding.setting}" if finding.setting else ""
    head = Text.assemble((f"{finding.severity:<5}", COLOURS[finding.severity]), f" {finding.id}{concerned}")
    console.print(head, soft_wrap=True)
    console.print(Text(f"      {finding.weakness}"), soft_wrap=True)
    console.print(Text(f"      cure: {finding.cure}\n"), soft_wrap=True)


def _sum(report: Report) -> str:
    found = Counter(finding.severity for finding in report.findings)
    results = Counter(one.result for one in report.attempts)
    weak = found["weak"]
    nothing = "Nothing is weak." if not results["accepted"] else "No setting is weak."
    said = nothing if not weak else f"{weak} thing{'s are' if weak > 1 else ' is'} weak."
    notes = f" {found['note']} note{'s' if found['note'] > 1 else ''}." if found["note"] else ""
    tried = (
        f" Attacks: {', '.join(f'{number} {result}' for result, number in sorted(results.items()))}." if results else ""
    )
    return said + notes + tried
