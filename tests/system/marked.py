"""Requests that are full of marks, and a provider that says them all back in every way that it could."""

import asyncio
import base64
import json
from typing import Any

from tests.scripted_enclave import END, Asked
from tests.system.canaries import Canaries

ECHOED = (400, 401, 402, 403, 404, 408, 409, 413, 418, 422, 429, 500, 502, 503)  # statuses with an error text that quotes the prompt
FORMS = (
    "odd-answer",
    "odd-stream",
    "error-in-200",
    "garbage",
    "no-json-type",
    "cut-answer",
    "cut-stream",
    "no-end-mark",
    "garbage-stream",
    "wrong-bytes",
    "huge-event",
    "error-event",
    "stream-for-whole",
    "whole-for-stream",
    "sealed-badly",
    "cut-frame",
    "unsealed",
    "bad-nonce",
    "key-refused",
    "no-http",
    "bad-chunk",
    "huge-headers",
    "redirect",
)


def prompt(canaries: Canaries, model: str, /, **members: Any) -> dict[str, Any]:
    """A chat request with a mark in every text that it can hold."""
    mark = canaries.mark
    image = "data:image/png;base64," + base64.b64encode(mark("image").encode()).decode()
    called = {
        "id": mark("call-id"),
        "type": "function",
        "function": {"name": mark("called"), "arguments": json.dumps({mark("argument"): mark("value")})},
    }
    offered = {
        "name": mark("function"),
        "description": mark("description"),
        "parameters": {"type": "object", "properties": {mark("property"): {"type": "string", "enum": [mark("enumerated")]}}},
    }
    return {
        "model": model,
        "messages": [
            {"role": "system", "content": mark("system"), "name": mark("name")},
            {"role": "user", "content": [{"type": "text", "text": mark("user")}, {"type": "image_url", "image_url": {"url": image}}]},
            {"role": "assistant", "content": mark("assistant"), "refusal": mark("refusal"), "tool_calls": [called]},
            {"role": "tool", "tool_call_id": mark("call-id"), "content": mark("tool")},
            {"role": "user", "content": mark("question")},
        ],
        "tools": [{"type": "function", "function": offered}],
        "tool_choice": "none",
        "metadata": {mark("metadata-name"): mark("metadata-value")},
        "user": mark("end-user"),
        "safety_identifier": mark("safety"),
        "prompt_cache_key": mark("cache-key"),
        "stop": [mark("stop")],
        "prediction": {"type": "content", "content": mark("prediction")},
        mark("member"): mark("member-value"),
        **members,
    }


def headers(canaries: Canaries, key: str) -> dict[str, str]:
    """Headers with a mark in every value that is the client's to choose."""
    names = ("user-agent", "cookie", "referer", "x-request-id", "idempotency-key", "openai-organization", "traceparent", "x-forwarded-for", "origin")
    return {
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        **{name: canaries.mark(f"header-{name}") for name in names},
        f"x-{canaries.mark('header-name')}": "1",
    }


