"""Answers of a chat API as OpenAI defines it, for servers that play providers."""

import json
from collections.abc import Iterator

ANSWER = "The answer to everything is forty-two, as far as anyone knows."
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


def whole(model: str, text: str = ANSWER) -> bytes:
    """A whole chat completion."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps(
        {"id": "chatcmpl-theirs", "object": "chat.completion", "created": 1, "model": model, "choices": [choice], "usage": USAGE}
    ).encode()


def events(model: str, text: str = ANSWER) -> Iterator[bytes]:
    """The events of the same completion, streamed word by word: content, its end, usage, [DONE]."""
    head = {"id": "chatcmpl-theirs", "object": "chat.completion.chunk", "created": 1, "model": model}
    words = text.split(" ")
    pieces = [word if at == len(words) - 1 else word + " " for at, word in enumerate(words)]
    choices: list[list[dict[str, object]]] = [[{"index": 0, "delta": {"content": piece}, "finish_reason": None}] for piece in pieces]
    choices.append([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    for choice in choices:
        yield b"data: " + json.dumps({**head, "choices": choice}).encode() + b"\n\n"
    yield b"data: " + json.dumps({**head, "choices": [], "usage": USAGE}).encode() + b"\n\n"
    yield b"data: [DONE]\n\n"
