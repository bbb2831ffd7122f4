"""How the command line speaks: one line per fact for people, one JSON document for programs."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from ollm.attest.tables import ALL_CHECKS
from ollm.cli.mends import mend
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


def show_appraisal(appraisal: Appraisal, more: Mapping[str, object] = MappingProxyType({})) -> None:
    """Every check, the mend of a refusal, what people should know, what stays unproven, `more` by its names, and the verdict."""
    targets = dict.fromkeys(check.target for check in appraisal.checks)
    for target in targets:
        if target:
            say(f"  [bold]{quiet(target)}[/]")
        show_checks(tuple(check for check in appraisal.checks if check.target == target))
    for warning in appraisal.warnings:
        say(f"  [yellow]! {quiet(warning)}[/]")
    if appraisal.failure is not None and (advice := mend(appraisal.failure.name)):
        say(f"  To mend it: {quiet(advice)}.")
    for unproven in filter(None, appraisal.claims.extra.get("unproven", "").split("; ")):
        say(f"  [dim]Not proven: {quiet(unproven)}.[/]")
    for name, value in more.items():
        if value is not None:
            say(f"  {name.replace('_', ' ')}: {quiet(str(value))}")
    say(verdict(appraisal))


def verdict(appraisal: Appraisal) -> str:
    """The verdict in one sentence, with markup."""
    if not appraisal.accepted:
        return "[red]Refused.[/] Nothing would be sent to this machine."
    if str(appraisal.level) == "simulated":
        return "Accepted as [yellow]simulated[/]: software plays the hardware here, and nothing is proven about privacy."
    return "[green]Accepted[/]: " + quiet(f"level {appraisal.level}, under policy {appraisal.policy}.")


def _proves(check: Check) -> str:
    proof = ALL_CHECKS.get(check.name)
    return proof.proves if proof is not None else ""


def show_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Lines under a header, each column as wide as its widest cell; the last one is free, and may hold markup of ours."""
    widths = [max(len(row[at]) for row in (header, *rows)) for at in range(len(header) - 1)]
    say(f"[bold]{_padded(header, widths)}{quiet(header[-1])}[/]")
    for row in rows:
        say(f"{_padded(row, widths)}{row[-1]}")


def _padded(row: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(quiet(f"{cell:<{width}}  ") for cell, width in zip(row, widths, strict=False))


def amount(micro_per_million: int) -> str:
    """The price of a million tokens, in whole units of the currency."""
    whole, micro = divmod(micro_per_million, 1_000_000)
    return f"{whole}.{micro:06}".rstrip("0").rstrip(".")


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
        "warnings": list(appraisal.warnings),
        "checks": [check_document(check) for check in appraisal.checks],
        "claims": appraisal.claims.document(),
    }


def check_document(check: Check) -> dict[str, str]:
    """A check as JSON: what was found, and what it is worth. `target` and `mend` only where there is one."""
    proof = ALL_CHECKS.get(check.name)
    document = {"name": check.name, "outcome": str(check.outcome), "got": check.got, "want": check.want}
    if check.target:
        document["target"] = check.target
    if proof is not None:
        document |= {"proves": proof.proves, "source": proof.source}
    if check.outcome is Outcome.FAILED and (advice := mend(check.name)):
        document["mend"] = advice
    return document
