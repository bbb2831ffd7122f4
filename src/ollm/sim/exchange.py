"""One prompt on its way through the enclave: what a receipt says of it, and its answer on the way out."""

import hashlib
from collections.abc import Sequence

import msgspec

from ollm.errors import ApiError, WireError
from ollm.seal import ehbp
from ollm.serving.http import Header, Send
from ollm.sim.sealing import Body
from ollm.values.hexes import Sha256
from ollm.values.secret import Hidden
from ollm.wire.preferences import NO_PREFERENCES
from ollm.wire.request import parse_json


class Exchange(Hidden, frozen=True):
    """What a receipt says of a request."""

    path: str
    plaintext: bytes  # the body as its sender wrote it
    inner: bytes  # the body that the engine got
    model: str
    bearer: str | None

    def __repr__(self) -> str:
        return "Exchange()"


class Outgoing:
    """One answer on its way out: sealed when its request was, hashed as it stands on the wire (ACI §7.4)."""

    def __init__(self, send: Send, body: Body) -> None:
        self._send = send
        self._sealer = body.sealer
        self._hash = hashlib.sha256()

    async def start(self, status: int, content_type: bytes, length: int | None, headers: Sequence[Header]) -> None:
        head = [(b"content-type", content_type), *headers]
        if self._sealer is not None:
            head.append((ehbp.RESPONSE_NONCE.encode(), self._sealer.nonce_hex.encode()))
        elif length is not None:
            head.append((b"content-length", str(length).encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": head})
        if length is None:  # the body may take its time; the client should see by now that it comes
            await self.send(b"")

    def wire(self, chunk: bytes) -> bytes:
        """`chunk` as it will be sent, already counted in the digest; call in the order of sending."""
        wire = self._sealer.seal(chunk) if self._sealer is not None else chunk
        self._hash.update(wire)
        return wire

    def digest(self) -> Sha256:
        return Sha256("sha256:" + self._hash.hexdigest())

    async def send(self, wire: bytes) -> None:
        await self._send({"type": "http.response.body", "body": wire, "more_body": True})

    async def end(self, wire: bytes) -> None:
        await self._send({"type": "http.response.body", "body": wire})


def judged(path: str, plaintext: bytes, bearer: str | None) -> Exchange:
    """The request as it is served: what it demands of the route is consumed here (ACI §5.3). Raises: ApiError."""
    try:
        request = parse_json(plaintext)
    except WireError as problem:
        raise ApiError(400, "invalid_request_error", None, problem.reason, param=problem.param) from None
    if request.preferences.session_ids:
        raise ApiError(412, "session_not_accepted", None, "a direct service has no sessions: nothing is forwarded")
    inner = plaintext if request.preferences is NO_PREFERENCES else msgspec.json.encode(request.members)
    return Exchange(path, plaintext, inner, request.model, bearer)


class _WithId(msgspec.Struct):
    id: str | None = None


def answer_id(chunk: bytes, *, streamed: bool) -> str | None:
    """The answer's own id, if `chunk` shows one: in its JSON, or in its first event."""
    if streamed:
        _, _, chunk = chunk.partition(b"data:")
        chunk = chunk.partition(b"\n")[0]
    try:
        return msgspec.json.decode(chunk, type=_WithId).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
