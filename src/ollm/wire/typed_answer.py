"""Streams of typed events: Responses, images, audio, and Anthropic's messages.

    event: response.output_text.delta
    data: {"type":"response.output_text.delta","delta":"…",…}

An event of one of the endpoint's types ends the stream; what is sent behind it is ignored. Where more than one may come (each of several
pictures has its own), the end is that of the body, and the last event is held until then. Our id and model take the place of the
provider's in the member that holds the answer (`response`, `message`). All else passes through byte for byte.
"""

import msgspec

from ollm.errors import ErrorAnswer, WireError
from ollm.values.usage import Usage
from ollm.wire.answer import encode, is_error, members_of, text_of
from ollm.wire.endpoints import Endpoint
from ollm.wire.errors import STREAM_MESSAGE, status_in, stream_failed
from ollm.wire.rewriting import EventRewriter
from ollm.wire.sse import Event
from ollm.wire.usage import tier_of

_NESTED = ("response", "message")
_FAILED = encode({"code": "server_error", "message": STREAM_MESSAGE})


class TypedRewriter(EventRewriter):
    """Rewrites one stream of `endpoint`."""

    def __init__(self, endpoint: Endpoint, *, id: str, model: str) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._id = msgspec.Raw(encode(id))
        self._model = msgspec.Raw(encode(model))
        self._begun = False  # a good event came
        self._held = b""  # an event that ends the stream if nothing follows it
        self._first: dict[str, msgspec.Raw] = {}  # Anthropic's usage of the stream's beginning: what its end has takes the place of it
        self._pictures = 0
        self._partial: Usage | None = None  # what that comes to: until the end its output is a guess

    def close(self) -> bytes:
        """As `Rewriter.close`."""
        if not self._held or self._parser.cut or self._broken is not None:
            return super().close()
        self.done = True
        return self._held

    def _event(self, event: Event) -> bytes:
        data = event.data
        if data.startswith(b"[DONE]"):  # some send it although these APIs have none; it proves nothing
            return b""
        members = members_of(data)
        kind = text_of(members.get("type")) or event.name
        if kind == "error" or event.name == "error" or (is_error(members) and not kind.startswith("response.")):
            self._blame(data)
            self.failed = True
            return stream_failed(self._endpoint.dialect)
        if kind == "response.failed":  # an end that the API defines: it goes on
            self._blame(data)
        self._begun = True
        self._read(members, kind)
        name = b"event: " + event.name.encode() + b"\n" if event.name else b""
        out = name + b"data: " + encode(members) + b"\n\n"
        if kind in self._endpoint.ends:
            if self._endpoint.pictures:
                self._pictures += 1
                self.usage = msgspec.structs.replace(self.usage or Usage(), images=self._pictures)
            if self._endpoint.nested:
                self.done = True
                return out
            held, self._held = self._held, out
            return held
        if self._held:  # several pictures: this one wasn't the last
            out, self._held = self._held + out, b""
        return out

    def _blame(self, data: bytes) -> None:
        """Raises: ErrorAnswer where nothing good came before."""
        status = status_in(data)
        if not self._begun:
            raise ErrorAnswer(status)
        self.fault = ErrorAnswer(status)

    def _read(self, members: dict[str, msgspec.Raw], kind: str) -> None:
        if ".delta" in kind or kind.endswith("_delta") or "partial" in kind:
            self.content_events += 1
        for name in _NESTED:
            if self._endpoint.nested and name in members:
                members[name] = self._answer(members[name])
        if "usage" in members:
            self._count(members["usage"])
            self._partial = None
        elif self._partial is not None:
            output = max(self._partial.completion_tokens, self.content_events) - self._partial.reasoning_tokens
            self.usage = msgspec.structs.replace(self._partial, output_tokens=output, estimated=True)

    def _answer(self, raw: msgspec.Raw) -> msgspec.Raw:
        inner = members_of(raw)
        if self.provider_id is None:
            self.provider_id = text_of(inner.get("id"))
        self.tier = tier_of(inner.get("service_tier")) or self.tier
        if "usage" in inner:
            self._count(inner["usage"])
            self._partial = self.usage if self._endpoint.dialect == "anthropic" else None
        inner["id"], inner["model"] = self._id, self._model
        if is_error(inner):
            inner["error"] = msgspec.Raw(_FAILED)
        return msgspec.Raw(encode(inner))

    def _count(self, raw: msgspec.Raw) -> None:
        if bytes(raw) == b"null":
            return
        try:
            merged = {**self._first, **members_of(raw)}
        except WireError:
            return
        self._first = merged if self._endpoint.dialect == "anthropic" else {}
        self.usage = self._endpoint.usage(encode(merged), self.tier) or self.usage
        if self.usage is not None:
            self.tier = self.usage.tier or self.tier
