"""What the configuration declares, made so: the organisation, its projects, their terms and service accounts. A part of one transaction.

Names tell projects and accounts apart. What the store has and the configuration doesn't name stays, unless it is to be pruned.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from ollm.errors import ChangeRefused
from ollm.store import identity
from ollm.store.changes import Changes, plain
from ollm.values.identity import DEFAULT_PROJECT, Project, ServiceAccount
from ollm.values.terms import Terms


class DeclaredProject(msgspec.Struct, frozen=True):
    terms: Terms
    accounts: tuple[str, ...] = ()


class Declared(msgspec.Struct, frozen=True):
    """What is to be there. `organisation` None: its name and terms stay; `name` None: its name stays."""

    projects: Mapping[str, DeclaredProject]
    organisation: Terms | None = None
    name: str | None = None


class Step(msgspec.Struct, frozen=True):
    """One difference: `action` is created, changed or archived; `fields` name what becomes another: before and after."""

    action: str
    kind: str
    name: str
    fields: dict[str, tuple[Any, Any]] = {}


def bring_about(changes: Changes, declared: Declared, *, prune: bool = False) -> list[Step]:
    """Make the store what is declared; the steps that it took, none where nothing was to change. Raises: StoreError.

    `prune`: archive projects, and remove accounts of declared ones, that aren't declared. The default project is never archived.
    """
    steps = _organisation(changes, declared)
    existing = _by_name(changes)
    for name, wanted in declared.projects.items():
        found = existing.pop(name, None)
        if found is None:
            found = identity.create_project(changes, name, wanted.terms)
            steps.append(Step("created", "project", name, {"terms": ({}, plain(wanted.terms))}))
        elif found.terms != wanted.terms:
            steps.append(Step("changed", "project", name, _differing(found.terms, wanted.terms)))
            identity.set_project_terms(changes, found.project_id, wanted.terms)
        steps += _accounts(changes, found, wanted, prune=prune)
    if prune:
        for name, project in existing.items():
            if project.project_id != DEFAULT_PROJECT:
                identity.archive_project(changes, project.project_id)
                steps.append(Step("archived", "project", name))
    return steps


def _organisation(changes: Changes, declared: Declared) -> list[Step]:
    old = identity.organisation(changes)
    fields: dict[str, tuple[Any, Any]] = {}
    if declared.name is not None and old.name != declared.name:
        fields["name"] = (old.name, declared.name)
        identity.rename_organisation(changes, declared.name)
    if declared.organisation is not None and old.terms != declared.organisation:
        fields |= _differing(old.terms, declared.organisation)
        identity.set_organisation_terms(changes, declared.organisation)
    return [Step("changed", "organisation", old.name, fields)] if fields else []


def _by_name(changes: Changes) -> dict[str, Project]:
    """Open projects by name. Raises: ChangeRefused where two have the same, since then a name tells nothing."""
    found: dict[str, Project] = {}
    for project in changes.all(Project):
        if project.archived_at is None:
            if project.name in found:
                raise ChangeRefused("two projects have the same name", "rename or archive one: `ollm projects list` shows their ids")
            found[project.name] = project
    return found


def _accounts(changes: Changes, project: Project, wanted: DeclaredProject, *, prune: bool) -> list[Step]:
    steps = []
    accounts = [row for row in changes.all(ServiceAccount, project_id=project.project_id) if row.removed_at is None]
    existing = {row.name for row in accounts}
    for name in wanted.accounts:
        if name not in existing:
            identity.create_account(changes, project.project_id, name)
            steps.append(Step("created", "service account", f"{project.name}/{name}"))
    for row in accounts if prune else ():
        if row.name not in wanted.accounts:
            identity.remove_account(changes, project.project_id, row.account_id)
            steps.append(Step("archived", "service account", f"{project.name}/{row.name}"))
    return steps


def _differing(old: Terms, new: Terms) -> dict[str, tuple[Any, Any]]:
    """Fields of terms that become another, as JSON has them; None where they restrict nothing."""
    before, after = plain(old), plain(new)
    return {name: (before.get(name), after.get(name)) for name in {**before, **after} if before.get(name) != after.get(name)}
