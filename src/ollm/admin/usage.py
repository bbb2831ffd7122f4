"""Usage and costs in buckets of time, in the shapes of OpenAI's Usage and Costs APIs; what is ours stands beside their members."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ollm.admin.call import Answer, Call
from ollm.admin.queries import Query, invalid
from ollm.admin.reporting import COST_GROUPS, GROUPS, KINDS, LIMITS, MAX_COST_DAYS, WIDTHS, Dimension, Sums, Wanted

_COST_PAGE = 7
_MICRO = 1_000_000
_PAGE = "page_"
_FILTERS: Mapping[str, Dimension] = {"project_ids": "project", "api_key_ids": "key", "models": "model", "upstreams": "upstream", "levels": "level"}

Object = dict[str, Any]


async def show_usage(kind: str, call: Call) -> Answer:
    """What requests of one kind used."""
    width = call.query.one("bucket_width", WIDTHS) or "1d"
    usual, most = LIMITS[width]
    groups = call.query.many("group_by", GROUPS)
    span = Span(call.query, WIDTHS[width], call.now, usual=usual, most=most)
    only = {**_filters(call.query), "endpoint": KINDS[kind]}
    call.query.end()
    wanted = Wanted(start=span.start, end=span.end, width=span.width, group_by=tuple(GROUPS[name] for name in groups), only=only)
    found = await call.admin.reports.usage(wanted)
    return span.page(found, lambda sums: usage_result(kind, sums, _labels(GROUPS, groups, sums)))


async def show_costs(call: Call) -> Answer:
    """What requests cost, by the day. `line_item` is the model."""
    call.query.one("bucket_width", ("1d",))
    groups = call.query.many("group_by", COST_GROUPS)
    span = Span(call.query, WIDTHS["1d"], call.now, usual=_COST_PAGE, most=MAX_COST_DAYS)
    only = _filters(call.query)
    call.query.end()
    wanted = Wanted(start=span.start, end=span.end, width=span.width, group_by=tuple(COST_GROUPS[name] for name in groups), only=only)
    found = await call.admin.reports.usage(wanted)
    currency = call.admin.settings.gateway.currency.lower()
    return span.page(found, lambda sums: cost_result(sums, currency, _labels(COST_GROUPS, groups, sums)))


class Span:
    """The range of time of one page, on the borders of its buckets."""

    def __init__(self, query: Query, width: int, now: int, *, usual: int, most: int) -> None:
        """From `start_time`, `end_time`, `limit` and `page`. Raises: ApiError 400."""
        self.width = width
        start, end = query.needed("start_time"), query.integer("end_time")
        limit = query.integer("limit", least=1, most=most) or usual
        if end is not None and start >= end:
            raise invalid("start_time", "start_time must be before end_time.")
        start, last = start // width * width, -(-(now + 1 if end is None else end) // width) * width
        page = query.one("page")
        if page is not None:
            start = _page_start(page, start, last, width)
        if start >= last:
            raise invalid("start_time", "start_time must be before now.")
        self.start = start
        self.end = min(last, start + limit * width)
        self._more = self.end < last

    def page(self, found: Sequence[Sums], result: Callable[[Sums], Object]) -> Object:
        """The page object: each bucket with its results, empty ones too."""
        by_start: dict[int, list[Object]] = {}
        for sums in found:
            by_start.setdefault(sums.start, []).append(result(sums))
        buckets = [
            {"object": "bucket", "start_time": start, "end_time": start + self.width, "results": by_start.get(start, [])}
            for start in range(self.start, self.end, self.width)
        ]
        return {"object": "page", "data": buckets, "has_more": self._more, "next_page": f"{_PAGE}{self.end}" if self._more else None}


def _page_start(page: str, start: int, last: int, width: int) -> int:
    text = page.removeprefix(_PAGE)
    if text == page or not (text.isascii() and text.isdigit() and len(text) <= 16) or int(text) % width or not start < int(text) < last:
        raise invalid("page", "page is not the next_page of an answer to this question.")
    return int(text)


def _filters(query: Query) -> dict[Dimension, tuple[str, ...]]:
    given = {dimension: query.many(name) for name, dimension in _FILTERS.items()}
    return {dimension: values for dimension, values in given.items() if values}


def _labels(groups: Mapping[str, Dimension], asked: Sequence[str], sums: Sums) -> Object:
    """Each name by which one can group; null where it wasn't asked for."""
    return dict.fromkeys(groups) | dict(zip(asked, sums.group, strict=True))


def usage_result(kind: str, sums: Sums, labels: Object) -> Object:
    """One result of OpenAI's shape for this kind of usage."""
    counts = sums.counts
    own: Object = {"input_tokens": sums.prompt_tokens}
    match kind:
        case "completions":
            own = _completions(sums)
        case "images":
            own = {"images": counts["images"], "input_tokens": sums.prompt_tokens, "output_tokens": sums.completion_tokens}
        case "audio_speeches":
            own = {"characters": counts["characters"], "output_tokens": sums.completion_tokens}
        case "audio_transcriptions":
            own = {"seconds": -(-counts["audio_ms"] // 1000), "input_tokens": sums.prompt_tokens, "output_tokens": sums.completion_tokens}
    common = {"num_model_requests": sums.requests, "num_estimated_requests": sums.estimated}
    return {"object": f"organization.usage.{kind}.result", **own, **common, **labels}


def _completions(sums: Sums) -> Object:
    counts = sums.counts
    written = counts["cache_write_tokens"] + counts["cache_write_long_tokens"]
    return {
        "input_tokens": sums.prompt_tokens,
        "input_uncached_tokens": sums.prompt_tokens - counts["cached_tokens"] - written,
        "input_cached_tokens": counts["cached_tokens"],
        "input_cache_write_tokens": written,
        "input_text_tokens": counts["input_tokens"],
        "input_audio_tokens": counts["audio_input_tokens"],
        "input_image_tokens": counts["image_input_tokens"],
        "output_tokens": sums.completion_tokens,
        "output_text_tokens": counts["output_tokens"] + counts["reasoning_tokens"],
        "output_reasoning_tokens": counts["reasoning_tokens"],
        "output_audio_tokens": counts["audio_output_tokens"],
        "output_image_tokens": counts["image_output_tokens"],
    }


def cost_result(sums: Sums, currency: str, labels: Object) -> Object:
    """One result of OpenAI's shape for costs; the exact integer beside the number that it has there."""
    return {
        "object": "organization.costs.result",
        "amount": {"value": sums.cost_micro / _MICRO, "currency": currency},
        "amount_micro": sums.cost_micro,
        "num_model_requests": sums.requests,
        "num_unpriced_requests": sums.unpriced,
        **labels,
    }
