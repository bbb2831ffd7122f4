"""Rules for a request: which stand above it, whether it keeps them, and what they change of its texts and of the answer's.

Refusals name the rule, what was got in words of the configuration, and what is wanted. What a client wrote is in none of them: neither the
text that a rule found, nor a name that it doesn't allow, nor how long anything was.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from ollm.errors import ApiError, RuleBlocked, WireError
from ollm.gateway.applied import NOTHING, Applied, Broken, applied
from ollm.gateway.authenticate import Caller
from ollm.gateway.context import Gateway
from ollm.gateway.exchange import Exchange
from ollm.gateway.refusal import PolicyRefusal
from ollm.receipts.receipt import exempted, ruled
from ollm.values.rules import RuleException, Rules
from ollm.wire.contents import count_images, count_messages, tools_of
from ollm.wire.detect.bodies import answer_screened, asks_for_logprobs, request_screened
from ollm.wire.detect.streams import ScreenedStream
from ollm.wire.form import FormRequest
from ollm.wire.request import InferenceRequest, JsonRequest
from ollm.wire.rewriting import Rewriter

log = logging.getLogger("ollm.rules")

_LARGE = 64 * 1024  # bytes of text; more is looked through on a thread, while other requests go on
_ANSWER_LIMITS = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})  # one limit, as each API calls it
_ANSWERS = frozenset({"chat.completions", "completions", "responses", "messages"})  # endpoints that have it
_any = msgspec.json.Decoder().decode


def rules_of(gateway: Gateway, caller: Caller) -> Applied:
    """What stands above a request of `caller` now. A table that the store names and the configuration doesn't have is `missing`."""
    settings, standing = gateway.settings, caller.standing
    names = tuple(dict.fromkeys((*settings.gateway.rules, *standing.rules))) if standing.rules else settings.gateway.rules
    exceptions = _in_force(gateway, caller) if settings.exceptions else ()
    if not names and not exceptions:
        return NOTHING
    key = (names, tuple(each.name for each in exceptions) if exceptions else ())
    found = gateway.rules.get(key)
    if found is None:
        missing = next((name for name in names if name not in settings.rules), None)
        tables = {name: settings.rules[name] for name in names if name in settings.rules}
        found = applied(tables, exceptions, missing)
        if missing is None:  # names that the store makes up are not remembered
            gateway.rules[key] = found
    return found


def _in_force(gateway: Gateway, caller: Caller) -> tuple[RuleException, ...]:
    now, standing = gateway.clock.now(), caller.standing
    return tuple(
        each
        for each in gateway.settings.exceptions
        if now < each.until_unix and (each.key == standing.key_id if each.key is not None else each.project == standing.project_id)
    )


# --- the request --------------------------------------------------------------------------------------------------------


def check(rules: Applied, request: InferenceRequest, model: str) -> None:
    """Everything about a request but its texts and its routes; `model` is the model's own name. Raises: PolicyRefusal."""
    if not rules.any:
        return
    if rules.missing is not None:
        raise refusal(Broken(rules.missing, "nothing: a key's terms name it, and the configuration doesn't have it", "a configured table"))
    if rules.on_requests:
        _check(rules, request, model)
    if rules.answer is not None and asks_for_logprobs(request):
        rule = rules.answer.rules[0].name
        raise refusal(Broken(f"{rule}", "logprobs", "none: they repeat the answer token by token, where no rule could look at it"))


def _check(rules: Applied, request: InferenceRequest, model: str) -> None:
    broken = rules.names_broken("models", model) or rules.names_broken("endpoints", request.endpoint.name)
    if broken is not None:
        raise refusal(broken)
    for table, each in rules.tables.items():
        broken = _parameters(table, each, request) or _tools(table, each, request) or _sizes(table, each, request)
        if broken is not None:
            raise refusal(broken)


def refusal(broken: Broken) -> PolicyRefusal:
    """For the client, and for the receipt."""
    message = f"A rule refuses this request ({broken}). The prompt was not forwarded."
    error = ApiError(403, "permission_error", "policy_refused", message, headers={"x-should-retry": "false"})
    return PolicyRefusal(error, f"policy: {broken}")


def _member(request: InferenceRequest, name: str) -> Any:
    """The value of a member, or of a form's field as a number where it is one; None where it is absent."""
    if isinstance(request, JsonRequest):
        return _any(request.members[name]) if name in request.members else None
    if isinstance(request, FormRequest):
        for part in request.parts:
            if part.name == name and part.filename is None:
                try:
                    return float(part.data)
                except ValueError:
                    return "text"
    return None


def _parameters(table: str, rules: Rules, request: InferenceRequest) -> Broken | None:
    for name in rules.parameters.deny:
        if _member(request, name) is not None:
            return Broken(f"{table}.parameters.deny", name, f"a request without {name}")
    for name, most in rules.parameters.max.items():
        broken = _bounded(f"{table}.parameters.max.{name}", name, most, request)
        if broken is not None:
            return broken
    return None


