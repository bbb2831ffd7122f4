"""`ollm usage`: what was used and what it cost, as a table that people can read."""

import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ollm.admin.exports import cell, csv_lines
from ollm.admin.reporting import Dimension, Sums, Wanted
from ollm.app.reports import StoreReports
from ollm.cli.administering import DAY, money_of, with_store
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, moment, one_line
from ollm.cli.output import emit, say, show_table
from ollm.errors import ConfigError
from ollm.store.changes import View
from ollm.store.sqlite import Store
from ollm.values.identity import Project
from ollm.values.ledger import KeyRow

_BY: tuple[Dimension, ...] = ("project", "key", "model", "upstream", "level", "tier", "endpoint")
_COLUMNS = ("requests", "prompt_tokens", "completion_tokens", "cost_micro", "estimated", "unpriced")


@one_line
def usage(
    *,
    days: Annotated[int, typer.Option("--days", min=1, max=3660, help="The last so many days, today included.")] = 30,
    start: Annotated[str | None, typer.Option("--start", help="From this time on, in place of --days: 2026-12-01, or Unix seconds.")] = None,
    end: Annotated[str | None, typer.Option("--end", help="Until before this time. Default: now.")] = None,
    by: Annotated[str, typer.Option("--by", help=f"Told apart by some of {', '.join(_BY)}, and day.")] = "project,model",
    project: Annotated[str | None, typer.Option("--project", help="Only this project's id.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only this key's id.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only this model.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV instead of a table.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Print requests, tokens and cost by project and model, or by what --by says.

    Example: ollm usage --days 7 --by key,model
    """
    loaded = configuration(config)
    groups, by_day = _groups(by)
    first, last = _window(start, end, days)
    given: dict[Dimension, str | None] = {"project": project, "key": key, "model": model}
    only = {name: (value,) for name, value in given.items() if value is not None}

    async def work(store: Store) -> tuple[Sequence[Sums], dict[str, str]]:
        wanted = Wanted(start=first, end=last, width=DAY, group_by=groups, only=only)
        return await StoreReports(store.reports).usage(wanted), await store.administration.read(_names)

    found, names = with_store(loaded, work)
    rows = _rows(found, groups, by_day=by_day)
    labels = [*(["day"] if by_day else []), *groups]
    if as_json:
        emit({"start_time": first, "end_time": last, "currency": loaded.settings.gateway.currency, "rows": rows})
    elif as_csv:
        columns = (*labels, *_COLUMNS)
        sys.stdout.write(csv_lines([columns, *([cell(row[name]) for name in columns] for row in rows)]).decode())
    else:
        _show(rows, labels, names, loaded.settings.gateway.currency, (first, last))


def _groups(by: str) -> tuple[tuple[Dimension, ...], bool]:
    asked = [name.strip() for name in by.split(",") if name.strip()]
    unknown = [name for name in asked if name not in (*_BY, "day")]
    if unknown or len(set(asked)) != len(asked):
        raise ConfigError(f"--by {by[:64]!a} can't be told apart", f"name some of {', '.join(_BY)} and day, each once")
    return tuple(name for name in _BY if name in asked), "day" in asked


def _window(start: str | None, end: str | None, days: int) -> tuple[int, int]:
    """First and last second, on borders of days (UTC). Raises: ConfigError."""
    last = -(-moment(end) // DAY) * DAY if end is not None else (moment(None) // DAY + 1) * DAY
    first = moment(start) // DAY * DAY if start is not None else last - days * DAY
    if first >= last:
        raise ConfigError("--start is not before --end", "give an earlier start")
    return first, last


def _names(view: View) -> dict[str, str]:
    """Id → name, of projects and keys."""
    return {row.project_id: row.name for row in view.all(Project)} | {row.key_id: row.name for row in view.all(KeyRow)}


def _rows(found: Sequence[Sums], groups: tuple[Dimension, ...], *, by_day: bool) -> list[dict[str, Any]]:
    """One row for each group, the most expensive first; by the day, in the order of days."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for sums in found:
        day = time.strftime("%Y-%m-%d", time.gmtime(sums.start))
        labels = {"day": day} if by_day else {}
        labels |= dict(zip(groups, sums.group, strict=True))  # type: ignore[arg-type]
        row = rows.setdefault(tuple(labels.values()), {**labels, **dict.fromkeys(_COLUMNS, 0)})
        for name in _COLUMNS:
            row[name] += getattr(sums, name)
    return sorted(rows.values(), key=lambda row: (row.get("day", ""), -row["cost_micro"], -row["requests"]))


def _show(rows: list[dict[str, Any]], labels: list[str], names: dict[str, str], currency: str, window: tuple[int, int]) -> None:
    first, last = (time.strftime("%Y-%m-%d", time.gmtime(seconds)) for seconds in (window[0], window[1] - 1))
    say(f"From {first} to {last}, UTC")
    if not rows:
        say("No request reached a provider in this time.")
        return
    header = [*labels, "requests", "prompt", "completion", "estimated", "cost"]
    total = {name: sum(row[name] for row in rows) for name in _COLUMNS}
    lines = [[*(_label(row[name], names) for name in labels), *_figures(row, currency)] for row in rows]
    if labels:
        lines.append(["total", *[""] * (len(labels) - 1), *_figures(total, currency)])
    show_table(header, lines)
    if total["unpriced"]:
        say(f"{total['unpriced']} requests used models whose price isn't known; they are in no cost.")


def _figures(row: dict[str, Any], currency: str) -> list[str]:
    share = f"{100 * row['estimated'] // row['requests']} %" if row["estimated"] else "-"
    cost = money_of(row["cost_micro"], currency) + (" + unknown" if row["unpriced"] else "")
    return [f"{row['requests']:,}", f"{row['prompt_tokens']:,}", f"{row['completion_tokens']:,}", share, cost]


def _label(value: str | None, names: dict[str, str]) -> str:
    return "-" if value is None else names.get(value, value)
