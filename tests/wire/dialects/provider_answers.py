"""One answer, as a provider says it in each API: reasoning, text, two tool calls, and what it used."""

import json
from typing import Any

REASONING = "Let me see 🧠"
TEXT = 'It is "fïne"\n'
ARGUMENTS = ('{"n": 12345678901234567890.10, "s": "\\u00e9\\\\"}', '{"city":"Zürich {]"}')
CALLS = (("call_a", "add", ARGUMENTS[0]), ("call_b", "look", ARGUMENTS[1]))
USED = {"input": 50, "cached": 40, "written": 10, "output": 30, "reasoning": 12}  # input: neither read from the cache nor written to it

_CHAT_USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 30,
    "total_tokens": 130,
    "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
    "completion_tokens_details": {"reasoning_tokens": 12},
}
_MESSAGES_USAGE = {"input_tokens": 50, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 10, "output_tokens": 30}
_RESPONSES_USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
    "output_tokens": 30,
    "output_tokens_details": {"reasoning_tokens": 12},
    "total_tokens": 130,
}


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


def data(*events: object) -> bytes:
    """Events without a name, as chat completions have them."""
    return b"".join(b"data: " + (event if isinstance(event, bytes) else encode(event)) + b"\n\n" for event in events)


def named(*events: dict[str, Any]) -> bytes:
    """Events that are named by their type."""
    return b"".join(b"event: " + event["type"].encode() + b"\ndata: " + encode(event) + b"\n\n" for event in events)


def halves(text: str) -> tuple[str, str]:
    return text[: len(text) // 2], text[len(text) // 2 :]


# Chat completions


def chat_call(index: int, arguments: str, **first: str) -> dict[str, Any]:
    head = {"id": first["id"], "type": "function"} if first else {}
    return {"index": index, **head, "function": {"arguments": arguments} | ({"name": first["name"]} if first else {})}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **members: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {"id": "prov-1", "object": "chat.completion.chunk", "created": 1700, "model": "up/m", "choices": choices, **members}


def chat_whole() -> bytes:
    calls = [{"id": id, "type": "function", "function": {"name": name, "arguments": arguments}} for id, name, arguments in CALLS]
    message = {"role": "assistant", "content": TEXT, "reasoning": REASONING, "tool_calls": calls}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    return encode({"id": "prov-1", "object": "chat.completion", "created": 1700, "model": "up/m", "choices": [choice], "usage": _CHAT_USAGE})


def chat_stream() -> bytes:
    first, second = (chat_call(i, "", id=id, name=name) for i, (id, name, _) in enumerate(CALLS))
    return data(
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"reasoning_content": half}) for half in halves(REASONING)),
        *(chunk({"content": half}) for half in halves(TEXT)),
        chunk({"tool_calls": [first]}),
        chunk({"tool_calls": [chat_call(0, halves(ARGUMENTS[0])[0]), second]}),  # from here on interleaved
        chunk({"tool_calls": [chat_call(1, halves(ARGUMENTS[1])[0])]}),
        chunk({"tool_calls": [chat_call(0, halves(ARGUMENTS[0])[1])]}),
        chunk({"tool_calls": [chat_call(1, halves(ARGUMENTS[1])[1])]}),
        chunk({}, "tool_calls"),
        chunk(usage=_CHAT_USAGE),
        b"[DONE]",
    )


# Messages


def messages_whole() -> bytes:
    calls = ",".join(f'{{"type":"tool_use","id":"{id}","name":"{name}","input":{arguments}}}' for id, name, arguments in CALLS)
    head: dict[str, Any] = {
        "id": "msg_prov",
        "type": "message",
        "role": "assistant",
        "model": "up/m",
        "stop_reason": "tool_use",
        "stop_sequence": None,
    }
    usage = {**_MESSAGES_USAGE, "output_tokens_details": {"thinking_tokens": 12}}
    said = f'{{"type":"thinking","thinking":{json.dumps(REASONING)},"signature":"c2ln"}},{{"type":"text","text":{json.dumps(TEXT)},"citations":null}}'
    return f'{json.dumps(head | {"usage": usage})[:-1]},"content":[{said},{calls}]}}'.encode()


