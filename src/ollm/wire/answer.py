"""Answers on their way to the client: our id and model put in, usage read, provider errors kept back.

All other members pass through byte for byte, `obfuscation` (OpenAI's padding against traffic analysis) included.
"""

from typing import Any

import msgspec

from ollm.errors import ErrorAnswer, WireError
from ollm.values.usage import Usage
from ollm.wire.endpoints import CHAT, Endpoint
from ollm.wire.errors import status_said, stream_failed
from ollm.wire.metering import used
from ollm.wire.rewriting import EventRewriter
from ollm.wire.sse import Event
from ollm.wire.usage import chat_usage, tier_of

DONE = b"data: [DONE]\n\n"
_ERROR = stream_failed(CHAT.dialect)
_NULL = msgspec.Raw(b"null")
_NO_CHOICES = msgspec.Raw(b"[]")
_EMPTY = b"[] \t\n\r"  # what an empty list is made of

_Members = dict[str, msgspec.Raw]
_members = msgspec.json.Decoder(_Members).decode
encode = msgspec.json.Encoder().encode
_string = msgspec.json.Decoder(str).decode


def members_of(data: bytes | msgspec.Raw) -> _Members:
    """The members of a provider's JSON object. Raises: WireError."""
    try:
        if type(data) is bytes and not data.isascii():
            data.decode()  # what is passed on raw is not looked into, and clients can't read anything but UTF-8 (RFC 8259 §8.1)
        return _members(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise WireError("the provider's answer is not a JSON object") from None


def whole_text(body: bytes) -> bytes:
    """A whole answer that is text and not JSON, as it came. Raises: WireError when it is no UTF-8, as its Content-Type will say."""
    try:
        body.decode()
    except UnicodeDecodeError:
        raise WireError("the provider's answer is not UTF-8") from None
    return body


def is_error(members: _Members) -> bool:
    """Whether an answer says that it is none."""
    return "error" in members and members["error"] != _NULL


def rewrite_whole(body: bytes, endpoint: Endpoint = CHAT, *, id: str, model: str) -> tuple[bytes, Usage | None]:
    """A whole answer with our `id` and `model`, and its usage. Where the API gives an answer neither, those that are there are replaced.

    Raises: WireError when `body` is no JSON object, ErrorAnswer when it is an error object that came with a success status.
    """
    members: dict[str, Any] = {**members_of(body)}
    if "error" in members and is_error(members):
        raise ErrorAnswer(status_said(members["error"]))
    if endpoint.named or "id" in members:
        members["id"] = id
    if endpoint.named or "model" in members:
        members["model"] = model
    return encode(members), used(endpoint, members)


def answer_id(body: bytes) -> str | None:
    """The provider's own id of a whole answer; None when it has none. Raises: WireError when `body` is no JSON object."""
    return text_of(members_of(body).get("id"))


def text_of(raw: msgspec.Raw | None) -> str | None:
    """A string's value; None for anything else."""
    try:
        return _string(raw) if raw is not None else None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class StreamRewriter(EventRewriter):
    """Rewrites one chat stream. [DONE], once seen, is the last thing that `feed` returned, so that a caller can hold `DONE` back.

    `provider_id`: as the first event has it. `usage`: the last counts seen. `content_events`: events with choices.
    """

    def __init__(self, *, id: str, model: str, include_usage: bool) -> None:
        super().__init__()
        self._id = msgspec.Raw(encode(id))
        self._model = msgspec.Raw(encode(model))
        self._include_usage = include_usage
        self._begun = False  # a good event came

    def _event(self, event: Event) -> bytes:
        data = event.data
        if data.startswith(b"[DONE]"):  # as openai-python looks for it
            self.done = True
            return DONE
        if b"\n" in data:  # a line break between tokens; it would cut our single data line
            data = data.replace(b"\n", b" ")
        members = members_of(data)
        if event.name == "error" or ("error" in members and is_error(members)):
            return self._fail(members)
        self._begun = True
        choices = members.get("choices")
        if choices is not None and choices != _NO_CHOICES:
            self.content_events += 1
        usage = members.get("usage")
        if usage is not None:
            if usage != _NULL:
                self.tier = tier_of(members.get("service_tier")) or self.tier
                self.usage = chat_usage(usage, self.tier) or self.usage
                if not self._include_usage and (choices is None or not bytes(choices).strip(_EMPTY)):
                    return b""
            if not self._include_usage:
                del members["usage"]
        if self.provider_id is None:
            self.provider_id = text_of(members.get("id"))
            self.tier = tier_of(members.get("service_tier")) or self.tier
        members["id"] = self._id
        members["model"] = self._model
        return b"data: " + encode(members) + b"\n\n"

    def _fail(self, members: _Members) -> bytes:
        status = status_said(members.get("error", b""))
        if not self._begun:
            raise ErrorAnswer(status)
        self.failed, self.fault = True, ErrorAnswer(status)
        return _ERROR
