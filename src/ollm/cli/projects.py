"""`ollm projects`: projects of this installation, and their terms."""

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from ollm.admin.objects import project_object, terms_object
from ollm.attest.strict_json import parse
from ollm.cli.administering import BudgetsOption, LimitsOption, ModelsOption, NetworksOption, changing, day_of, project_named, reading, terms_of
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line
from ollm.cli.output import emit, quiet, say
from ollm.config.terms_rules import check_terms
from ollm.errors import ConfigError, EvidenceRefused
from ollm.store import identity
from ollm.store.changes import Changes
from ollm.values.identity import Project
from ollm.values.terms import Terms

app = typer.Typer(no_args_is_help=True, help="Create, list, rename and archive projects, and set their terms.")

ProjectArgument = Annotated[str, typer.Argument(help="Id or name of the project.")]
_MAX_FILE = 65_536


@app.command("list")
@one_line
def list_projects(
    archived: Annotated[bool, typer.Option("--archived", help="Archived ones as well.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """List projects: ids, names, and whether they have terms."""
    rows = reading(configuration(config), lambda view: view.all(Project))
    rows = [row for row in rows if archived or row.archived_at is None]
    if as_json:
        emit([project_object(row) for row in rows])
        return
    for row in rows:
        terms = ", ".join(terms_object(row.terms)) or "no terms"
        say(f"{row.project_id:<22} {quiet(row.name):<24} {terms}{f'; archived {day_of(row.archived_at)}' if row.archived_at else ''}")


@app.command()
@one_line
def create(
    name: Annotated[str, typer.Argument(help="A name for people: up to 64 letters, digits, spaces and . _ - / : @ +")],
    models: ModelsOption = None,
    networks: NetworksOption = None,
    limits: LimitsOption = None,
    budgets: BudgetsOption = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make a project.

    Example: ollm projects create Payroll --model llama-3.3-70b --budget month=200
    """
    loaded = configuration(config)
    terms = terms_of(loaded, models, networks, limits, budgets)
    _told(changing(loaded, lambda changes: identity.create_project(changes, name, terms)), as_json, "is made")


@app.command()
@one_line
def show(project: ProjectArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Show one project with its terms."""
    row = reading(configuration(config), lambda view: project_named(view, project))
    if as_json:
        emit(project_object(row))
        return
    say(f"[bold]{quiet(row.name)}[/] (id {row.project_id}), made {day_of(row.created_at)}, archived {day_of(row.archived_at)}")
    _show_terms(row.terms)


@app.command()
@one_line
def rename(
    project: ProjectArgument,
    name: Annotated[str, typer.Argument(help="Its new name.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Give a project another name."""

    def work(changes: Changes) -> Project:
        return identity.rename_project(changes, project_named(changes, project).project_id, name)

    _told(changing(configuration(config), work), as_json, "is renamed")


@app.command()
@one_line
def archive(project: ProjectArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """End a project: its keys are refused within a second."""

    def work(changes: Changes) -> Project:
        return identity.archive_project(changes, project_named(changes, project).project_id)

    _told(changing(configuration(config), work), as_json, "is archived")


@app.command()
@one_line
def terms(
    project: ProjectArgument,
    file: Annotated[Path | None, typer.Option("--set", help="A JSON file with the terms that take the place of its own.")] = None,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Show a project's terms, or set them.

    Example: ollm projects terms Payroll --set terms.json
    """
    loaded = configuration(config)
    if file is None:
        row = reading(loaded, lambda view: project_named(view, project))
    else:
        wanted = _read_terms(file)
        check_terms(str(file), wanted, loaded.settings)

        def work(changes: Changes) -> Project:
            return identity.set_project_terms(changes, project_named(changes, project).project_id, wanted)

        row = changing(loaded, work)
    if as_json:
        emit(terms_object(row.terms))
    else:
        _show_terms(row.terms)


def _read_terms(file: Path) -> Terms:
    try:
        return msgspec.convert(parse(file.read_bytes(), limit=_MAX_FILE, check="terms"), Terms)
    except OSError as problem:
        raise ConfigError(f"can't read {file}: {problem.strerror}", "name a file that exists") from None
    except EvidenceRefused as refusal:
        raise ConfigError(f"{file} has {refusal.got}", f"write {refusal.want}") from None
    except msgspec.ValidationError as problem:
        raise ConfigError(f"{file} holds no terms: {problem}", "see docs/reference/admin-api.md") from None


def _show_terms(wanted: Terms) -> None:
    found: dict[str, Any] = terms_object(wanted)
    for name, value in found.items():
        say(f"  {name}: {quiet(json.dumps(value))}")
    if not found:
        say("  no terms of its own")


def _told(row: Project, as_json: bool, became: str) -> None:
    if as_json:
        emit(project_object(row))
    else:
        say(f"Project [bold]{quiet(row.name)}[/] (id {row.project_id}) {became}.")
