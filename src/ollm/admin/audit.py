"""The audit log as OpenAI lists it: newest first, with its filters."""

from ollm.admin.call import Answer, Call
from ollm.admin.objects import event_object
from ollm.admin.queries import DEFAULT_PAGE, MAX_PAGE, Query, invalid, listed
from ollm.store.audit import EventFilter
from ollm.values.audit import ACTIONS

_ID = "audit_log-"


async def list_events(call: Call) -> Answer:
    """Events, newest first. That the chain holds, `ollm verify audit` says."""
    query = call.query
    limit = query.integer("limit", least=1, most=MAX_PAGE) or DEFAULT_PAGE
    after, before = _entry(query, "after"), _entry(query, "before")
    wanted = EventFilter(
        after=after if before is None else before,
        newest_first=before is None,
        actions=query.many("event_types", ACTIONS),
        actors=query.many("actor_ids"),
        targets=query.many("resource_ids"),
        projects=query.many("project_ids"),
        since=_bound(query, "gte", "gt"),
        until=_bound(query, "lt", "lte"),
    )
    query.end()
    if after is not None and before is not None:
        raise invalid("before", "after and before contradict each other.")
    found = await call.admin.store.administration.events(wanted, limit + 1)
    shown = found[:limit] if before is None else found[:limit][::-1]
    answer = listed([event_object(entry) for entry in shown], has_more=len(found) > limit)
    return {**answer, "head": str(await call.admin.store.administration.head())}


def _entry(query: Query, name: str) -> int | None:
    text = query.one(name)
    if text is None:
        return None
    number = text.removeprefix(_ID)
    if number == text or not (number.isascii() and number.isdigit() and len(number) <= 15):
        raise invalid(name, f"{name} is no id of an event.")
    return int(number)


def _bound(query: Query, exact: str, beyond: str) -> int | None:
    """`effective_at[gte]` or `[gt]`; or `[lt]` or `[lte]`: the time from which, or before which."""
    first, second = query.integer(f"effective_at[{exact}]"), query.integer(f"effective_at[{beyond}]")
    if first is not None and second is not None:
        raise invalid("effective_at", f"{exact} and {beyond} contradict each other.")
    return first if second is None else second + 1
