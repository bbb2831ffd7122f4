"""One request to the control plane: who asks, with what, and how the answer goes out."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import msgspec

from ollm.admin.context import Admin
from ollm.admin.queries import Query
from ollm.attest.strict_json import parse
from ollm.errors import ApiError, EvidenceRefused, StoreError
from ollm.serving.http import Header, Receive, Scope, Send, bearer, read_body
from ollm.store.changes import Changes, View
from ollm.store.keys import authenticate
from ollm.values.identity import Role
from ollm.values.standing import Standing

MAX_BODY = 64 * 1024  # bytes; terms have 16 KB at most
_REFUSED = "The API key is missing or not valid. Send it as 'Authorization: Bearer sk-ollm-…'; `ollm keys create --role admin` makes one."
_JSON = b"application/json"
_ENCODER = msgspec.json.Encoder()

T = TypeVar("T")
Body = TypeVar("Body", bound=msgspec.Struct)


class Stream(msgspec.Struct, frozen=True):
    """An answer that comes in pieces: an export."""

    content_type: str
    filename: str
    pieces: AsyncIterator[bytes]


Answer = dict[str, Any] | Stream


class Call:
    """A request whose key has been found valid, and its role allowed."""

    def __init__(self, admin: Admin, scope: Scope, receive: Receive, standing: Standing) -> None:
        self.admin = admin
        self.standing = standing
        self.query = Query(scope["query_string"])
        self.now = admin.clock.now()
        self._names: Mapping[str, str] = scope.get("path_params", {})
        self._scope = scope
        self._receive = receive

    def name(self, parameter: str) -> str:
        """What stands in the path for `parameter`."""
        return self._names[parameter]

    async def body(self, kind: type[Body]) -> Body:
        """The request body, one strict JSON object; an empty one is {}. Raises: ApiError 400, 413, 415."""
        data = await read_body(self._scope, self._receive, MAX_BODY)
        try:
            return msgspec.convert(parse(data or b"{}", limit=MAX_BODY, check="body"), kind)
        except EvidenceRefused as refusal:
            raise _invalid(f"The body has {refusal.got}; it must be one JSON object in UTF-8, with each member once.") from None
        except msgspec.ValidationError as problem:
            raise _invalid(str(problem)[:300]) from None

    async def no_body(self) -> None:
        """Raises: ApiError 400 for a body that says something, since nobody would heed it."""
        await self.body(_Nothing)

    async def read(self, work: Callable[[View], T]) -> T:
        """What `work` makes of the store. Raises: StoreError."""
        return await self.admin.store.administration.read(work)

    async def write(self, work: Callable[[Changes], T]) -> T:
        """What `work` changes, under the name of this request's key. Raises: StoreError."""
        result = await self.admin.store.administration.write(self.standing.key_id, self.now, work)
        await self.admin.store.keys.refresh()  # this process knows at once, the others within a second
        return result

    def check_may_grant(self, *roles: str) -> None:
        """Raises: ApiError 403 where one of `roles`, old or new, is that of an administrator and the key isn't an owner's."""
        if self.standing.role is not Role.OWNER and {Role.OWNER, Role.ADMIN} & set(roles):
            raise ApiError(403, "permission_error", "role_not_allowed", "Only an owner's key may appoint or dismiss owners and admins.")


class _Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No members."""


def admitted(admin: Admin, scope: Scope, roles: frozenset[Role]) -> Standing:
    """What the request's key may do. Raises: ApiError 401, the same for missing, unknown, wrong, expired, disabled and revoked keys; 403.
    StoreError for every key while the store can't be read.
    """
    text = bearer(scope)
    found = authenticate(text, admin.store.keys, admin.pepper, admin.clock.now()) if text is not None else None
    if found is None:
        if text is not None and admin.store.keys.blind:
            raise StoreError("no key can be looked up now")
        raise ApiError(401, "invalid_request_error", "invalid_api_key", _REFUSED, headers={"www-authenticate": "Bearer"})
    standing, _ = found
    if standing.role not in roles:
        raise ApiError(403, "permission_error", "role_not_allowed", f"A key of role '{standing.role}' may not do this.")
    client = scope.get("client")
    if standing.networks and not standing.reachable_from(str(client[0]) if client else ""):
        raise ApiError(403, "permission_error", "network_not_allowed", "This key may not be used from this network.")
    return standing


async def send_answer(send: Send, answer: Answer, base: list[Header]) -> None:
    """`answer` with status 200."""
    if isinstance(answer, Stream):
        await _send_stream(send, answer, base)
        return
    body = _ENCODER.encode(answer)
    head = [*base, (b"content-type", _JSON), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def _send_stream(send: Send, answer: Stream, base: list[Header]) -> None:
    """Each piece waits while the client doesn't read, so memory stays bounded. What fails on the way ends the connection before its end."""
    disposition = f'attachment; filename="{answer.filename}"'.encode()
    head = [*base, (b"content-type", answer.content_type.encode()), (b"content-disposition", disposition)]
    started = False
    async for piece in answer.pieces:
        if not started:
            await send({"type": "http.response.start", "status": 200, "headers": head})
            started = True
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    if not started:
        await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": b""})


def _invalid(message: str) -> ApiError:
    return ApiError(400, "invalid_request_error", "invalid_request", message)
