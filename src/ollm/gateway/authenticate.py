"""Who is calling: step 1 of the path."""

import msgspec

from ollm.errors import ApiError
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.serving.http import bearer
from ollm.store.keys import authenticate as match_key
from ollm.values.level import Level
from ollm.values.secret import Sealed


class Caller(msgspec.Struct, frozen=True):
    key_id: str
    floor: Level
    secret: Sealed  # opens the caller's own receipts; lives as long as the request


_REFUSED = "The API key is missing or not valid."
_MEND = " Send it as 'Authorization: Bearer sk-ollm-…'; `ollm keys create` makes one."


def authenticate(gateway: Gateway, call: Call) -> Caller:
    """The caller behind the request's bearer key. Raises: ApiError 401, the same for unknown, wrong, expired and revoked keys."""
    text = bearer(call.scope)
    found = match_key(text, gateway.keys, gateway.pepper, gateway.clock.now()) if text is not None else None
    if found is None:
        raise ApiError(401, "invalid_request_error", "invalid_api_key", _REFUSED + _MEND, headers={"www-authenticate": "Bearer"})
    row, secret = found
    return Caller(row.key_id, Level(row.require), Sealed(secret))
