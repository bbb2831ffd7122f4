"""Answers of a provider at every inference endpoint, in the shapes of OpenAI's and Anthropic's documents; the same answer to the same request.

Forms are read by the standard library's reader of messages, which shares nothing with the gateway's.
"""

import base64
import email
import email.policy
import json
import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from ollm.testing.providers import openai_shaped
from ollm.testing.providers.openai_shaped import ANSWER

EVENTS = b"text/event-stream"
JSON = b"application/json"
SPEECH = b"ID3\x04\x00" + bytes(range(256)) * 64  # bytes of a file, of no meaning
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(64)).decode()
TOOL_INPUT = {"city": "Reykjavík", "days": 3}  # of the call that is made where tools are offered
TYPED_USAGE = {
    "input_tokens": 12,
    "input_tokens_details": {"cached_tokens": 4},
    "output_tokens": 7,
    "output_tokens_details": {"reasoning_tokens": 2},
    "total_tokens": 19,
}
MESSAGES_USAGE = {"input_tokens": 8, "cache_read_input_tokens": 4, "cache_creation_input_tokens": 0, "output_tokens": 7}
IMAGE_USAGE = {"input_tokens": 5, "output_tokens": 272, "total_tokens": 277, "input_tokens_details": {"text_tokens": 5, "image_tokens": 0}}


class Shaped(msgspec.Struct, frozen=True):
    """An answer: its type, and the pieces that it comes in."""

    kind: bytes
    pieces: tuple[bytes, ...]


class Field(msgspec.Struct, frozen=True):
    """A part of a form."""

    filename: str | None
    data: bytes


def form(body: bytes, content_type: str) -> dict[str, Field]:
    """The parts of a form, by name. Raises: ValueError."""
    message = email.message_from_bytes(f"content-type: {content_type}\r\n\r\n".encode() + body, policy=email.policy.HTTP)
    fields: dict[str, Field] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        if not isinstance(name, str) or (name in fields and not name.endswith("[]")):
            raise ValueError("a part has no name, or one that was there")
        name = name if name not in fields else f"{name}{len(fields)}"
        data = part.get_payload(decode=True)
        fields[name] = Field(part.get_filename(), data if isinstance(data, bytes) else b"")
    return fields


def answer(path: str, body: bytes, content_type: str) -> Shaped | None:
    """What a provider answers to `body` at `path` (below /v1); None where it has nothing."""
    if content_type.startswith("multipart/"):
        members: dict[str, Any] = {name: field.data.decode(errors="replace") for name, field in form(body, content_type).items()}
        members["stream"] = members.get("stream") == "true"
    else:
        members = json.loads(body)
    maker = _MAKERS.get(path)
    return maker(members) if maker is not None else None


def _whole(document: Mapping[str, Any]) -> Shaped:
    return Shaped(JSON, (json.dumps(document).encode(),))


def _typed(events: list[dict[str, Any]], *, numbered: bool = False) -> Shaped:
    pieces = []
    for at, event in enumerate(events):
        data = {**event, "sequence_number": at} if numbered else event
        pieces.append(f"event: {event['type']}\ndata: {json.dumps(data)}\n\n".encode())
    return Shaped(EVENTS, tuple(pieces))


def _words() -> Iterator[str]:
    words = ANSWER.split(" ")
    for at, word in enumerate(words):
        yield word if at == len(words) - 1 else word + " "


def _chat(asked: dict[str, Any]) -> Shaped:
    if asked.get("stream"):
        return Shaped(EVENTS, tuple(openai_shaped.events(asked["model"])))
    return Shaped(JSON, (openai_shaped.whole(asked["model"]),))


def _completion(asked: dict[str, Any]) -> Shaped:
    head = {"id": "cmpl-theirs", "object": "text_completion", "created": 1, "model": asked["model"]}

    def choice(text: str, finish: str | None) -> dict[str, Any]:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}

    if not asked.get("stream"):
        return _whole({**head, "choices": [choice(ANSWER, "stop")], "usage": openai_shaped.USAGE})
    pieces = [b"data: " + json.dumps({**head, "choices": [choice(word, None)]}).encode() + b"\n\n" for word in _words()]
    pieces.append(b"data: " + json.dumps({**head, "choices": [choice("", "stop")]}).encode() + b"\n\n")
    if (asked.get("stream_options") or {}).get("include_usage"):
        pieces.append(b"data: " + json.dumps({**head, "choices": [], "usage": openai_shaped.USAGE}).encode() + b"\n\n")
    return Shaped(EVENTS, (*pieces, b"data: [DONE]\n\n"))


