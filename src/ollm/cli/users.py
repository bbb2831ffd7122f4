"""`ollm users`: people, their roles, and the projects that they are in."""

from typing import Annotated

import typer

from ollm.admin.objects import member_object, user_object
from ollm.cli.administering import changing, project_named, reading
from ollm.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, configuration, one_line
from ollm.cli.output import emit, quiet, say
from ollm.errors import ConfigError
from ollm.store import identity
from ollm.store.changes import Changes, View
from ollm.values.identity import Membership, Role, User

app = typer.Typer(no_args_is_help=True, help="Add, list and remove people, and put them into projects.")

UserArgument = Annotated[str, typer.Argument(help="Id or name of the person.")]
ProjectArgument = Annotated[str, typer.Argument(help="Id or name of the project.")]


@app.command("list")
@one_line
def list_users(config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """List people with their roles and projects."""

    def work(view: View) -> tuple[list[User], list[Membership]]:
        return [row for row in view.all(User) if row.removed_at is None], view.all(Membership)

    rows, memberships = reading(configuration(config), work)
    projects = {row.user_id: {each.project_id: str(each.role) for each in memberships if each.user_id == row.user_id} for row in rows}
    if as_json:
        emit([{**user_object(row), "projects": projects[row.user_id]} for row in rows])
        return
    for row in rows:
        in_projects = ", ".join(f"{project} ({role})" for project, role in projects[row.user_id].items()) or "no project"
        say(f"{row.user_id:<22} {quiet(row.name):<32} {row.role:<8} {in_projects}")
    if not rows:
        say("Nobody yet. `ollm users add NAME` adds a person.")


@app.command()
@one_line
def add(
    name: Annotated[str, typer.Argument(help="An e-mail address, or another name.")],
    role: Annotated[Role, typer.Option(help="What the person is in the organisation.")] = Role.MEMBER,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Add a person to the organisation."""
    _told(changing(configuration(config), lambda changes: identity.add_user(changes, name, role)), as_json, f"is added as {role}")


@app.command()
@one_line
def role(
    user: UserArgument,
    to: Annotated[Role, typer.Argument(help="The new role in the organisation.")],
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Give a person another role."""
    row = changing(configuration(config), lambda changes: identity.set_user_role(changes, _named(changes, user).user_id, to))
    _told(row, as_json, f"is {to} now")


@app.command()
@one_line
def remove(user: UserArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Remove a person from the organisation and all projects, and revoke their keys."""
    row = changing(configuration(config), lambda changes: identity.remove_user(changes, _named(changes, user).user_id))
    _told(row, as_json, "is removed; their keys are revoked")


@app.command()
@one_line
def join(
    user: UserArgument,
    project: ProjectArgument,
    role: Annotated[Role, typer.Option(help="What the person is in the project.")] = Role.MEMBER,
    config: ConfigOption = DEFAULT_CONFIG,
    as_json: JsonOption = False,
) -> None:
    """Put a person into a project, or change what they are in it."""

    def work(changes: Changes) -> tuple[Membership, User]:
        row, found = _named(changes, user), project_named(changes, project)
        if changes.one(Membership, found.project_id, row.user_id) is not None:
            return identity.set_member_role(changes, found.project_id, row.user_id, role), row
        return identity.add_member(changes, found.project_id, row.user_id, role), row

    membership, row = changing(configuration(config), work)
    if as_json:
        emit({**member_object(membership, row), "project_id": membership.project_id})
    else:
        say(f"{quiet(row.name)} is {role} in {membership.project_id}.")


@app.command()
@one_line
def leave(user: UserArgument, project: ProjectArgument, config: ConfigOption = DEFAULT_CONFIG, as_json: JsonOption = False) -> None:
    """Take a person out of a project, and revoke the keys that they have there."""

    def work(changes: Changes) -> Membership:
        return identity.remove_member(changes, project_named(changes, project).project_id, _named(changes, user).user_id)

    row = changing(configuration(config), work)
    if as_json:
        emit({"id": row.user_id, "project_id": row.project_id, "removed": True})
    else:
        say(f"{row.user_id} is no member of {row.project_id} any more.")


def _named(view: View, name: str) -> User:
    found = view.one(User, name)
    if found is not None and found.removed_at is None:
        return found
    named = [row for row in view.all(User, name=name) if row.removed_at is None]
    if not named:
        raise ConfigError(f"there is nobody with the id or name {name[:64]!a}", "`ollm users list` shows their ids")
    return named[0]


def _told(row: User, as_json: bool, became: str) -> None:
    if as_json:
        emit(user_object(row))
    else:
        say(f"[bold]{quiet(row.name)}[/] (id {row.user_id}) {became}.")