def _bounded(rule: str, name: str, most: float, request: InferenceRequest) -> Broken | None:
    family = _ANSWER_LIMITS if name in _ANSWER_LIMITS else frozenset({name})
    values = [value for each in sorted(family) if (value := _member(request, each)) is not None]
    want = f"at most {most:g}"
    if not values and family is _ANSWER_LIMITS and request.endpoint.name in _ANSWERS:
        return Broken(rule, "no limit", f"max_tokens (or as the endpoint calls it) of {want}")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return Broken(rule, "no number", want)
        if value > most:
            return Broken(rule, "more", want)
    return None


def _tools(table: str, rules: Rules, request: InferenceRequest) -> Broken | None:
    names = rules.tools
    if names.allow is None and not names.deny:
        return None
    for tool in tools_of(_members(request)):
        if tool is None:
            return Broken(f"{table}.tools", "tools that can't be read", "tools as the API defines them")
        if any(label in names.deny for label in tool) or (names.allow is not None and tool[0] not in names.allow):
            return Broken(f"{table}.tools", "a tool that is not allowed", f"tools as rules.{table}.tools has them")
    return None


def _sizes(table: str, rules: Rules, request: InferenceRequest) -> Broken | None:
    sizes, members = rules.sizes, _members(request)
    counts: tuple[tuple[str, int | None, Callable[[], int]], ...] = (
        ("prompt_bytes", sizes.prompt_bytes, lambda: request.text_bytes),
        ("messages", sizes.messages, lambda: count_messages(members)),
        ("tools", sizes.tools, lambda: len(tools_of(members))),
        ("images", sizes.images, lambda: _images(request, members)),
    )
    for name, most, count in counts:
        if most is not None and count() > most:
            return Broken(f"{table}.sizes.{name}", "more", f"at most {most}")
    return None


def _images(request: InferenceRequest, members: Mapping[str, msgspec.Raw]) -> int:
    if isinstance(request, FormRequest):
        return sum(part.filename is not None and part.type.startswith(b"image/") for part in request.parts)
    return count_images(members)


def _members(request: InferenceRequest) -> Mapping[str, msgspec.Raw]:
    return request.members if isinstance(request, JsonRequest) else {}


# --- texts --------------------------------------------------------------------------------------------------------------


async def screened(exchange: Exchange, request: InferenceRequest) -> InferenceRequest:
    """`request` with what rules mask in it masked, and a record of which did. Raises: PolicyRefusal, ApiError 400."""
    rules = exchange.rules
    for each in rules.exceptions:
        lifted = str(each.level) if each.level is not None else each.rule or ""
        exchange.keep(exempted(each.name, lifted, each.until_unix))
        log.warning("an exception stands above a request", extra={"exception": each.name, "lifted": lifted, "request": exchange.stem})
    if rules.request is None:
        return request
    acted: set[str] = set()
    try:
        if request.text_bytes > _LARGE:
            request = await asyncio.to_thread(request_screened, request, rules.request, acted)
        else:
            request = request_screened(request, rules.request, acted)
    except RuleBlocked as problem:
        exchange.keep(ruled(problem.rule, "block", "request"))
        raise PolicyRefusal(blocked(problem.rule, "request"), f"policy: blocked by rule {problem.rule}") from None
    except WireError as problem:
        raise ApiError(400, "invalid_request_error", "invalid_request", problem.reason, param=problem.param) from None
    note_masked(exchange, acted, "request")
    return request


def note_masked(exchange: Exchange, acted: set[str], side: str) -> None:
    """Record which rules masked something; what is on record already is not repeated."""
    if not acted:
        return
    events = [ruled(rule, "mask", side) for rule in sorted(acted)]
    exchange.keep(*(event for event in events if event not in exchange.events))


def blocked(rule: str, side: str) -> ApiError:
    """What a client is told of a rule that blocks a text: the rule's name, and never what it found."""
    end = "The prompt was not forwarded." if side == "request" else "The answer was discarded."
    message = f"Rule '{rule}' blocks a text in this {side}. {end}"
    return ApiError(403, "permission_error", "policy_blocked", message, headers={"x-should-retry": "false"})


async def screened_answer(exchange: Exchange, body: bytes, *, text: bool) -> bytes:
    """A whole answer as it may be handed out; `text`: it is no JSON. Raises: RuleBlocked, WireError."""
    screen, endpoint = exchange.rules.answer, exchange.endpoint.name
    if screen is None:
        return body
    acted: set[str] = set()
    if len(body) > _LARGE:
        body = await asyncio.to_thread(answer_screened, body, endpoint, screen, acted, text=text)
    else:
        body = answer_screened(body, endpoint, screen, acted, text=text)
    note_masked(exchange, acted, "answer")
    return body


def note_stream(exchange: Exchange, rewriter: Rewriter) -> None:
    """Record which rules masked something in the stream so far."""
    if isinstance(rewriter, ScreenedStream) and rewriter.acted:
        note_masked(exchange, rewriter.acted, "answer")


def screened_stream(exchange: Exchange, rewriter: Rewriter) -> Rewriter:
    """`rewriter`, with the answer's texts screened where rules look at answers."""
    screen = exchange.rules.answer
    return rewriter if screen is None else ScreenedStream(rewriter, screen)
