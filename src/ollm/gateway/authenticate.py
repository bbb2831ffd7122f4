"""Who is calling: step 1 of the path."""

import msgspec

from ollm.errors import ApiError
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.serving.http import Scope, bearer
from ollm.store.keys import authenticate as match_key
from ollm.values.level import Level
from ollm.values.secret import Sealed
from ollm.values.standing import Standing


class Caller(msgspec.Struct, frozen=True):
    standing: Standing
    secret: Sealed  # opens the caller's own receipts; lives as long as the request

    @property
    def key_id(self) -> str:
        return self.standing.key_id

    @property
    def floor(self) -> Level:
        return self.standing.floor


_REFUSED = "The API key is missing or not valid."
_MEND = " Send it as 'Authorization: Bearer sk-ollm-…'; `ollm keys create` makes one."
_HEADERS = (b"authorization", b"x-api-key", b"api-key")  # OpenAI's clients, Anthropic's, Azure's


def authenticate(gateway: Gateway, call: Call) -> Caller:
    """The caller behind the request's key. Raises: ApiError 401, the same for unknown, wrong, expired and revoked keys; 403 where the key's
    role isn't one of this route's, or where it may not be used from.
    """
    text = presented(call.scope)
    found = match_key(text, gateway.keys, gateway.pepper, gateway.clock.now()) if text is not None else None
    if found is None:
        raise ApiError(401, "invalid_request_error", "invalid_api_key", _REFUSED + _MEND, headers={"www-authenticate": "Bearer"})
    standing, secret = found
    if standing.role not in call.roles:
        raise ApiError(403, "permission_error", "role_not_allowed", f"A key of role '{standing.role}' may not do this.")
    if standing.networks and not standing.reachable_from(call.address):
        raise ApiError(403, "permission_error", "network_not_allowed", "This key may not be used from this network.")
    return Caller(standing, Sealed(secret))


def presented(scope: Scope) -> str | None:
    """The key that a request shows; None when it shows none, or more than one, since then others may have taken it for somebody else's."""
    values = [(name, value) for name, value in scope["headers"] if name in _HEADERS]
    if len(values) != 1:
        return None
    name, value = values[0]
    if name == b"authorization":
        return bearer(scope)
    return value.decode() if value and value.isascii() else None
