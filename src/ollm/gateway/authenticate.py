"""Who is calling: step 1 of the path."""

import msgspec

from ollm.errors import ApiError
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.serving.http import Scope, bearer
from ollm.store.keys import authenticate as match_key
from ollm.values.level import Level
from ollm.values.secret import Sealed


class Caller(msgspec.Struct, frozen=True):
    key_id: str
    floor: Level
    secret: Sealed  # opens the caller's own receipts; lives as long as the request
    project: str | None = None  # whose key it is
    rules: tuple[str, ...] = ()  # tables of [rules] that its terms name, beside those for everybody


_REFUSED = "The API key is missing or not valid."
_MEND = " Send it as 'Authorization: Bearer sk-ollm-…'; `ollm keys create` makes one."
_HEADERS = (b"authorization", b"x-api-key", b"api-key")  # OpenAI's clients, Anthropic's, Azure's


def authenticate(gateway: Gateway, call: Call) -> Caller:
    """The caller behind the request's key. Raises: ApiError 401, the same for unknown, wrong, expired and revoked keys."""
    text = presented(call.scope)
    found = match_key(text, gateway.keys, gateway.pepper, gateway.clock.now()) if text is not None else None
    if found is None:
        raise ApiError(401, "invalid_request_error", "invalid_api_key", _REFUSED + _MEND, headers={"www-authenticate": "Bearer"})
    row, secret = found
    return Caller(row.key_id, Level(row.require), Sealed(secret))


def presented(scope: Scope) -> str | None:
    """The key that a request shows; None when it shows none, or more than one, since then others may have taken it for somebody else's."""
    values = [(name, value) for name, value in scope["headers"] if name in _HEADERS]
    if len(values) != 1:
        return None
    name, value = values[0]
    if name == b"authorization":
        return bearer(scope)
    return value.decode() if value and value.isascii() else None
