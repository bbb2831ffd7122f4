"""The real SDKs, reading bytes that we made: what they understood of an answer, in the same words for each API."""

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import anthropic
import httpx2
import openai
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response


class _Pieces(httpx2.SyncByteStream):
    def __init__(self, body: bytes, size: int) -> None:
        self._body, self._size = body, size

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self._body), self._size):
            yield self._body[start : start + self._size]


def _http(body: bytes, size: int) -> httpx2.Client:
    kind = "application/json" if body.startswith(b"{") else "text/event-stream"
    return httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200, headers={"content-type": kind}, stream=_Pieces(body, size))))


def openai_client(body: bytes, size: int = 4096) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", base_url="http://test/v1", http_client=_http(body, size), max_retries=0)


def anthropic_client(body: bytes, size: int = 4096) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key="k", base_url="http://test", http_client=_http(body, size), max_retries=0)


def _of_chat(completion: ChatCompletion) -> dict[str, Any]:
    (choice,) = completion.choices
    usage = completion.usage
    calls = [cast(Any, call) for call in choice.message.tool_calls or ()]
    return {
        "id": completion.id,
        "model": completion.model,
        "reasoning": getattr(choice.message, "reasoning_content", "") or "",
        "text": choice.message.content or "",
        "calls": [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls],
        "end": choice.finish_reason,
        "used": usage and (usage.prompt_tokens, usage.completion_tokens),
    }


def _of_message(message: Message) -> dict[str, Any]:
    read, written = message.usage.cache_read_input_tokens, message.usage.cache_creation_input_tokens
    return {
        "id": message.id,
        "model": message.model,
        "reasoning": "".join(block.thinking for block in message.content if block.type == "thinking"),
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "calls": [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"],
        "end": message.stop_reason,
        "used": (message.usage.input_tokens + (read or 0) + (written or 0), message.usage.output_tokens),
    }


def _of_response(response: Response) -> dict[str, Any]:
    usage = response.usage
    return {
        "id": response.id,
        "model": response.model,
        "reasoning": "".join(part.text for item in response.output if item.type == "reasoning" for part in item.content or ()),
        "text": response.output_text,
        "calls": [(item.call_id, item.name, json.loads(item.arguments)) for item in response.output if item.type == "function_call"],
        "end": response.status,
        "used": usage and (usage.input_tokens, usage.output_tokens),
    }


def chat_whole(body: bytes) -> dict[str, Any]:
    return _of_chat(openai_client(body).chat.completions.create(model="m", messages=[]))


def chat_stream(body: bytes, size: int) -> dict[str, Any]:
    with openai_client(body, size).chat.completions.stream(model="m", messages=[]) as stream:
        return _of_chat(stream.get_final_completion())


def messages_whole(body: bytes) -> dict[str, Any]:
    return _of_message(anthropic_client(body).messages.create(model="m", max_tokens=1, messages=[]))


def messages_stream(body: bytes, size: int) -> dict[str, Any]:
    with anthropic_client(body, size).messages.stream(model="m", max_tokens=1, messages=[]) as stream:
        return _of_message(cast(Message, stream.get_final_message()))


def responses_whole(body: bytes) -> dict[str, Any]:
    return _of_response(openai_client(body).responses.create(model="m", input=""))


def responses_stream(body: bytes, size: int) -> dict[str, Any]:
    with openai_client(body, size).responses.stream(model="m", input="") as stream:
        return _of_response(cast(Response, stream.get_final_response()))


WHOLE: dict[str, Callable[[bytes], dict[str, Any]]] = {"chat.completions": chat_whole, "messages": messages_whole, "responses": responses_whole}
STREAM: dict[str, Callable[[bytes, int], dict[str, Any]]] = {
    "chat.completions": chat_stream,
    "messages": messages_stream,
    "responses": responses_stream,
}
