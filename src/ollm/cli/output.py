"""How the command line speaks: one line per fact for people, one JSON document for programs."""

import json
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from ollm.attest.checks import CHECKS
from ollm.values.checks import Appraisal, Check, Outcome

TRUSTED, REFUSED, UNUSABLE = 0, 1, 2  # exit codes of every `verify`

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_MARKS = {Outcome.PASSED: "[green]✓[/]", Outcome.FAILED: "[red]✗[/]", Outcome.NOT_REACHED: "[dim]·[/]"}


def emit(document: Any) -> None:
    """One JSON document on standard output."""
    console.out(json.dumps(document, indent=2, ensure_ascii=False))


def say(text: str = "") -> None:
    """A line for people; `text` may hold rich markup of ours."""
    console.print(text)


def quiet(text: str) -> str:
    """`text` from elsewhere, safe inside markup."""
    return escape(text)


def fail(cause: str, mend: str = "", *, code: int = UNUSABLE) -> NoReturn:
    """End with one line that names the cause and the mend."""
    errors.print(f"[red]ollm:[/] {escape(cause)}" + (f" — {escape(mend)}" if mend else ""))
    raise typer.Exit(code)


def show_checks(checks: tuple[Check, ...]) -> None:
    """Every check with what it got; a failed one with what it wanted."""
    for check in checks:
        line = f"  {_MARKS[check.outcome]} {check.name:<30}"
        if check.outcome is Outcome.NOT_REACHED:
            say(f"[dim]{line} not reached[/]")
        elif check.outcome is Outcome.FAILED:
            say(f"{line} got [red]{quiet(check.got)}[/], want {quiet(check.want)}")
        else:
            say(f"{line} [dim]{quiet(short(check.got or _proves(check)))}[/]")


def _proves(check: Check) -> str:
    proof = CHECKS.get(check.name)
    return proof.proves if proof is not None else ""


def short(text: str, length: int = 92) -> str:
    """`text`, cut to `length` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def appraisal_document(appraisal: Appraisal) -> dict[str, Any]:
    """An appraisal as JSON."""
    return {
        "accepted": appraisal.accepted,
        "policy": appraisal.policy,
        "level": str(appraisal.level),
        "valid_until": appraisal.valid_until,
        "checks": [{"name": c.name, "outcome": str(c.outcome), "got": c.got, "want": c.want} for c in appraisal.checks],
        "claims": appraisal.claims.document(),
    }
