"""Errors of what a caller may do, and of what trust demands: part of the table in `error_codes`."""

from ollm.wire.error_code import ErrorCode


def _permission(means: str, cause: str, mend: str) -> ErrorCode:
    return ErrorCode(status=403, group="request", where=("keyed",), means=means, cause=cause, mend=mend)


PERMISSION = {
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
