"""The real SDKs, reading bytes that we made: what they understood of an answer, in the same words for each API."""

import json
from collections.abc import Callable, Iterator
from typing import Any, cast

import anthropic
import httpx2
import openai
import pydantic
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


class Weather(pydantic.BaseModel):
    """What a structured answer is to be."""

    city: str
    degrees: float


_PNG = "iVBORw0KGgo="
_TOOL = {"name": "look", "description": "Looks.", "schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}


def _chat_request(client: openai.OpenAI) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{_PNG}"}}
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"city":"Zürich"}'}}
    messages: list[Any] = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Where?"}, image]},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "Rain."},
    ]
    function = {"name": _TOOL["name"], "description": _TOOL["description"], "parameters": _TOOL["schema"], "strict": True}
    client.chat.completions.parse(
        model="demo",
        messages=messages,
        tools=[cast(Any, {"type": "function", "function": function})],
        tool_choice="auto",
        parallel_tool_calls=False,
        response_format=Weather,
        max_completion_tokens=500,
        temperature=0.2,
    )


def _messages_request(client: anthropic.Anthropic) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": _PNG}}
    messages: list[Any] = [
        {"role": "user", "content": [{"type": "text", "text": "Where?", "cache_control": {"type": "ephemeral"}}, image]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"city": "Zürich"}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "Rain."}]}]},
    ]
    client.messages.parse(
        model="demo",
        max_tokens=500,
        system="Be brief.",
        messages=messages,
        tools=[cast(Any, {"name": _TOOL["name"], "description": _TOOL["description"], "input_schema": _TOOL["schema"]})],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        output_format=Weather,
        metadata={"user_id": "somebody"},
    )


def _responses_request(client: openai.OpenAI) -> None:
    image = {"type": "input_image", "image_url": f"data:image/png;base64,{_PNG}", "detail": "auto"}
    messages: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Where?"}, image]},
        {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": '{"city":"Zürich"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "Rain."},
    ]
    client.responses.parse(
        model="demo",
        instructions="Be brief.",
        input=messages,
        tools=[{"type": "function", "name": "look", "description": "Looks.", "parameters": cast(Any, _TOOL["schema"]), "strict": True}],
        tool_choice="auto",
        parallel_tool_calls=False,
        text_format=Weather,
        max_output_tokens=500,
        store=False,
        include=["reasoning.encrypted_content"],
    )


def request_of(asked: str, answer: bytes) -> bytes:
    """The body that the SDK sends for a request with an image, a tool and its result, and a structured answer; `answer` is what it gets."""
    sent: list[bytes] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        sent.append(request.read())
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=answer)

    http = httpx2.Client(transport=httpx2.MockTransport(handle))
    if asked == "messages":
        _messages_request(anthropic.Anthropic(api_key="k", base_url="http://test", http_client=http))
    elif asked == "responses":
        _responses_request(openai.OpenAI(api_key="k", base_url="http://test/v1", http_client=http))
    else:
        _chat_request(openai.OpenAI(api_key="k", base_url="http://test/v1", http_client=http))
    (body,) = sent
    return body