class Echo:
    """Script of a ScriptedEnclave: what it does is the name of the model, and it always repeats the prompt."""

    def __init__(self, canaries: Canaries) -> None:
        self._canaries = canaries
        self._extra = f"x-request-id: {canaries.mark('provider-id')}\r\nserver: {canaries.mark('provider-server')}\r\n"

    async def __call__(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        self._canaries.body(asked.body)  # as it was forwarded: the digest of it must not be kept either
        model = json.loads(asked.body)["model"]
        if model.startswith("echo-"):
            data, again = self._error(asked, model.removeprefix("echo-")), True
        else:
            data, again = getattr(self, "_" + model.replace("-", "_"))(asked)
        writer.write(data)
        await writer.drain()
        return again

    # Texts

    def _said(self, asked: Asked) -> str:
        return f"{self._canaries.mark('provider-text')} about {asked.body.decode()}"

    def _completion(self, asked: Asked) -> dict[str, Any]:
        mark, message = (
            self._canaries.mark,
            {"role": "assistant", "content": self._said(asked), "reasoning_content": self._canaries.mark("reasoning")},
        )
        return {
            "id": mark("provider-answer-id"),
            "object": "chat.completion",
            "created": 1,
            "model": mark("provider-model"),
            "system_fingerprint": mark("fingerprint"),
            "choices": [{"index": 0, "message": message, "finish_reason": mark("finish")}],
            "usage": {"prompt_tokens": mark("count"), "completion_tokens": -5, mark("usage"): mark("usage-value")},
        }

    def _event(self, asked: Asked) -> bytes:
        chunk = self._completion(asked)
        chunk["choices"] = [{"index": 0, "delta": {"content": self._said(asked)}}]
        return b": " + self._canaries.mark("comment").encode() + b"\nid: 1\ndata: " + json.dumps(chunk).encode() + b"\n\n"

    def _failure(self, asked: Asked) -> bytes:
        mark = self._canaries.mark
        return json.dumps(
            {"error": {"message": self._said(asked), "type": mark("error-type"), "code": mark("error-code"), "param": mark("param")}}
        ).encode()

    # Answers: bytes, and whether the connection carries another request

    def _whole(self, asked: Asked, body: bytes, *, status: str = "200 OK", kind: str = "application/json", extra: str = "") -> tuple[bytes, bool]:
        return asked.start(status=status, kind=kind, extra=self._extra + extra) + asked.part(body) + END, True

    def _stream(self, asked: Asked, *events: bytes, end: bytes = END) -> tuple[bytes, bool]:
        start = asked.start(kind="text/event-stream", extra=self._extra)
        return start + b"".join(asked.part(event) for event in events) + end, end == END

    def _error(self, asked: Asked, status: str) -> bytes:
        phrase = self._canaries.mark("phrase")
        return self._whole(asked, self._failure(asked), status=f"{status} {phrase}", extra=f"retry-after: {self._canaries.mark('retry-after')}\r\n")[
            0
        ]

    def _odd_answer(self, asked: Asked) -> tuple[bytes, bool]:
        return self._whole(asked, json.dumps(self._completion(asked)).encode())

    def _odd_stream(self, asked: Asked) -> tuple[bytes, bool]:
        return self._stream(asked, self._event(asked), self._event(asked), b"data: [DONE]\n\n")

    def _error_in_200(self, asked: Asked) -> tuple[bytes, bool]:
        return self._whole(asked, self._failure(asked))

    def _garbage(self, asked: Asked) -> tuple[bytes, bool]:
        return self._whole(asked, b"<html>" + self._said(asked).encode())

    def _no_json_type(self, asked: Asked) -> tuple[bytes, bool]:
        return self._whole(asked, self._said(asked).encode(), kind=f"text/{self._canaries.mark('type')}")

    def _cut_answer(self, asked: Asked) -> tuple[bytes, bool]:
        return asked.start() + asked.part(self._said(asked).encode()), False

    def _cut_stream(self, asked: Asked) -> tuple[bytes, bool]:
        return self._stream(asked, self._event(asked), end=b"")

    def _no_end_mark(self, asked: Asked) -> tuple[bytes, bool]:
        return self._stream(asked, self._event(asked))

    def _garbage_stream(self, asked: Asked) -> tuple[bytes, bool]:
        return self._stream(asked, self._event(asked), b'data: {"choices": ' + self._said(asked).encode() + b"\n\n")

    def _wrong_bytes(self, asked: Asked) -> tuple[bytes, bool]:
        return self._stream(asked, self._event(asked), b'data: {"text": "\xff\xfe' + self._canaries.mark("wrong").encode() + b'"}\n\n')

    def _huge_event(self, asked: Asked) -> tuple[bytes, bool]:
        return self._stream(asked, b"data: " + self._canaries.mark("huge").encode() * 80_000, end=b"")

    def _error_event(self, asked: Asked) -> tuple[bytes, bool]:
        return self._stream(asked, self._event(asked), b"event: error\ndata: " + self._failure(asked) + b"\n\n")

    def _stream_for_whole(self, asked: Asked) -> tuple[bytes, bool]:
        return self._odd_stream(asked)

    def _whole_for_stream(self, asked: Asked) -> tuple[bytes, bool]:
        return self._odd_answer(asked)

    def _sealed_badly(self, asked: Asked) -> tuple[bytes, bool]:
        assert asked.sealer is not None
        frame = bytearray(asked.sealer.seal(self._said(asked).encode()))
        frame[-1] ^= 1
        return asked.start() + b"%x\r\n%s\r\n" % (len(frame), bytes(frame)) + END, False

    def _cut_frame(self, asked: Asked) -> tuple[bytes, bool]:
        assert asked.sealer is not None
        frame = asked.sealer.seal(self._said(asked).encode())[:-9]
        return asked.start() + b"%x\r\n%s\r\n" % (len(frame), frame) + END, False

    def _in_the_clear(self, asked: Asked, status: str, kind: str, body: bytes, extra: str = "") -> tuple[bytes, bool]:
        head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{self._extra}{extra}content-length: {len(body)}\r\n\r\n"
        return head.encode() + body, False

    def _unsealed(self, asked: Asked) -> tuple[bytes, bool]:
        return self._in_the_clear(asked, "200 OK", "application/json", json.dumps(self._completion(asked)).encode())

    def _bad_nonce(self, asked: Asked) -> tuple[bytes, bool]:
        extra = f"ehbp-response-nonce: {self._canaries.mark('nonce')}\r\n"
        return self._in_the_clear(asked, "200 OK", "application/json", self._said(asked).encode(), extra)

    def _key_refused(self, asked: Asked) -> tuple[bytes, bool]:
        return self._in_the_clear(asked, "422 Unprocessable", "application/problem+json", self._failure(asked))

    def _no_http(self, asked: Asked) -> tuple[bytes, bool]:
        return b"HTTP/9.9 " + self._said(asked).encode() + b"\r\n\r\n", False

    def _bad_chunk(self, asked: Asked) -> tuple[bytes, bool]:
        return asked.start() + self._canaries.mark("chunk-size").encode() + b"\r\n", False

    def _huge_headers(self, asked: Asked) -> tuple[bytes, bool]:
        return b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (n, self._canaries.mark("header").encode()) for n in range(2000)), False

    def _redirect(self, asked: Asked) -> tuple[bytes, bool]:
        where = f"location: https://127.0.0.1:9/{self._canaries.mark('location')}\r\n"
        return self._in_the_clear(asked, "302 Found", "text/plain", self._said(asked).encode(), where)
