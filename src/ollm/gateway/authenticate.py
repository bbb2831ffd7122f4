"""Who is calling: step 1 of the path."""

from ollm.errors import ApiError
from ollm.gateway.call import Call
from ollm.gateway.caller import Caller
from ollm.gateway.context import Gateway
from ollm.serving.http import bearer_of, header
from ollm.store.keys import authenticate as match_key
from ollm.values.secret import Sealed

__all__ = ["Caller", "authenticate", "presented", "stands"]

_REFUSED = "The API key is missing or not valid."
_MEND = " Send it as 'Authorization: Bearer sk-ollm-…'; `ollm keys create` makes one."
_HEADERS = frozenset((b"authorization", b"x-api-key", b"api-key"))  # OpenAI's clients, Anthropic's, Azure's


def authenticate(gateway: Gateway, call: Call) -> Caller:
    """The caller behind the request's key. Raises: ApiError 401, the same for unknown, wrong, expired and revoked keys; 403 where the key's
    role isn't one of this route's, or where it may not be used from.
    """
    text = presented(call)
    found = match_key(text, gateway.keys, gateway.pepper, gateway.clock.now()) if text is not None else None
    if found is None:
        raise ApiError(401, "invalid_request_error", "invalid_api_key", _REFUSED + _MEND, headers={"www-authenticate": "Bearer"})
    standing, secret = found
    if standing.role not in call.roles:
        raise ApiError(403, "permission_error", "role_not_allowed", f"A key of role '{standing.role}' may not do this.")
    if standing.networks and not standing.reachable_from(call.address):
        raise ApiError(403, "permission_error", "network_not_allowed", "This key may not be used from this network.")
    return Caller(standing, Sealed(secret))


def stands(gateway: Gateway, caller: Caller) -> bool:
    """Whether a caller that was authenticated may go on now: its key, and all that it belongs to, still stand."""
    found = gateway.keys.lookup(caller.key_id)
    return found is not None and found.standing_at(gateway.clock.now()) is not None


def presented(call: Call) -> str | None:
    """The key that a request shows; None when it shows none, or more than one, since then others may have taken it for somebody else's."""
    names = _HEADERS.intersection(call.fields)
    if len(names) != 1:
        return None
    (name,) = names
    value = header(call.scope, name)
    if value is None:
        return None
    if name == b"authorization":
        return bearer_of(value)
    return value.decode() if value and value.isascii() else None
