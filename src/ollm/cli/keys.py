"""`ollm keys`: API keys of this installation."""

import time
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypeVar

import typer

from ollm.app.build import store_of
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line, run
from ollm.cli.output import emit, quiet, say
from ollm.config.load import Loaded, key_bytes
from ollm.store.keys import NewKey
from ollm.store.sqlite import Store
from ollm.values.ledger import KeyRow
from ollm.values.level import Level

app = typer.Typer(no_args_is_help=True, help="Create, list and revoke API keys. A key is shown once; only an HMAC of it is kept.")

_DAY = 86400
_MAX_DAYS = 36500  # a century: longer is a slip of the finger
T = TypeVar("T")


@app.command()
@one_line
def create(
    name: Annotated[str, typer.Argument(help="A name for people: up to 64 letters, digits, spaces and . _ - / : @ +")],
    require: Annotated[
        Level, typer.Option(help="Lowest execution level that may serve this key. The configuration's floor tightens it.")
    ] = Level.TEE,
    days: Annotated[int | None, typer.Option(min=1, max=_MAX_DAYS, help="Days until it expires; never, if absent.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a key and print it, once.

    Example: ollm keys create payroll-app --days 90
    """
    loaded = configuration(config)
    source = loaded.settings.secrets.pepper
    pepper = key_bytes(loaded.secret(source), source)

    async def work(store: Store) -> tuple[str, KeyRow]:
        now = int(time.time())
        expires = now + days * _DAY if days is not None else None
        return await store.keys.create(NewKey(name=name, require=require, created_at=now, expires_at=expires), pepper=pepper)

    text, row = run(_with_store(loaded, work))
    if as_json:
        emit({"key": text, "id": row.key_id, "name": row.name, "require": row.require, "expires_at": row.expires_at})
    else:
        say(f"Key for [bold]{quiet(row.name)}[/] (id {row.key_id}, requires {row.require}). It is not shown again:")
        say(f"\n  {text}\n")


@app.command("list")
@one_line
def list_keys(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List keys: ids, names, levels and ends; never secrets."""

    async def work(store: Store) -> list[KeyRow]:
        return await store.keys.list()

    rows = run(_with_store(configuration(config), work))
    if as_json:
        emit([_row(row) for row in rows])
        return
    for row in rows:
        state = "revoked" if row.revoked_at else f"until {_day(row.expires_at)}" if row.expires_at else "no end"
        say(f"{row.key_id}  {row.name:<24} requires {row.require:<10} {state}")
    if not rows:
        say("No keys yet. `ollm keys create NAME` makes one.")


@app.command()
@one_line
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id that `ollm keys list` shows.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Revoke a key. A running gateway refuses it within a second."""

    async def work(store: Store) -> KeyRow:
        return await store.keys.revoke(key_id, int(time.time()))

    run(_with_store(configuration(config), work))
    if as_json:
        emit({"id": key_id, "revoked": True})
    else:
        say(f"Key {quiet(key_id)} is revoked.")


async def _with_store(loaded: Loaded, work: Callable[[Store], Awaitable[T]]) -> T:
    store = store_of(loaded, role="admin")
    await store.start()
    try:
        return await work(store)
    finally:
        await store.close()


def _row(row: KeyRow) -> dict[str, Any]:
    return {
        "id": row.key_id,
        "name": row.name,
        "require": row.require,
        "created_at": row.created_at,
        "expires_at": row.expires_at,
        "revoked_at": row.revoked_at,
    }


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
