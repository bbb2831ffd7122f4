"""`ollm keys`: API keys of this installation."""

import json
import re
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ollm.admin.objects import key_object, owner_lookup, status_of
from ollm.cli.administering import (
    DAY,
    BudgetsOption,
    LimitsOption,
    ModelsOption,
    NetworksOption,
    changing,
    day_of,
    pepper_of,
    project_named,
    reading,
    terms_of,
    with_store,
)
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line, time_of
from ollm.cli.output import emit, quiet, say
from ollm.errors import ConfigError
from ollm.store import issuing
from ollm.store.changes import Changes, View
from ollm.store.keys import NewKey
from ollm.store.sqlite import Store
from ollm.values.identity import DEFAULT_PROJECT, Role
from ollm.values.ledger import KeyRow
from ollm.values.level import Level

app = typer.Typer(no_args_is_help=True, help="Create, list, rotate, disable and revoke API keys. A key is shown once; only an HMAC of it is kept.")

_MAX_DAYS = 36500  # a century: longer is a slip of the finger
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": DAY}
KeyArgument = Annotated[str, typer.Argument(help="The id that `ollm keys list` shows.")]


@app.command()
@one_line
def create(
    name: Annotated[str, typer.Argument(help="A name for people: up to 64 letters, digits, spaces and . _ - / : @ +")],
    require: Annotated[
        Level, typer.Option(help="Lowest execution level that may serve this key. The configuration's floor tightens it.")
    ] = Level.TEE,
    days: Annotated[int | None, typer.Option(min=1, max=_MAX_DAYS, help="Days until it expires; never, if absent.")] = None,
    project: Annotated[str, typer.Option("--project", help="Id or name of the project that it belongs to.")] = DEFAULT_PROJECT,
    role: Annotated[Role, typer.Option(help="member calls models; the others administer or read, over `ollm admin`.")] = Role.MEMBER,
    account: Annotated[str | None, typer.Option("--account", help="Id of the service account or user that it belongs to.")] = None,
    models: ModelsOption = None,
    networks: NetworksOption = None,
    limits: LimitsOption = None,
    budgets: BudgetsOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once.

    Example: ollm keys create payroll-app --days 90 --project Payroll --limit requests_per_minute=60
    """
    loaded = configuration(config)
    pepper = pepper_of(loaded)
    terms = terms_of(loaded, models, networks, limits, budgets)

    def work(changes: Changes) -> tuple[str, KeyRow]:
        new = NewKey(
            name=name,
            require=require,
            created_at=changes.now,
            expires_at=changes.now + days * DAY if days is not None else None,
            project_id=project_named(changes, project).project_id,
            owner=account,
            role=role,
            terms=terms,
        )
        return issuing.create_key(changes, new, pepper)

    _made(*changing(loaded, work), as_json)


@app.command("list")
@one_line
def list_keys(
    project: Annotated[str | None, typer.Option("--project", help="Only those of this project: its id or name.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List keys: ids, names, roles, levels and ends; never secrets."""

    def work(view: View) -> list[KeyRow]:
        rows = view.all(KeyRow)
        wanted = project_named(view, project).project_id if project is not None else None
        return [row for row in rows if wanted in (None, row.project_id)]

    rows = reading(configuration(config), work)
    if as_json:
        emit([_row(row) for row in rows])
        return
    for row in rows:
        say(f"{row.key_id}  {row.name:<24} {row.role:<8} {row.project_id:<22} requires {row.require:<10} {_state(row)}")
    if not rows:
        say("No keys yet. `ollm keys create NAME` makes one.")


@app.command()
@one_line
def show(key_id: KeyArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show one key: its project, owner, role, terms, and when it was last used."""
    loaded = configuration(config)

    async def work(store: Store) -> dict[str, Any]:
        used = (await store.reports.last_uses()).get(key_id)

        def shown(view: View) -> dict[str, Any]:
            row = issuing.key(view, key_id)
            return key_object(row, int(time.time()), owner_lookup(view)(row), None if used is None else used // 1000)

        return await store.administration.read(shown)

    found = with_store(loaded, work)
    if as_json:
        emit(found)
        return
    owner = found["owner"]
    belongs = owner[owner["type"]]["name"] if owner["type"] else "nobody in particular"
    say(f"[bold]{quiet(found['name'])}[/] (id {key_id}): {found['status']}")
    say(f"  role {found['role']}, requires {found['require']}, project {found['project_id']}, belongs to {quiet(belongs)}")
    say(f"  made {_moment(found['created_at'])}, last used {_moment(found['last_used_at'])}, ends {_moment(found['expires_at'])}")
    if found["replaces"]:
        say(f"  takes the place of {found['replaces']}")
    for name, value in found["terms"].items():
        say(f"  {name}: {quiet(json.dumps(value))}")


@app.command()
@one_line
def rotate(
    key_id: KeyArgument,
    grace: Annotated[str, typer.Option("--grace", help="How long the old key stays valid: 48h, 30m, 7d, 0s.")] = "24h",
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a new key in the place of this one, with its project, owner and terms. The old one ends after the grace.

    Example: ollm keys rotate abcdefgh234567ab --grace 48h
    """
    loaded = configuration(config)
    pepper, seconds = pepper_of(loaded), _seconds(grace)
    _made(*changing(loaded, lambda changes: issuing.rotate_key(changes, key_id, seconds, pepper)), as_json)


@app.command()
@one_line
def disable(key_id: KeyArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Refuse a key until it is enabled again."""
    _change(lambda changes: issuing.disable_key(changes, key_id), config, as_json, "disabled")


@app.command()
@one_line
def enable(key_id: KeyArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Let a disabled key in again."""
    _change(lambda changes: issuing.enable_key(changes, key_id), config, as_json, "enabled")


@app.command()
@one_line
def revoke(key_id: KeyArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Revoke a key, for good. A running gateway refuses it within a second."""
    _change(lambda changes: issuing.revoke_key(changes, key_id), config, as_json, "revoked")


def _change(work: Callable[[Changes], KeyRow], config: ConfigOption, as_json: bool, became: str) -> None:
    row = changing(configuration(config), work)
    if as_json:
        emit({"id": row.key_id, became: True})
    else:
        say(f"Key {quiet(row.key_id)} is {became}.")


def _made(text: str, row: KeyRow, as_json: bool) -> None:
    if as_json:
        shown = {"key": text, "id": row.key_id, "name": row.name, "require": row.require, "expires_at": row.expires_at}
        emit({**shown, "project_id": row.project_id, "role": row.role, "replaces": row.replaces})
        return
    say(f"Key for [bold]{quiet(row.name)}[/] (id {row.key_id}, {row.role}, requires {row.require}). It is not shown again:")
    say(f"\n  {text}\n")


def _row(row: KeyRow) -> dict[str, Any]:
    return {
        "id": row.key_id,
        "name": row.name,
        "project_id": row.project_id,
        "owner": row.owner,
        "role": row.role,
        "require": row.require,
        "status": status_of(row, int(time.time())),
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "disabled_at": row.disabled_at,
        "revoked_at": row.revoked_at,
        "replaces": row.replaces,
    }


def _state(row: KeyRow) -> str:
    status = status_of(row, int(time.time()))
    return status if status != "active" else f"until {day_of(row.expires_at)}" if row.expires_at else "no end"


def _moment(seconds: int | None) -> str:
    return "never" if seconds is None else time_of(seconds)


def _seconds(text: str) -> int:
    match = re.fullmatch(r"([0-9]{1,6})([smhd])", text)
    if match is None:
        raise ConfigError(f"--grace {text[:20]!a} is no time", "write a number and s, m, h or d, such as 48h")
    return int(match[1]) * _UNITS[match[2]]
