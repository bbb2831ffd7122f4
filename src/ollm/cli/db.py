"""`ollm db`: the store's database: bring it up to date, copy it, bring a copy back, look at it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ollm.app.build import place_of_store, store_of
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line, run
from ollm.cli.output import emit, quiet, say
from ollm.config.load import Loaded, key_bytes
from ollm.store.checkup import examine
from ollm.store.dump import backup as back_up
from ollm.store.migrate import REVISIONS
from ollm.store.restore import Restored
from ollm.store.restore import restore as bring_back
from ollm.store.rollups import Roller
from ollm.store.sqlite import Role, Store

app = typer.Typer(
    no_args_is_help=True, help="The database of keys, ledger and receipts: upgrade, backup, restore, check. SQLite or PostgreSQL: [store]."
)
T = TypeVar("T")


@app.command()
@one_line
def upgrade(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Bring the database to this version's schema; on PostgreSQL, make the next days' partitions.

    A gateway does the same when it starts; this does it beforehand, and brings the sums for reports up to date.
    """
    loaded = configuration(config)

    def work(store: Store) -> int:
        return Roller(store.engine).run()

    rolled = _with_store(loaded, "admin", work)
    if as_json:
        emit({"revision": REVISIONS[-1], "rolled_up": rolled})
    else:
        say(f"The database is at revision {REVISIONS[-1]}; {rolled} entries were rolled up.")


@app.command()
@one_line
def backup(
    file: Annotated[Path, typer.Argument(help="A new file, which only this user can read.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Write all that the database holds at this moment to a file, while the gateway runs.

    The secrets of [secrets] are not in it: keep them apart. Receipts rest sealed in it.
    """
    size = _with_store(configuration(config), "admin", lambda store: back_up(store.engine, file))
    if as_json:
        emit({"file": str(file), "bytes": size})
    else:
        say(f"{quiet(str(file))} has {size:,} bytes. Without the secrets of \\[secrets] it is of no use: keep them apart.")


@app.command()
@one_line
def restore(
    file: Annotated[Path, typer.Argument(help="What `ollm db backup` wrote, on SQLite or on PostgreSQL.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Bring a backup into an empty database, of either kind. The row key must be the one that it was made with; every row's MAC is verified."""
    loaded = configuration(config)
    source = loaded.settings.secrets.row_key
    row_key = key_bytes(loaded.secret(source), source)
    place = place_of_store(loaded)
    role: Role = "gateway" if isinstance(place, Path) else "admin"  # on SQLite no gateway may run meanwhile

    def work(store: Store) -> Restored:
        return bring_back(store.engine, file, row_key)

    restored = _with_store(loaded, role, work)
    if as_json:
        emit({"installation_id": restored.installation_id, "rows": restored.rows})
    else:
        say(f"Installation {restored.installation_id} is back: " + ", ".join(f"{count} {table}" for table, count in restored.rows.items() if count))


@app.command()
@one_line
def check(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Look at the database from within: MACs, sums, partitions. Ends 0 when all is well, 1 when something isn't. Reads the whole ledger."""
    loaded = configuration(config)
    source = loaded.settings.secrets.row_key
    row_key = key_bytes(loaded.secret(source), source)
    findings = _with_store(loaded, "admin", lambda store: examine(store.engine, row_key))
    if as_json:
        emit([{"check": finding.check, "ok": finding.ok, "detail": finding.detail} for finding in findings])
    for finding in findings if not as_json else ():
        say(f"{'[green]ok[/]' if finding.ok else '[red]no[/]'}  {finding.check}{': ' if finding.detail else ''}{finding.detail}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


def _with_store(loaded: Loaded, role: Role, work: Callable[[Store], T]) -> T:
    async def opened() -> T:
        store = store_of(loaded, role=role)
        try:
            return work(store)
        finally:
            await store.close()

    return run(opened())
