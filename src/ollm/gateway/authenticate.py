"""Who is calling: step 1 of the path."""

import msgspec

from ollm.errors import ApiError
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.serving.http import Header, Scope, bearer_of
from ollm.store.keys import authenticate as match_key
from ollm.values.level import Level
from ollm.values.secret import Sealed

_LEVELS = {level.value: level for level in Level}


class Caller(msgspec.Struct, frozen=True):
    key_id: str
    floor: Level
    secret: Sealed  # opens the caller's own receipts; lives as long as the request


_REFUSED = "The API key is missing or not valid."
_MEND = " Send it as 'Authorization: Bearer sk-ollm-…'; `ollm keys create` makes one."
_HEADERS = frozenset((b"authorization", b"x-api-key", b"api-key"))  # OpenAI's clients, Anthropic's, Azure's


def authenticate(gateway: Gateway, call: Call) -> Caller:
    """The caller behind the request's key. Raises: ApiError 401, the same for unknown, wrong, expired and revoked keys."""
    text = presented(call.scope)
    found = match_key(text, gateway.keys, gateway.pepper, gateway.clock.now()) if text is not None else None
    if found is None:
        raise ApiError(401, "invalid_request_error", "invalid_api_key", _REFUSED + _MEND, headers={"www-authenticate": "Bearer"})
    row, secret = found
    return Caller(row.key_id, _LEVELS.get(row.require) or Level(row.require), Sealed(secret))


def presented(scope: Scope) -> str | None:
    """The key that a request shows; None when it shows none, or more than one, since then others may have taken it for somebody else's."""
    shown: Header | None = None
    for field in scope["headers"]:
        if field[0] in _HEADERS:
            if shown is not None:
                return None
            shown = field
    if shown is None:
        return None
    name, value = shown
    if name == b"authorization":
        return bearer_of(value)
    return value.decode() if value and value.isascii() else None
