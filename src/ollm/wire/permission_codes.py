"""Errors of what a caller may do, and of what trust demands: part of the table in `error_codes`."""

from ollm.wire.error_code import ErrorCode


def _permission(means: str, cause: str, mend: str) -> ErrorCode:
    return ErrorCode(status=403, group="request", where=("keyed",), means=means, cause=cause, mend=mend)


def _limit(status: int, means: str, cause: str, mend: str) -> ErrorCode:
    return ErrorCode(status=status, group="request", where=("inference",), means=means, cause=cause, mend=mend)


PERMISSION = {
    "request_too_costly": _limit(
        403,
        "the request can cost more than one request of its key may",
        "The terms of the key, its project or its organisation say the most that one request may cost (`max_request_micro`).",
        "Send less text, fewer media or a smaller `max_tokens`, or have an admin change the terms.",
    ),
    "rate_limit_exceeded": _limit(
        429,
        "a limit of requests or tokens is reached",
        "The terms of the key, its project or its organisation limit requests, tokens, or requests at a time. `message` says which.",
        "Wait for as long as `Retry-After` says; SDKs do so. Without that header the request is larger than the limit by itself: send less.",
    ),
    "insufficient_quota": _limit(
        429,
        "a budget is used up, or has less left than the request can cost",
        "What the request can cost at most is held before it is sent. A budget of the key, its project or its organisation has no room for it.",
        "Wait for the next window of the budget, send a smaller `max_tokens`, or have an admin raise it. `GET /v1/key` tells what is left.",
    ),
    "max_tokens_required": _limit(
        400,
        "a limit of tokens or money holds, and nobody can tell how long the answer may get",
        "The model's longest answer isn't configured (`max_output`), and the request doesn't say `max_tokens`.",
        "Send `max_tokens` (`max_completion_tokens`, `max_output_tokens`), or have the operator set `max_output`.",
    ),
    "price_unknown": _limit(
        403,
        "a budget holds, and the model has no price",
        "What isn't priced can't be held against a budget: an unknown price isn't 0.",
        "Choose a model with a price (`GET /v1/models`), or have the operator set one.",
    ),
    "limits_unavailable": _limit(
        503,
        "limits and budgets can't be checked now",
        "The counters that workers share are away, and the configuration says that nothing is served then (`counters.when_away`).",
        "Try again; `Retry-After` says when. The operator looks at the counters' server.",
    ),
    "role_not_allowed": _permission(
        "the key's role may not do this",
        "Each route serves some roles: models are called by `member` keys alone, and keys of admins, auditors and viewers read.",
        "Use a key of a role that the route serves; `GET /v1/key` tells a key's role.",
    ),
    "network_not_allowed": _permission(
        "the key may not be used from this address",
        "The terms of the key, its project or its organisation list networks, and the connection comes from none of them.",
        "Send the request from one of those networks, or have an admin change the terms.",
    ),
}

TRUST = {
    "model_not_allowed": ErrorCode(
        status=403,
        group="trust",
        where=("inference",),
        means="the key may not use this model",
        cause="The terms of the key, its project or its organisation list the models that may be used, and this one isn't among them.",
        mend="Choose one of the models that `GET /v1/models` lists for this key, or have an admin change the terms.",
        receipt=True,
    ),
    "endpoint_not_allowed": ErrorCode(
        status=403,
        group="trust",
        where=("inference",),
        means="the key may not use this endpoint",
        cause="The terms of the key, its project or its organisation list the endpoints that may be used, and this one isn't among them.",
        mend="Use an endpoint that `GET /v1/key` lists, or have an admin change the terms.",
        receipt=True,
    ),
    "provider_not_allowed": ErrorCode(
        status=403,
        group="trust",
        where=("inference",),
        means="the key may use none of the model's providers",
        cause="The terms of the key, its project or its organisation list the providers that may be used, and none of this model's is among them.",
        mend="Choose another model, or have an admin change the terms.",
        receipt=True,
    ),
    "execution_level": ErrorCode(
        status=403,
        group="trust",
        where=("inference",),
        means="no route of the model reaches the level that key, configuration or request demand",
        cause="The strictest of `gateway.floor`, the key's `require` and the request's constraint is above the level of every route of the model.",
        mend="Choose a model with a route of that level (`GET /v1/models?assurance=tee`), or a key that accepts less, where the operator grants one.",
        receipt=True,
    ),
    "remote_url": ErrorCode(
        status=403,
        group="trust",
        where=("inference",),
        means="the request names a URL that a provider would fetch, and `gateway.remote_urls` refuses that",
        cause="`param` names the place, as far as its name is the API's: an `image_url`, a `file_url`, a `source.url`, the URL of a tool server. "
        "Who fetches it would tell whoever serves it, and what comes back would be verified and recorded by nobody.",
        mend="Send the content itself: pictures and documents as `data:` URLs, audio and images of forms as files. Or have the operator set "
        '`gateway.remote_urls = "pass"`.',
        receipt=True,
    ),
    "upstream_verification_failed": ErrorCode(
        status=503,
        group="trust",
        where=("inference",),
        means="the machine could not be verified; the message names [the check](checks.md). Nothing of the prompt has left",
        cause="Its evidence was refused, could not be fetched in time, or its key changed between verification and request.",
        mend="Look the check up. `ollm verify provider NAME` repeats the verification and explains it, `GET /v1/models` says when the gateway does. "
        "Never fall back to an endpoint that verifies less.",
        receipt=True,
    ),
    "policy_refused": ErrorCode(
        status=403,
        group="trust",
        where=("inference",),
        means="a [rule](rules.md) that stands above the request doesn't allow it; the message names the rule, what was got and what is wanted",
        cause="A table of `[rules]` that holds for everybody, or that the terms of the key name, forbids the model, endpoint, a parameter, a tool "
        "or a size, or no route meets what it demands of machines.",
        mend="Change the request as the message says. `ollm rules explain` says what the rules are; the configuration can make an exception.",
        receipt=True,
    ),
    "policy_blocked": ErrorCode(
        status=403,
        group="trust",
        where=("inference",),
        means="a [rule about texts](rules.md#texts) blocks a text of the request or of the answer; the message names the rule, never what it found",
        cause="A detector, or a pattern of the operator's, found a text that must not go in, or must not come out. Of a stream that began, this is "
        "the `error` event that ends it. A blocked answer was made, and is paid for.",
        mend="Take it out of the request. `ollm rules test` says where it is, without saying what.",
        receipt=True,
    ),
    "preferences_not_met": ErrorCode(
        status=412,
        group="trust",
        where=("inference",),
        means="the request's own [preferences](../howto/route-requests.md#what-a-request-may-prefer) leave no route of the model",
        cause="`only`, `ignore`, `max_price` or `require_parameters` in `provider`, taken together, leave none of the routes that could serve.",
        mend="Loosen one of them, or ask for a model with other routes: `GET /v1/models` lists those of each, with prices.",
        receipt=True,
    ),
    "session_not_accepted": ErrorCode(
        status=412,
        group="trust",
        where=("inference",),
        means="none of the sessions that the request names can serve it now; stands in `type`, as ACI wants it, and `code` is null",
        cause="The sessions in `provider.aci_session_ids` are over, or replaced by newer ones, or of other models.",
        mend="Fetch `GET /v1/aci/sessions?model=…`, look at what is new, and name what you accept.",
        receipt=True,
        in_type=True,
    ),
}
