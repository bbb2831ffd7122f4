"""`ollm accounts`: service accounts, which own keys and are no people."""

from typing import Annotated, Any

import typer

from ollm.admin.objects import account_object
from ollm.cli.administering import DAY, changing, pepper_of, project_named, reading
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line
from ollm.cli.output import emit, quiet, say
from ollm.errors import NoSuchSubject
from ollm.store import identity, issuing
from ollm.store.changes import Changes, View
from ollm.store.keys import NewKey
from ollm.values.identity import DEFAULT_PROJECT, ServiceAccount
from ollm.values.level import Level

app = typer.Typer(no_args_is_help=True, help="Create, list and remove service accounts.")


@app.command("list")
@one_line
def list_accounts(
    project: Annotated[str | None, typer.Option("--project", help="Only those of this project: its id or name.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List service accounts with their projects."""

    def work(view: View) -> list[ServiceAccount]:
        wanted = project_named(view, project).project_id if project is not None else None
        return [row for row in view.all(ServiceAccount) if row.removed_at is None and wanted in (None, row.project_id)]

    rows = reading(configuration(config), work)
    if as_json:
        emit([{**account_object(row), "project_id": row.project_id} for row in rows])
        return
    for row in rows:
        say(f"{row.account_id:<22} {quiet(row.name):<24} {row.project_id}")
    if not rows:
        say("No service accounts yet. `ollm accounts create NAME --project PROJECT` makes one.")


@app.command()
@one_line
def create(
    name: Annotated[str, typer.Argument(help="A name for people: up to 64 letters, digits, spaces and . _ - / : @ +")],
    project: Annotated[str, typer.Option("--project", help="Id or name of the project that it belongs to.")] = DEFAULT_PROJECT,
    require: Annotated[Level, typer.Option(help="Lowest execution level that may serve its first key.")] = Level.TEE,
    days: Annotated[int | None, typer.Option(min=1, max=36500, help="Days until its first key expires; never, if absent.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a service account with its first key, and print that, once.

    Example: ollm accounts create nightly-batch --project Payroll
    """
    loaded = configuration(config)
    pepper = pepper_of(loaded)

    def work(changes: Changes) -> tuple[ServiceAccount, str, str]:
        row = identity.create_account(changes, project_named(changes, project).project_id, name)
        ends = changes.now + days * DAY if days is not None else None
        new = NewKey(name=name, require=require, created_at=changes.now, expires_at=ends, project_id=row.project_id, owner=row.account_id)
        text, key = issuing.create_key(changes, new, pepper)
        return row, text, key.key_id

    row, text, key_id = changing(loaded, work)
    if as_json:
        emit({**account_object(row), "project_id": row.project_id, "api_key": {"id": key_id, "value": text}})
        return
    say(f"Service account [bold]{quiet(row.name)}[/] (id {row.account_id}) with key {key_id}. The key is not shown again:")
    say(f"\n  {text}\n")


@app.command()
@one_line
def remove(
    account_id: Annotated[str, typer.Argument(help="The id that `ollm accounts list` shows.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Remove a service account and revoke its keys."""

    def work(changes: Changes) -> ServiceAccount:
        row = changes.one(ServiceAccount, account_id)
        if row is None:
            raise NoSuchSubject("service account")
        return identity.remove_account(changes, row.project_id, account_id)

    row = changing(configuration(config), work)
    shown: dict[str, Any] = {"id": row.account_id, "removed": True}
    if as_json:
        emit(shown)
    else:
        say(f"Service account {quiet(row.account_id)} is removed; its keys are revoked.")