def _response(asked: dict[str, Any]) -> Shaped:
    part = {"type": "output_text", "text": ANSWER, "annotations": [], "logprobs": []}
    item = {"id": "msg_theirs", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    whole = {
        "id": "resp_theirs",
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": asked["model"],
        "output": [item],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "store": asked.get("store", True),
        "usage": TYPED_USAGE,
    }
    if not asked.get("stream"):
        return _whole(whole)
    begun = {**whole, "status": "in_progress", "output": [], "usage": None}
    at = {"item_id": "msg_theirs", "output_index": 0, "content_index": 0}
    empty = {**part, "text": ""}
    return _typed(
        [
            {"type": "response.created", "response": begun},
            {"type": "response.in_progress", "response": begun},
            {"type": "response.output_item.added", "output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
            {"type": "response.content_part.added", **at, "part": empty},
            *({"type": "response.output_text.delta", **at, "delta": word, "logprobs": []} for word in _words()),
            {"type": "response.output_text.done", **at, "text": ANSWER, "logprobs": []},
            {"type": "response.content_part.done", **at, "part": part},
            {"type": "response.output_item.done", "output_index": 0, "item": item},
            {"type": "response.completed", "response": whole},
        ],
        numbered=True,
    )


def _embeddings(asked: dict[str, Any]) -> Shaped:
    inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    vector = [0.25, -0.5, 0.125]
    packed: Any = base64.b64encode(struct.pack("<3f", *vector)).decode() if asked.get("encoding_format") == "base64" else vector
    rows = [{"object": "embedding", "index": at, "embedding": packed} for at in range(len(inputs))]
    return _whole({"object": "list", "data": rows, "model": asked["model"], "usage": {"prompt_tokens": 9, "total_tokens": 9}})


def _moderation(asked: dict[str, Any]) -> Shaped:
    result = {"flagged": False, "categories": {"violence": False}, "category_scores": {"violence": 0.01}, "category_applied_input_types": {}}
    return _whole({"id": "modr-theirs", "model": asked["model"], "results": [result]})


def _rerank(asked: dict[str, Any]) -> Shaped:
    results = [{"index": at, "relevance_score": 1 / (at + 1)} for at in range(len(asked["documents"]))]
    return _whole({"id": "rerank-theirs", "model": asked["model"], "results": results, "usage": {"prompt_tokens": 9, "total_tokens": 9}})


def _images(kind: str, asked: dict[str, Any]) -> Shaped:
    if not asked.get("stream"):
        return _whole({"created": 1, "data": [{"b64_json": PICTURE}], "usage": IMAGE_USAGE})
    about = {"created_at": 1, "size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png", "b64_json": PICTURE}
    return _typed(
        [{"type": f"{kind}.partial_image", "partial_image_index": 0, **about}]
        + [{"type": f"{kind}.completed", **about, "usage": IMAGE_USAGE} for _ in range(int(asked.get("n") or 1))]
    )


def _speech(asked: dict[str, Any]) -> Shaped:
    if asked.get("stream_format") != "sse":
        return Shaped(b"audio/mpeg", tuple(SPEECH[at : at + 4096] for at in range(0, len(SPEECH), 4096)))
    usage = {"input_tokens": 5, "output_tokens": 60, "total_tokens": 65}
    audio = base64.b64encode(SPEECH[:64]).decode()
    return _typed([{"type": "speech.audio.delta", "audio": audio}, {"type": "speech.audio.done", "usage": usage}])


def _transcript(asked: dict[str, Any]) -> Shaped:
    usage = {"type": "tokens", "input_tokens": 14, "output_tokens": 7, "total_tokens": 21}
    if asked.get("response_format") in ("text", "srt", "vtt"):
        return Shaped(b"text/plain; charset=utf-8", (ANSWER.encode() + b"\n",))
    if not asked["stream"]:
        return _whole({"text": ANSWER, "usage": usage})
    return _typed(
        [*({"type": "transcript.text.delta", "delta": word} for word in _words()), {"type": "transcript.text.done", "text": ANSWER, "usage": usage}]
    )


def _message(asked: dict[str, Any]) -> Shaped:
    head = {"id": "msg_theirs", "type": "message", "role": "assistant", "model": asked["model"], "stop_sequence": None}
    block: dict[str, Any] = {"type": "text", "text": ANSWER}
    begun, reason = {**block, "text": ""}, "end_turn"
    deltas = [{"type": "text_delta", "text": word} for word in _words()]
    if asked.get("tools"):
        block = {"type": "tool_use", "id": "toolu_theirs", "name": asked["tools"][0]["name"], "input": TOOL_INPUT}
        begun, reason = {**block, "input": {}}, "tool_use"
        text = json.dumps(TOOL_INPUT)
        deltas = [{"type": "input_json_delta", "partial_json": text[at : at + 7]} for at in range(0, len(text), 7)]
    if not asked.get("stream"):
        return _whole({**head, "content": [block], "stop_reason": reason, "usage": MESSAGES_USAGE})
    return _typed(
        [
            {"type": "message_start", "message": {**head, "content": [], "stop_reason": None, "usage": {**MESSAGES_USAGE, "output_tokens": 1}}},
            {"type": "content_block_start", "index": 0, "content_block": begun},
            {"type": "ping"},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 7}},
            {"type": "message_stop"},
        ]
    )


_MAKERS: dict[str, Callable[[dict[str, Any]], Shaped]] = {
    "/chat/completions": _chat,
    "/completions": _completion,
    "/responses": _response,
    "/embeddings": _embeddings,
    "/moderations": _moderation,
    "/rerank": _rerank,
    "/images/generations": lambda asked: _images("image_generation", asked),
    "/images/edits": lambda asked: _images("image_edit", asked),
    "/audio/speech": _speech,
    "/audio/transcriptions": _transcript,
    "/audio/translations": _transcript,
    "/messages": _message,
    "/messages/count_tokens": lambda asked: _whole({"input_tokens": 12}),
}
