"""`ollm apply` and `ollm admin`: projects as the configuration declares them, and the control plane as a process."""

import json
import time
from typing import Annotated, Any

import typer

from ollm.app.admin import run as run_admin
from ollm.cli.administering import with_store
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line
from ollm.cli.output import emit, quiet, say
from ollm.config.settings import Settings
from ollm.serving.server import Server
from ollm.store.changes import local_actor
from ollm.store.declared import Declared, DeclaredProject, Step, bring_about
from ollm.store.sqlite import Store

_MARKS = {"created": "[green]+[/]", "changed": "[yellow]~[/]", "archived": "[red]-[/]"}


@one_line
def apply(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would change.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Archive projects, and remove service accounts, that are not declared.")] = False,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Make the organisation and its projects what [organisation] and [projects.NAME] of the configuration say, all of it or nothing.

    Example: ollm apply --dry-run
    """
    loaded = configuration(config)
    declared = declared_in(loaded.settings)

    async def work(store: Store) -> list[Step]:
        return await store.administration.write(
            local_actor(), int(time.time()), lambda changes: bring_about(changes, declared, prune=prune), keep=not dry_run
        )

    steps = with_store(loaded, work)
    if as_json:
        emit({"applied": not dry_run, "steps": [_document(step) for step in steps]})
        return
    for step in steps:
        say(f"{_MARKS[step.action]} {step.action} {step.kind} [bold]{quiet(step.name)}[/]")
        for name, (before, after) in step.fields.items():
            say(f"    {name}: {quiet(_shown(before))} → {quiet(_shown(after))}")
    if not steps:
        say("Nothing to change.")
    else:
        say(f"{len(steps)} differences; nothing was changed (--dry-run)." if dry_run else f"{len(steps)} differences applied.")


@one_line
def admin(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Run the control plane, the admin API, until SIGTERM or Ctrl-C: a process of its own beside `ollm serve`.

    Example: ollm admin -c /etc/ollm/ollm.toml
    """
    loaded = configuration(config)

    def announce(server: Server) -> None:
        settings = loaded.settings.admin
        url = f"{'https' if settings.tls_certificate else 'http'}://{settings.listen.rpartition(':')[0]}:{server.port}/v1/organization"
        if as_json:
            emit({"url": url})
        else:
            say(f"ollm administers {url}")

    run_admin(loaded, announce)


def declared_in(settings: Settings) -> Declared:
    """What `settings` declare."""
    organisation = settings.organisation
    return Declared(
        projects={name: DeclaredProject(project.terms(), project.accounts) for name, project in settings.projects.items()},
        organisation=organisation.terms() if organisation is not None else None,
        name=organisation.name if organisation is not None else None,
    )


def _document(step: Step) -> dict[str, Any]:
    fields = {name: {"before": before, "after": after} for name, (before, after) in step.fields.items()}
    return {"action": step.action, "kind": step.kind, "name": step.name, "fields": fields}


def _shown(value: Any) -> str:
    return "none" if value is None else json.dumps(value, ensure_ascii=False)
