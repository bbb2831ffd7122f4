"""The built-in answerer of the simulated enclave: OpenAI's shapes, no model, the same answer for the same request.

Pure: ids and time are arguments. What an answer says about a request is what an application's author wants to see in a
demo or a test: how many messages arrived, and the last words of the user as proof that the plaintext was opened.

Special models, answered but not listed, hold or break an answer where a test needs it:

    sim-slow-headers   the response headers wait        sim-error-NNN      an OpenAI error with HTTP status NNN
    sim-slow-first     headers come, the body waits     sim-error-stream   an error event in the middle of a stream
    sim-slow-stream    every event of a stream waits    sim-cut            the connection breaks in the middle
"""

import base64
import hashlib
import math
import re
import struct
from typing import Any

import msgspec

from ollm.errors import ApiError
from ollm.sim.saying import ChatRequest, Said, bad_request, decode, parts_of, say, text_of
from ollm.values.secret import Hidden

CHAT_MODEL = "sim-chat"
EMBEDDING_MODEL = "sim-embed"
FINGERPRINT = "fp_simulated"
DIMENSIONS = 256  # of an embedding when the request names none
CREATED = 1_735_689_600  # of the models in the list: 2025-01-01
TOKENS_PER_MESSAGE = 3
TOKENS_PER_IMAGE = 85  # what OpenAI counts for an image in low detail
CACHE_FROM, CACHE_BLOCK = 1024, 128  # OpenAI caches prompts from 1024 tokens, in blocks of 128
REASONING = {"none": 0, "minimal": 4, "low": 8, "medium": 16, "high": 32}


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """Where an answer waits, in seconds."""

    headers: float = 0.0
    first: float = 0.0  # between the headers and the first byte of the body
    event: float = 0.0  # before each later event of a stream


SPECIAL_PACE = {"sim-slow-headers": Pace(headers=3600.0), "sim-slow-first": Pace(first=3600.0), "sim-slow-stream": Pace(event=0.25)}


class Answer(Hidden, frozen=True, kw_only=True):
    """An answer to send: one part when whole, one part for each event of a stream. `cut` breaks the connection after the last part."""

    parts: tuple[bytes, ...]
    model: str | None = None
    chat_id: str | None = None
    streamed: bool = False
    cut: bool = False
    pace: Pace = Pace()

    def __repr__(self) -> str:
        return f"Answer(parts={len(self.parts)})"


class _EmbeddingRequest(Hidden, frozen=True):
    model: str
    input: str | list[str | int | list[int]]
    encoding_format: str | None = "float"
    dimensions: int | None = None


