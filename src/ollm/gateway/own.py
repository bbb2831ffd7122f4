"""What callers may know of themselves: their key with its limits and what is left of them, and what they have used.

A member's key sees its own requests; a reader's key (viewer, auditor, admin, owner) those of its project.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ollm.errors import ApiError, CountersAway
from ollm.gateway.authenticate import Caller, authenticate
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.gateway.reserve import unavailable
from ollm.serving.http import query
from ollm.store.reports import SECONDS, Bucket, Label, Question, Sums
from ollm.traffic.charges import Meter, Meters, meters, together
from ollm.values.identity import Role
from ollm.values.terms import Terms

_GROUPS: dict[str, Label] = {"key": "key", "model": "model", "provider": "upstream", "endpoint": "endpoint", "level": "level", "tier": "tier"}
_PERIOD = {"1m": 3600, "1h": 86_400, "1d": 30 * 86_400}  # seconds that are shown where a caller doesn't say from when
_PAGE = {"1m": 60, "1h": 168, "1d": 31}  # buckets of one page
_MAX_SECONDS = 10**11
_encode = msgspec.json.Encoder().encode
_HIDDEN = frozenset({"start", "project", *_GROUPS.values()})


async def key(gateway: Gateway, call: Call) -> None:
    """The key that asks: what it may do, until when, and what is left of its limits and budgets. Raises: ApiError 401, 503."""
    caller = authenticate(gateway, call)
    standing = caller.standing
    found = gateway.keys.lookup(standing.key_id)
    row = found.row if found is not None else None
    now_ms = gateway.clock.now_ms()
    above = _all_meters(standing.scopes, now_ms // 1000)
    try:
        values = await gateway.accounts.filled(above)
    except CountersAway as away:
        raise unavailable(away) from None
    document = {
        "object": "key",
        "id": standing.key_id,
        "name": row.name if row is not None else None,
        "role": str(standing.role),
        "project_id": standing.project_id,
        "organization_id": standing.org_id,
        "created_at": row.created_at if row is not None else None,
        "expires_at": row.expires_at if row is not None else None,
        "require": str(max(standing.floor, gateway.settings.gateway.floor, key=lambda level: level.rank)),
        "models": _names(standing.models),
        "providers": _names(standing.upstreams),
        "endpoints": _names(standing.endpoints),
        "rules": list(standing.rules),
        "max_request_micro": standing.max_request_micro,
        "limits": [_limit(meter, value) for meter, value in zip(above.each, values, strict=True) if meter.what != "money"],
        "budgets": [_budget(meter, value) for meter, value in zip(above.each, values, strict=True) if meter.what == "money"],
    }
    await call.respond(200, _encode(document), [])


async def usage(gateway: Gateway, call: Call) -> None:
    """Requests, tokens and cost in buckets of time. Raises: ApiError 400, 401."""
    caller = authenticate(gateway, call)
    question = _question(caller, query(call.scope), gateway.clock.now())
    page = await gateway.reports.usage(question)
    width = SECONDS[question.bucket]
    by_start: dict[int, list[dict[str, Any]]] = {}
    for row in page.rows:
        by_start.setdefault(row.start, []).append(_result(row, question))
    end = min(question.end, question.start + question.buckets * width)
    data = [
        {"object": "bucket", "start_time": start, "end_time": start + width, "results": by_start.get(start, [])}
        for start in range(question.start, end, width)
    ]
    document = {"object": "page", "data": data, "has_more": page.next_start is not None, "next_start": page.next_start}
    await call.respond(200, _encode(document), [])


def _question(caller: Caller, fields: dict[str, str], now: int) -> Question:
    """Raises: ApiError 400 for fields that can't be followed."""
    if unknown := fields.keys() - {"start_time", "end_time", "bucket_width", "group_by"}:
        raise _invalid(None, f"{len(unknown)} fields are not known; there are start_time, end_time, bucket_width and group_by.")
    bucket: Bucket | None = next((known for known in SECONDS if known == fields.get("bucket_width", "1d")), None)
    if bucket is None:
        raise _invalid("bucket_width", "bucket_width is one of 1m, 1h and 1d.")
    groups = [name for name in fields.get("group_by", "").split(",") if name]
    if not set(groups) <= _GROUPS.keys():
        raise _invalid("group_by", f"group_by is some of {', '.join(_GROUPS)}, separated by commas.")
    width = SECONDS[bucket]
    end = -(-_seconds(fields, "end_time", now + 1) // width) * width
    start = _seconds(fields, "start_time", end - _PERIOD[bucket]) // width * width
    if start >= end:
        raise _invalid("start_time", "start_time must be before end_time.")
    own: dict[Label, Sequence[str]] = {"key": (caller.key_id,)} if caller.standing.role is Role.MEMBER else {"project": (caller.standing.project_id,)}
    return Question(start=start, end=end, bucket=bucket, group_by=tuple(_GROUPS[name] for name in groups), filters=own, buckets=_PAGE[bucket])


def _seconds(fields: dict[str, str], name: str, default: int) -> int:
    text = fields.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 13 and int(text) < _MAX_SECONDS):
        raise _invalid(name, f"{name} is a time in Unix seconds.")
    return int(text)


def _invalid(param: str | None, message: str) -> ApiError:
    return ApiError(400, "invalid_request_error", "invalid_query", message, param=param)


def _result(row: Sums, question: Question) -> dict[str, Any]:
    """All sums of a bucket and a group, under the names that the ledger has for them."""
    counts = {name: value for name, value in msgspec.structs.asdict(row).items() if name not in _HIDDEN}
    labels = {shown: getattr(row, label) for shown, label in _GROUPS.items() if label in question.group_by}
    return {"object": "usage.result", **labels, **counts}


def _all_meters(scopes: tuple[tuple[str, Terms], ...], now: int) -> Meters:
    """One for each limit and budget that there is, whichever model it is for."""
    models = {limit.model for _, terms in scopes for limit in terms.limits if limit.model is not None}
    found = {meter.name: meter for model in ("*", *sorted(models)) for meter in meters(scopes, model, now).each}
    return together(found.values())


def _limit(meter: Meter, value: int) -> dict[str, Any]:
    return {
        "scope": meter.kind,
        "of": meter.what,
        "model": meter.model,
        "window": meter.span,
        "limit": meter.limit,
        "used": value,
        "remaining": max(0, meter.limit - value),
        "resets_at": meter.end or None,
    }


def _budget(meter: Meter, value: int) -> dict[str, Any]:
    return {
        "scope": meter.kind,
        "window": meter.span,
        "limit_micro": meter.limit,
        "used_micro": value,  # with what is held for requests under way
        "remaining_micro": max(0, meter.limit - value),
        "resets_at": meter.end,
    }


def _names(allowed: frozenset[str] | None) -> list[str] | None:
    return None if allowed is None else sorted(allowed)