def block(index: int, content: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": content},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def message_start(**members: Any) -> dict[str, Any]:
    head: dict[str, Any] = {"id": "msg_prov", "type": "message", "role": "assistant", "model": "up/m", "content": [], "stop_reason": None}
    usage = {"input_tokens": 50, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 10, "output_tokens": 1}
    return {"type": "message_start", "message": {**head, "usage": usage, **members}}


def message_delta(reason: str, sequence: str | None = None) -> dict[str, Any]:
    usage = {"output_tokens": 30, "output_tokens_details": {"thinking_tokens": 12}, "input_tokens": None}
    return {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": sequence}, "usage": usage}


def messages_stream() -> bytes:
    thinking = [{"type": "thinking_delta", "thinking": half} for half in halves(REASONING)]
    texts = [{"type": "text_delta", "text": half} for half in halves(TEXT)]
    calls: list[dict[str, Any]] = []
    for index, (id, name, arguments) in enumerate(CALLS):
        pieces = [{"type": "input_json_delta", "partial_json": half} for half in ("", *halves(arguments))]
        calls += block(3 + index, {"type": "tool_use", "id": id, "name": name, "input": {}}, *pieces)
    return named(
        message_start(),
        {"type": "ping"},
        *block(0, {"type": "thinking", "thinking": "", "signature": ""}, *thinking, {"type": "signature_delta", "signature": "c2ln"}),
        *block(1, {"type": "redacted_thinking", "data": "x"}),
        *block(2, {"type": "text", "text": ""}, *texts),
        *calls,
        message_delta("tool_use"),
        {"type": "message_stop"},
    )


# Responses


def items() -> list[dict[str, Any]]:
    calls = [
        {"id": f"fc_{id}", "type": "function_call", "call_id": id, "name": name, "arguments": arguments, "status": "completed"}
        for id, name, arguments in CALLS
    ]
    text = {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []}
    return [
        {"id": "rs_1", "type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": REASONING}]},
        {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [text]},
        *calls,
    ]


def response(**members: Any) -> dict[str, Any]:
    head = {"id": "resp_prov", "object": "response", "created_at": 1700, "model": "up/m", "error": None, "incomplete_details": None}
    return {**head, "status": "completed", "output": items(), "usage": _RESPONSES_USAGE, **members}


def responses_whole() -> bytes:
    return encode(response())


def item_events(index: int, item: dict[str, Any]) -> list[dict[str, Any]]:
    empty: dict[str, Any] = {"arguments": ""} if item["type"] == "function_call" else {"content": []}
    where = {"output_index": index, "item_id": item["id"]}
    about, text = {
        "reasoning": ("reasoning_text", REASONING),
        "message": ("output_text", TEXT),
        "function_call": ("function_call_arguments", item.get("arguments", "")),
    }[item["type"]]
    done = {"arguments": text} if item["type"] == "function_call" else {"text": text, "content_index": 0}
    return [
        {"type": "response.output_item.added", "output_index": index, "item": {**item, **empty}},
        *({"type": f"response.{about}.delta", **where, "content_index": 0, "delta": half} for half in halves(text)),
        {"type": f"response.{about}.done", **where, **done},
        {"type": "response.output_item.done", "output_index": index, "item": item},
    ]


def responses_stream() -> bytes:
    begun = response(status="in_progress", output=[], usage=None)
    return named(
        {"type": "response.created", "response": begun},
        {"type": "response.in_progress", "response": begun},
        *(event for index, item in enumerate(items()) for event in item_events(index, item)),
        {"type": "response.completed", "response": response()},
    )


WHOLE = {"chat.completions": chat_whole, "messages": messages_whole, "responses": responses_whole}
STREAMS = {"chat.completions": chat_stream, "messages": messages_stream, "responses": responses_stream}