class Responder(msgspec.Struct, frozen=True, kw_only=True):
    """Answers for `models` (each of them as chat and as embedding model); `pace` holds for those without a special one."""

    models: tuple[str, ...] = (CHAT_MODEL, EMBEDDING_MODEL)
    pace: Pace = Pace()

    def list_models(self) -> Answer:
        """`GET /v1/models`."""
        rows = [{"id": name, "object": "model", "created": CREATED, "owned_by": "ollm-sim"} for name in self.models]
        return Answer(parts=(_json({"object": "list", "data": rows}),))

    def chat(self, body: bytes, *, chat_id: str, now: int) -> Answer:
        """`POST /v1/chat/completions`; `chat_id` and `now` become `id` and `created`. Raises: ApiError."""
        request = decode(body, ChatRequest)
        self._known(request.model)
        if not request.messages:
            raise bad_request("the list of messages is empty", "messages")
        if not 1 <= (request.n or 1) <= 128:
            raise bad_request("n must be from 1 to 128", "n")
        said = [say(request, index) for index in range(request.n or 1)]
        head = {"id": chat_id, "created": now, "model": request.model, "system_fingerprint": FINGERPRINT}
        usage = _usage(request, said)
        streamed = bool(request.stream)
        parts = _stream(request, head, said, usage) if streamed else (_whole(head, said, usage),)
        cut = request.model == "sim-cut"
        if cut:
            parts = parts[: max(len(parts) // 2, 1)] if streamed else (parts[0][: len(parts[0]) // 2],)
        elif streamed and request.model == "sim-error-stream":
            failure = {"error": {"message": "simulated failure", "type": "server_error", "param": None, "code": None}}
            parts = (*parts[: len(parts) // 2], b"data: " + _json(failure) + b"\n\n")
        pace = SPECIAL_PACE.get(request.model, self.pace)
        return Answer(parts=parts, model=request.model, chat_id=chat_id, streamed=streamed, cut=cut, pace=pace)

    def embeddings(self, body: bytes) -> Answer:
        """`POST /v1/embeddings`: unit vectors that depend on the input alone. Raises: ApiError."""
        request = decode(body, _EmbeddingRequest)
        self._known(request.model)
        inputs = _inputs(request.input)
        size = DIMENSIONS if request.dimensions is None else request.dimensions
        if not 1 <= size <= 4096:
            raise bad_request("dimensions must be from 1 to 4096", "dimensions")
        if request.encoding_format not in (None, "float", "base64"):
            raise bad_request("encoding_format must be float or base64", "encoding_format")
        rows = []
        for index, item in enumerate(inputs):
            vector = _vector(item if isinstance(item, str) else ",".join(map(str, item)), size)
            packed = base64.b64encode(struct.pack(f"<{size}f", *vector)).decode() if request.encoding_format == "base64" else vector
            rows.append({"object": "embedding", "index": index, "embedding": packed})
        tokens = sum(_tokens(item) if isinstance(item, str) else len(item) for item in inputs)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        document = {"object": "list", "data": rows, "model": request.model, "usage": usage}
        return Answer(parts=(_json(document),), model=request.model, pace=SPECIAL_PACE.get(request.model, self.pace))

    def _known(self, model: str) -> None:
        failing = re.fullmatch(r"sim-error-([45]\d\d)", model)
        if failing:
            raise _simulated_error(int(failing[1]))
        if model not in self.models and model not in SPECIAL_PACE and model not in ("sim-cut", "sim-error-stream"):
            raise ApiError(404, "invalid_request_error", "model_not_found", "the model does not exist here", param="model")


def _whole(head: dict[str, Any], said: list[Said], usage: dict[str, Any]) -> bytes:
    choices = []
    for index, one in enumerate(said):
        text = "".join(one.pieces)
        message: dict[str, Any] = {"role": "assistant", "content": text if one.tool is None else None, "refusal": None, "annotations": []}
        if one.tool is not None:
            message["tool_calls"] = [{"id": _call_id(head["id"], index), "type": "function", "function": {"name": one.tool, "arguments": text}}]
        choices.append({"index": index, "message": message, "logprobs": None, "finish_reason": one.finish})
    return _json({**head, "object": "chat.completion", "choices": choices, "usage": usage})


def _stream(request: ChatRequest, head: dict[str, Any], said: list[Said], usage: dict[str, Any]) -> tuple[bytes, ...]:
    counted = request.stream_options is not None and request.stream_options.include_usage
    head = {**head, "object": "chat.completion.chunk"} | ({"usage": None} if counted else {})
    events: list[bytes] = []

    def event(index: int, delta: dict[str, Any], finish: str | None = None) -> None:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        events.append(b"data: " + _json({**head, "choices": [choice]}) + b"\n\n")

    for index, one in enumerate(said):
        if one.tool is None:
            event(index, {"role": "assistant", "content": "", "refusal": None})
        else:
            call = {"index": 0, "id": _call_id(head["id"], index), "type": "function", "function": {"name": one.tool, "arguments": ""}}
            event(index, {"role": "assistant", "content": None, "tool_calls": [call]})
        for piece in one.pieces:
            event(index, {"content": piece} if one.tool is None else {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        event(index, {}, one.finish)
    if counted:
        events.append(b"data: " + _json({**head, "choices": [], "usage": usage}) + b"\n\n")
    events.append(b"data: [DONE]\n\n")
    return tuple(events)


def _usage(request: ChatRequest, said: list[Said]) -> dict[str, Any]:
    prompt = sum(TOKENS_PER_MESSAGE + _tokens(text_of(message)) for message in request.messages) + TOKENS_PER_MESSAGE
    prompt += sum(TOKENS_PER_IMAGE for part in parts_of(request) if part.get("type") == "image_url")
    first = request.messages[0]
    prefix = _tokens(text_of(first)) if first.role in ("system", "developer") else 0
    cached = prefix // CACHE_BLOCK * CACHE_BLOCK if prefix >= CACHE_FROM else 0
    reasoning = REASONING.get(request.reasoning_effort or "none", 0) * len(said)
    completion = sum(len(one.pieces) for one in said) + reasoning
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def _tokens(text: str) -> int:
    return math.ceil(len(text.encode(errors="replace")) / 4)  # four bytes a token, as tokenizers average on English


def _inputs(given: str | list[str | int | list[int]]) -> list[str | list[int]]:
    """The texts or token lists to embed: `given` may be one of either, or many."""
    if isinstance(given, str):
        return [given]
    numbers = [item for item in given if isinstance(item, int)]
    if numbers and len(numbers) == len(given):
        return [numbers]
    several = [item for item in given if not isinstance(item, int)]
    if numbers or not several:
        raise bad_request("the input is empty or mixed", "input")
    return several


def _vector(text: str, size: int) -> list[float]:
    """`size` numbers of unit length from SHAKE-256 of `text`."""
    raw = hashlib.shake_256(text.encode(errors="replace")).digest(2 * size)
    numbers = [value / 32768 for value in struct.unpack(f"<{size}h", raw)]
    length = math.sqrt(sum(value * value for value in numbers)) or 1.0
    return [value / length for value in numbers]


def _call_id(chat_id: str, index: int) -> str:
    return "call_" + hashlib.sha256(f"{chat_id}/{index}".encode()).hexdigest()[:24]


def _json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def _simulated_error(status: int) -> ApiError:
    kinds = {401: ("invalid_request_error", "invalid_api_key"), 429: ("requests", "rate_limit_exceeded")}
    kind, code = kinds.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    headers = {"retry-after": "1"} if status in (429, 503) else None
    return ApiError(status, kind, code, "simulated failure", headers=headers)
