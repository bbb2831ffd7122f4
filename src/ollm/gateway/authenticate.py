"""Who is calling: step 1 of the path."""

from ollm.errors import ApiError, StoreError
from ollm.gateway.call import Call
from ollm.gateway.caller import Caller
from ollm.gateway.context import Gateway
from ollm.gateway.receipt_keys import receipt_key
from ollm.gateway.tokens import Issued
from ollm.serving.http import bearer_of, header
from ollm.store.keys import authenticate as match_key
from ollm.values.secret import Sealed
from ollm.values.standing import Standing

__all__ = ["Caller", "authenticate", "presented", "stands"]

_REFUSED = "The API key is missing or not valid."
_MEND = " Send it as 'Authorization: Bearer sk-ollm-…'; `ollm keys create` makes one."
_HEADERS = frozenset((b"authorization", b"x-api-key", b"api-key"))  # OpenAI's clients, Anthropic's, Azure's


def authenticate(gateway: Gateway, call: Call) -> Caller:
    """The caller behind the request's key, or behind its token, which was verified before. Raises: ApiError 401, the same for unknown, wrong,
    expired and revoked keys and for every token that isn't valid; 403 where the caller's role isn't one of this route's, or where it may
    not call from; 400 for a receipt key that is none. StoreError while the store can't be read: for whatever is shown, since it isn't known then.
    """
    text = presented(call)
    if text is not None and call.issued is not None:  # it showed one credential, so this is what it stands for
        return _issued(gateway, call, call.issued)
    found = match_key(text, gateway.keys, gateway.pepper, gateway.clock.now()) if text is not None else None
    if found is None:
        raise _unfound(gateway, text)
    standing, secret = found
    _check(standing, call)
    return Caller(standing, Sealed(secret))


def _issued(gateway: Gateway, call: Call, issued: Issued) -> Caller:
    """The caller behind a verified token. Raises: ApiError."""
    standing = gateway.tokens.standing(issued) if gateway.tokens is not None else None
    if standing is None:
        raise _unfound(gateway, issued.key_id)
    _check(standing, call)
    secret, made = receipt_key(call.scope)
    return Caller(standing, Sealed(secret), issued, made)


def _unfound(gateway: Gateway, shown: str | None) -> ApiError | StoreError:
    """Why what was `shown` is nobody's. It is judged first, blind or not, so that time tells nothing of it either."""
    if shown is not None and gateway.keys.blind:
        return StoreError("no key can be looked up now")
    return ApiError(401, "invalid_request_error", "invalid_api_key", _REFUSED + _MEND, headers={"www-authenticate": "Bearer"})


def _check(standing: Standing, call: Call) -> None:
    """What `standing` says of where and what for. Raises: ApiError 403."""
    if standing.role not in call.roles:
        raise ApiError(403, "permission_error", "role_not_allowed", f"A key of role '{standing.role}' may not do this.")
    if standing.networks and not standing.reachable_from(call.address):
        raise ApiError(403, "permission_error", "network_not_allowed", "This key may not be used from this network.")


def stands(gateway: Gateway, caller: Caller) -> bool:
    """Whether a caller that was authenticated may go on now: its key, and all that it belongs to, still stand. A token is judged when a
    request begins: that its time ends later stops nothing, as its life is short by design. While the store can't be read nobody new is
    admitted, but nothing is known against those who were: a database that starts again cuts no streams.
    """
    if gateway.keys.blind:
        return True
    if caller.issued is not None:
        return gateway.tokens is not None and gateway.tokens.standing(caller.issued) is not None
    found = gateway.keys.lookup(caller.key_id)
    return found is not None and found.standing_at(gateway.clock.now()) is not None


def presented(call: Call) -> str | None:
    """The key that a request shows; None when it shows none, or more than one, since then others may have taken it for somebody else's."""
    names = _HEADERS.intersection(call.fields)
    if len(names) != 1:
        return None
    (name,) = names
    value = call.fields[name] if len(call.fields) == len(call.scope["headers"]) else header(call.scope, name)  # where none is repeated
    if value is None:
        return None
    if name == b"authorization":
        return bearer_of(value)
    return value.decode() if value and value.isascii() else None
