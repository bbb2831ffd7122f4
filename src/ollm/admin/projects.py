"""Projects and the organisation: names, terms, rate limits, budgets."""

import msgspec

from ollm.admin.call import Answer, Call
from ollm.admin.objects import Object, budget_object, limit_id, limit_object, organisation_object, project_object, terms_object
from ollm.admin.queries import Page, listed
from ollm.config.admin_settings import Label
from ollm.config.terms_rules import check_terms
from ollm.errors import NoSuchSubject
from ollm.store import identity
from ollm.store.changes import Changes
from ollm.values.identity import Project
from ollm.values.terms import NO_TERMS, Budget, Count, Limit, Terms


class _NewProject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Label
    terms: Terms = NO_TERMS


class _Name(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Label


class _LimitBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Members of OpenAI's that say something here, and two of ours. Absent: as it is; null: not limited."""

    max_requests_per_1_minute: Count | msgspec.UnsetType | None = msgspec.UNSET
    max_tokens_per_1_minute: Count | msgspec.UnsetType | None = msgspec.UNSET
    max_requests_per_1_day: Count | msgspec.UnsetType | None = msgspec.UNSET
    max_tokens_per_1_day: Count | msgspec.UnsetType | None = msgspec.UNSET
    max_parallel_requests: Count | msgspec.UnsetType | None = msgspec.UNSET


class _Budgets(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    budgets: tuple[Budget, ...]


_FIELDS = {
    "max_requests_per_1_minute": "requests_per_minute",
    "max_tokens_per_1_minute": "tokens_per_minute",
    "max_requests_per_1_day": "requests_per_day",
    "max_tokens_per_1_day": "tokens_per_day",
    "max_parallel_requests": "parallel",
}


async def show_organisation(call: Call) -> Answer:
    """The organisation and its terms."""
    call.query.end()
    return organisation_object(await call.read(identity.organisation))


async def change_organisation(call: Call) -> Answer:
    """Rename the organisation."""
    body = await call.body(_Name)
    return organisation_object(await call.write(lambda changes: identity.rename_organisation(changes, body.name)))


async def set_organisation_terms(call: Call) -> Answer:
    """Terms that hold for all of its projects, in the place of those before."""
    terms = await call.body(Terms)
    check_terms("terms", terms, call.admin.settings)
    return terms_object((await call.write(lambda changes: identity.set_organisation_terms(changes, terms))).terms)


async def list_projects(call: Call) -> Answer:
    """Projects, oldest first; archived ones with include_archived=true."""
    page, archived = Page(call.query), call.query.flag("include_archived")
    call.query.end()
    rows = await call.read(lambda view: view.all(Project))
    return page.of([project_object(row) for row in rows if archived or row.archived_at is None])


async def create_project(call: Call) -> Answer:
    """A new project."""
    body = await call.body(_NewProject)
    check_terms("terms", body.terms, call.admin.settings)
    return project_object(await call.write(lambda changes: identity.create_project(changes, body.name, body.terms)))


async def show_project(call: Call) -> Answer:
    """One project."""
    call.query.end()
    return project_object(await call.read(lambda view: identity.project(view, call.name("project"))))


async def change_project(call: Call) -> Answer:
    """Rename a project."""
    body = await call.body(_Name)
    return project_object(await call.write(lambda changes: identity.rename_project(changes, call.name("project"), body.name)))


async def archive_project(call: Call) -> Answer:
    """End a project: its keys stop."""
    await call.no_body()
    return project_object(await call.write(lambda changes: identity.archive_project(changes, call.name("project"))))


async def show_terms(call: Call) -> Answer:
    """A project's own terms."""
    call.query.end()
    return terms_object((await call.read(lambda view: identity.project(view, call.name("project")))).terms)


async def set_terms(call: Call) -> Answer:
    """A project's own terms, in the place of those before."""
    terms = await call.body(Terms)
    check_terms("terms", terms, call.admin.settings)
    return terms_object((await call.write(lambda changes: identity.set_project_terms(changes, call.name("project"), terms))).terms)


async def list_limits(call: Call) -> Answer:
    """A project's rate limits: one for each model that has one, and `*` for all together."""
    page = Page(call.query)
    call.query.end()
    project = await call.read(lambda view: identity.project(view, call.name("project")))
    return page.of([limit_object(limit) for limit in project.terms.limits])


async def change_limit(call: Call) -> Answer:
    """Set a rate limit: `rl_MODEL`, or `rl_*` for all models together."""
    body = await call.body(_LimitBody)
    wanted = call.name("limit")

    def work(changes: Changes) -> Object:
        terms = identity.project(changes, call.name("project")).terms
        old = next((limit for limit in terms.limits if limit_id(limit) == wanted), _empty(wanted))
        given = {field: getattr(body, name) for name, field in _FIELDS.items() if getattr(body, name) is not msgspec.UNSET}
        new = msgspec.structs.replace(old, **given)
        changed = _with_limits(terms, (*(limit for limit in terms.limits if limit is not old), new))
        check_terms("rate_limits", changed, call.admin.settings)
        identity.set_project_terms(changes, call.name("project"), changed, "rate_limit.updated")
        return limit_object(new)

    return await call.write(work)


async def remove_limit(call: Call) -> Answer:
    """Take a rate limit away."""
    await call.no_body()
    wanted = call.name("limit")

    def work(changes: Changes) -> Object:
        terms = identity.project(changes, call.name("project")).terms
        kept = tuple(limit for limit in terms.limits if limit_id(limit) != wanted)
        if len(kept) == len(terms.limits):
            raise NoSuchSubject("rate limit")
        identity.set_project_terms(changes, call.name("project"), _with_limits(terms, kept), "rate_limit.deleted")
        return {"id": wanted, "object": "project.rate_limit.deleted", "deleted": True}

    return await call.write(work)


async def list_budgets(call: Call) -> Answer:
    """A project's budgets: one for each window that has one."""
    call.query.end()
    project = await call.read(lambda view: identity.project(view, call.name("project")))
    return listed([budget_object(budget) for budget in project.terms.budgets], has_more=False)


async def set_budgets(call: Call) -> Answer:
    """A project's budgets, in the place of those before."""
    body = await call.body(_Budgets)

    def work(changes: Changes) -> Project:
        terms = identity.project(changes, call.name("project")).terms
        changed = msgspec.structs.replace(terms, budgets=body.budgets)
        check_terms("budgets", changed, call.admin.settings)
        return identity.set_project_terms(changes, call.name("project"), changed, "budget.updated")

    project = await call.write(work)
    return listed([budget_object(budget) for budget in project.terms.budgets], has_more=False)


def _empty(wanted: str) -> Limit:
    """A limit of this id that limits nothing yet. Raises: NoSuchSubject."""
    prefix, _, model = wanted.partition("_")
    if prefix != "rl" or not model:
        raise NoSuchSubject("rate limit")
    return Limit(model=None if model == "*" else model)


def _with_limits(terms: Terms, limits: tuple[Limit, ...]) -> Terms:
    return msgspec.structs.replace(terms, limits=limits)
