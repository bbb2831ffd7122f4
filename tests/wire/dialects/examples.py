"""For every member in the tables a request that has it, with a mark by which it is known again: the tables are tested line by line."""

from typing import Any

MARK = "canary"
NUMBER = 0.625
PDF, PNG = f"data:application/pdf;base64,{MARK}", f"data:image/png;base64,{MARK}"
URL = f"https://{MARK}.example/x"
CACHE = {"mode": "explicit", "ttl": MARK}
EPHEMERAL = {"type": "ephemeral", "ttl": MARK}
OBJECT = {"type": "object", "properties": {}}
SCHEMA = {"type": "object", "properties": {MARK: {"type": "string"}}}
_Example = dict[str, Any]


def chat_user(part: _Example) -> _Example:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, part]}]}


def chat_assistant(**members: Any) -> _Example:
    return {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", **members}, {"role": "user", "content": "and?"}]}


def chat_call(**members: Any) -> _Example:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}} | members
    return {
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call["id"], "content": "ok"},
        ]
    }


def chat_tool(**members: Any) -> _Example:
    return {"tools": [{"type": "function", "function": {"name": "f", "parameters": OBJECT, **members}}]}


def chat_schema(**members: Any) -> _Example:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, **members}}}


CHAT_BASE: _Example = {"model": "demo", "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 77}
CHAT: dict[str, _Example] = {
    "model": {"model": "demo"},
    "stream": {"stream": True},
    "messages": {"messages": [{"role": "developer", "content": MARK}, {"role": "user", "content": "Hi"}]},
    "messages.content[text].text": chat_user({"type": "text", "text": MARK}),
    "messages.content[image_url].image_url.url": chat_user({"type": "image_url", "image_url": {"url": PNG, "detail": "auto"}}),
    "messages.content[image_url].image_url.detail": chat_user({"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}),
    "messages.content[file].file.file_data": chat_user({"type": "file", "file": {"file_data": PDF}}),
    "messages.content[file].file.filename": chat_user({"type": "file", "file": {"file_data": PDF, "filename": "canary.pdf"}}),
    "messages.content[refusal].refusal": chat_assistant(content=[{"type": "refusal", "refusal": MARK}]),
    "messages.refusal": chat_assistant(content=None, refusal=MARK),
    "messages.tool_calls[function]": chat_call(function={"name": "f", "arguments": '{ "canary":1.50}'}),
    "messages.tool_call_id": chat_call(id=MARK),
    "messages.content[file].file.file_id": chat_user({"type": "file", "file": {"file_id": MARK}}),
    "messages.content[input_audio]": chat_user({"type": "input_audio", "input_audio": {"data": MARK, "format": "wav"}}),
    "messages.content[text].prompt_cache_breakpoint": chat_user({"type": "text", "text": "x", "prompt_cache_breakpoint": CACHE}),
    "messages.content[image_url].prompt_cache_breakpoint": chat_user(
        {"type": "image_url", "image_url": {"url": "https://x.example"}, "prompt_cache_breakpoint": CACHE}
    ),
    "messages.content[file].prompt_cache_breakpoint": chat_user(
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,aaaa"}, "prompt_cache_breakpoint": CACHE}
    ),
    "messages.name": {"messages": [{"role": "user", "content": "Hi", "name": MARK}]},
    "messages.audio": chat_assistant(content=None, audio={"id": MARK}),
    "messages.annotations": chat_assistant(content="x", annotations=[{"type": MARK}]),
    "messages.function_call": chat_assistant(content=None, function_call={"name": MARK, "arguments": ""}),
    "messages.reasoning": chat_assistant(content="x", reasoning=MARK),
    "messages.reasoning_content": chat_assistant(content="x", reasoning_content=MARK),
    "messages.tool_calls[custom]": chat_call(type="custom", custom={"name": "f", "input": MARK}),
    "messages.tool_calls[function].index": chat_call(index=987654),
    "tools[function].function": chat_tool(description=MARK),
    "tools[function].function.strict": chat_tool(strict=True),
    "tools[custom]": {"tools": [{"type": "custom", "custom": {"name": MARK}}]},
    "tool_choice": {**chat_tool(), "tool_choice": {"type": "function", "function": {"name": MARK}}},
    "tool_choice[allowed_tools]": {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"name": MARK}]}}},
    "tool_choice[custom]": {"tool_choice": {"type": "custom", "custom": {"name": MARK}}},
    "parallel_tool_calls": {**chat_tool(), "parallel_tool_calls": False},
    "max_completion_tokens": {"max_completion_tokens": 77},
    "max_tokens": {"max_completion_tokens": None, "max_tokens": 77},
    "temperature": {"temperature": NUMBER},
    "top_p": {"top_p": NUMBER},
    "stop": {"stop": [MARK, "b"]},
    "reasoning_effort": {"reasoning_effort": "xhigh"},
    "response_format[json_schema]": chat_schema(strict=True),
    "response_format[json_schema].json_schema.description": chat_schema(description=MARK),
    "response_format[json_object]": {"response_format": {"type": "json_object"}},
    "response_format[text]": {"response_format": {"type": "text"}},
    "verbosity": {"verbosity": "low"},
    "service_tier": {"service_tier": "auto"},
    "prompt_cache_key": {"prompt_cache_key": MARK},
    "prompt_cache_retention": {"prompt_cache_retention": "24h"},
    "prompt_cache_options": {"prompt_cache_options": {"mode": "explicit"}},
    "safety_identifier": {"safety_identifier": MARK},
    "user": {"user": MARK},
    "stream_options.include_usage": {"stream": True, "stream_options": {"include_usage": True}},
    "stream_options.include_obfuscation": {"stream_options": {"include_obfuscation": True}},
    "metadata": {"metadata": {"k": MARK}},
    "store": {"store": True},
    "prediction": {"prediction": {"type": "content", "content": MARK}},
    "n": {"n": 2},
    "frequency_penalty": {"frequency_penalty": 0.1},
    "presence_penalty": {"presence_penalty": -0.1},
    "logit_bias": {"logit_bias": {"50256": -100}},
    "logprobs": {"logprobs": True},
    "top_logprobs": {"top_logprobs": 2},
    "seed": {"seed": 7},
    "modalities": {"modalities": ["text", "audio"]},
    "audio": {"audio": {"voice": "x", "format": "wav"}},
    "moderation": {"moderation": {"model": "x"}},
    "web_search_options": {"web_search_options": {}},
    "functions": {"functions": [{"name": MARK}]},
    "function_call": {"function_call": "auto"},
}


def user_block(block: _Example) -> _Example:
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}, block]}]}


def image(source: _Example, **members: Any) -> _Example:
    return {"type": "image", "source": source, **members}


def document(source: _Example | None = None, **members: Any) -> _Example:
    return {"type": "document", "source": source or {"type": "base64", "media_type": "application/pdf", "data": "aaaa"}, **members}


def assistant_block(block: _Example) -> _Example:
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [block]}, {"role": "user", "content": "and?"}]
    return {"messages": turns}


def tool_use(**members: Any) -> _Example:
    return assistant_block({"type": "tool_use", "id": "c1", "name": "f", "input": {}, **members})


def tool_result(content: Any = "ok", **members: Any) -> _Example:
    use = {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]}
    result = {"type": "tool_result", "tool_use_id": "c1", "content": content, **members}
    return {"messages": [{"role": "user", "content": "Hi"}, use, {"role": "user", "content": [result]}]}


def tool(**members: Any) -> _Example:
    return {"tools": [{"name": "f", "input_schema": OBJECT, **members}]}


_BASE64 = {"type": "base64", "media_type": "image/png", "data": MARK}
_OTHER = {"type": "url", "url": "https://x.example"}
_TEXT = {"type": "text", "text": "x"}
_SEARCH = {"type": "search_result", "source": MARK, "title": "t", "content": []}
_CITED = [{"type": "char_location", "cited_text": MARK}]

MESSAGES_BASE: _Example = {"model": "demo", "max_tokens": 77, "messages": [{"role": "user", "content": "Hi"}]}
MESSAGES: dict[str, _Example] = {
    "model": {"model": "demo"},
    "stream": {"stream": True},
    "system": {"system": [{"type": "text", "text": MARK}]},
    "system[text].citations": {"system": [{**_TEXT, "citations": _CITED}]},
    "system[text].cache_control": {"system": [{**_TEXT, "cache_control": EPHEMERAL}]},
    "messages": {"messages": [{"role": "user", "content": MARK}, {"role": "system", "content": "now"}]},
    "messages.content[text].text": user_block({"type": "text", "text": MARK}),
    "messages.content[text].citations": assistant_block({**_TEXT, "citations": _CITED}),
    "messages.content[text].cache_control": user_block({**_TEXT, "cache_control": EPHEMERAL}),
    "messages.content[image].source[base64]": user_block(image(_BASE64)),
    "messages.content[image].source[url]": user_block(image({"type": "url", "url": URL})),
    "messages.content[image].source[file]": user_block(image({"type": "file", "file_id": MARK})),
    "messages.content[image].transformations": user_block(image(_OTHER, transformations={"oversized_image": "error"})),
    "messages.content[image].cache_control": user_block(image(_OTHER, cache_control=EPHEMERAL)),
    "messages.content[document].source[base64]": user_block(document({"type": "base64", "media_type": "application/pdf", "data": MARK})),
    "messages.content[document].source[url]": user_block(document({"type": "url", "url": URL})),
    "messages.content[document].source[text]": user_block(document({"type": "text", "media_type": "text/plain", "data": MARK})),
    "messages.content[document].source[content]": user_block(document({"type": "content", "content": MARK})),
    "messages.content[document].source[file]": user_block(document({"type": "file", "file_id": MARK})),
    "messages.content[document].title": user_block(document(title=MARK)),
    "messages.content[document].context": user_block(document(context=MARK)),
    "messages.content[document].citations": user_block(document(citations={"enabled": True})),
    "messages.content[document].cache_control": user_block(document(cache_control=EPHEMERAL)),
    "messages.content[search_result]": user_block(_SEARCH),
    "messages.content[thinking]": assistant_block({"type": "thinking", "thinking": MARK, "signature": MARK}),
    "messages.content[redacted_thinking]": assistant_block({"type": "redacted_thinking", "data": MARK}),
    "messages.content[tool_use]": tool_use(input={MARK: 1}),
    "messages.content[tool_use].caller": tool_use(caller={"type": "code_execution_20260120", "tool_id": MARK}),
    "messages.content[tool_use].toolset_name": tool_use(toolset_name=MARK),
    "messages.content[tool_use].cache_control": tool_use(cache_control=EPHEMERAL),
    "messages.content[tool_result]": tool_result(MARK),
    "messages.content[tool_result].content[image]": tool_result([_TEXT, image(_BASE64)]),
    "messages.content[tool_result].content[document]": tool_result([document()]),
    "messages.content[tool_result].content[search_result]": tool_result([_SEARCH]),
    "messages.content[tool_result].content[tool_reference]": tool_result([{"type": "tool_reference", "tool_name": MARK}]),
    "messages.content[tool_result].content[text].cache_control": tool_result([{**_TEXT, "cache_control": EPHEMERAL}]),
    "messages.content[tool_result].content[text].citations": tool_result([{**_TEXT, "citations": _CITED}]),
    "messages.content[tool_result].content[image].cache_control": tool_result([image(_OTHER, cache_control=EPHEMERAL)]),
    "messages.content[tool_result].content[image].transformations": tool_result([image(_OTHER, transformations={"oversized_image": "error"})]),
    "messages.content[tool_result].content[image].source[file]": tool_result([image({"type": "file", "file_id": MARK})]),
    "messages.content[tool_result].is_error": tool_result("it broke", is_error=True),
    "messages.content[tool_result].toolset_name": tool_result(toolset_name=MARK),
    "messages.content[tool_result].cache_control": tool_result(cache_control=EPHEMERAL),
    "messages.content[server_tool_use]": assistant_block({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}),
    "messages.content[web_search_tool_result]": assistant_block({"type": "web_search_tool_result", "tool_use_id": "s", "content": []}),
    "messages.content[container_upload]": user_block({"type": "container_upload", "file_id": MARK}),
    "max_tokens": {"max_tokens": 77},
    "temperature": {"temperature": NUMBER},
    "top_p": {"top_p": NUMBER},
    "top_k": {"top_k": 5},
    "stop_sequences": {"stop_sequences": [MARK]},
    "tools": tool(description=MARK),
    "tools.strict": tool(strict=True),
    "tools.type": {"tools": [{"name": "web_search", "type": "web_search_20260318", "max_uses": 5}]},
    "tools.cache_control": tool(cache_control={"type": "ephemeral", "ttl": "5m"}),
    "tools.eager_input_streaming": tool(eager_input_streaming=True),
    "tools.allowed_callers": tool(allowed_callers=["code_execution_20260120"]),
    "tools.defer_loading": tool(defer_loading=True),
    "tools.input_examples": tool(input_examples=[{MARK: "x"}]),
    "tool_choice": {**tool(), "tool_choice": {"type": "tool", "name": MARK}},
    "tool_choice.disable_parallel_tool_use": {**tool(), "tool_choice": {"type": "any", "disable_parallel_tool_use": True}},
    "output_config.effort": {"output_config": {"effort": "xhigh"}},
    "output_config.format": {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
    "thinking[adaptive]": {"thinking": {"type": "adaptive"}},
    "thinking[disabled]": {"thinking": {"type": "disabled"}},
    "thinking[enabled]": {"thinking": {"type": "enabled", "budget_tokens": 2048}},
    "thinking[between_tools]": {"thinking": {"type": "between_tools"}},
    "thinking[adaptive].display": {"thinking": {"type": "adaptive", "display": "omitted"}},
    "service_tier": {"service_tier": "standard_only"},
    "metadata": {"metadata": {"user_id": MARK}},
    "cache_control": {"cache_control": EPHEMERAL},
    "speed": {"speed": "fast"},
    "container": {"container": MARK},
    "context_management": {"context_management": {"edits": []}},
    "diagnostics": {"diagnostics": {"x": MARK}},
    "inference_geo": {"inference_geo": MARK},
    "mcp_servers": {"mcp_servers": [{"url": MARK}]},
    "user_profile_id": {"user_profile_id": MARK},
    "workspace_id": {"workspace_id": MARK},
}


def item(role: str, *parts: _Example, **members: Any) -> _Example:
    return {"input": [{"type": "message", "role": role, "content": list(parts), **members}]}


def user_part(part: _Example) -> _Example:
    return item("user", {"type": "input_text", "text": "Hi"}, part)


def output_text(**members: Any) -> _Example:
    said = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": [], **members}]}
    return {"input": [said, {"role": "user", "content": "and?"}]}


def function_call(**members: Any) -> _Example:
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", **members}
    return {"input": [{"role": "user", "content": "Hi"}, call, {"type": "function_call_output", "call_id": "c1", "output": "ok"}]}


def output(content: Any = "ok", **members: Any) -> _Example:
    call = {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}
    return {"input": [call, {"type": "function_call_output", "call_id": "c1", "output": content, **members}]}


def function(**members: Any) -> _Example:
    return {"tools": [{"type": "function", "name": "f", "parameters": OBJECT, "strict": None, **members}]}


def other(item: _Example) -> _Example:
    return {"input": [{"role": "user", "content": "Hi"}, item]}


def hosted(kind: str) -> _Example:
    return {"tools": [{"type": kind, "name": MARK}]}


def text_format(**members: Any) -> _Example:
    return {"text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, **members}}}


_IMAGE = {"type": "input_image", "image_url": "https://x.example"}
_FILE = {"type": "input_file", "file_data": "data:application/pdf;base64,aaaa"}
_INPUT = {"type": "input_text", "text": "x"}
RESPONSES_BASE: _Example = {"model": "demo", "input": "Hi", "max_output_tokens": 77}
RESPONSES: dict[str, _Example] = {
    "model": {"model": "demo"},
    "stream": {"stream": True},
    "instructions": {"instructions": MARK},
    "input": {"input": MARK},
    "input[message].content[input_text].text": user_part({"type": "input_text", "text": MARK}),
    "input[message].content[output_text].text": output_text(text=MARK),
    "input[message].content[output_text].annotations": output_text(annotations=[{"type": "url_citation", "url": URL}]),
    "input[message].content[output_text].logprobs": output_text(logprobs=[{"token": MARK}]),
    "input[message].content[refusal].refusal": {
        "input": [*item("assistant", {"type": "refusal", "refusal": MARK})["input"], *item("user", _INPUT)["input"]]
    },
    "input[message].content[input_image].image_url": user_part({"type": "input_image", "image_url": PNG, "detail": "auto"}),
    "input[message].content[input_image].detail": user_part({**_IMAGE, "detail": "high"}),
    "input[message].content[input_image].file_id": user_part({"type": "input_image", "file_id": MARK}),
    "input[message].content[input_file].file_data": user_part({"type": "input_file", "file_data": PDF}),
    "input[message].content[input_file].file_url": user_part({"type": "input_file", "file_url": URL}),
    "input[message].content[input_file].filename": user_part({**_FILE, "filename": MARK}),
    "input[message].content[input_file].file_id": user_part({"type": "input_file", "file_id": MARK}),
    "input[message].content[input_file].detail": user_part({**_FILE, "detail": "high"}),
    "input[message].content[input_audio]": user_part({"type": "input_audio", "input_audio": {"data": MARK, "format": "wav"}}),
    "input[message].content[input_text].prompt_cache_breakpoint": user_part({**_INPUT, "prompt_cache_breakpoint": CACHE}),
    "input[message].content[input_image].prompt_cache_breakpoint": user_part({**_IMAGE, "prompt_cache_breakpoint": CACHE}),
    "input[message].content[input_file].prompt_cache_breakpoint": user_part({**_FILE, "prompt_cache_breakpoint": CACHE}),
    "input[message].id": item("user", _INPUT, id=MARK),
    "input[message].status": item("user", _INPUT, status=MARK),
    "input[message].phase": item("user", _INPUT, phase=MARK),
    "input[function_call]": function_call(arguments='{ "canary":1.50}'),
    "input[function_call].id": function_call(id=MARK),
    "input[function_call].status": function_call(status=MARK),
    "input[function_call].caller": function_call(caller={"type": "program", "caller_id": MARK}),
    "input[function_call].namespace": function_call(namespace=MARK),
    "input[function_call].async": function_call(**{"async": True}),
    "input[function_call_output].output": output(MARK),
    "input[function_call_output].output[input_image]": output([_INPUT, {"type": "input_image", "image_url": PNG}]),
    "input[function_call_output].output[input_file]": output([_FILE]),
    "input[function_call_output].output[input_text].prompt_cache_breakpoint": output([{**_INPUT, "prompt_cache_breakpoint": CACHE}]),
    "input[function_call_output].output[input_image].prompt_cache_breakpoint": output([{**_IMAGE, "prompt_cache_breakpoint": CACHE}]),
    "input[function_call_output].output[input_image].file_id": output([{"type": "input_image", "file_id": MARK}]),
    "input[function_call_output].id": output(id=MARK),
    "input[function_call_output].status": output(status=MARK),
    "input[function_call_output].name": output(name=MARK),
    "input[function_call_output].caller": output(caller={"type": "program", "caller_id": MARK}),
    "input[function_call_output].namespace": output(namespace=MARK),
    "input[reasoning]": other({"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": MARK}], "encrypted_content": MARK}),
    "input[item_reference]": other({"type": "item_reference", "id": MARK}),
    "input[compaction]": other({"type": "compaction", "encrypted_content": MARK}),
    "input[custom_tool_call]": other({"type": "custom_tool_call", "call_id": "c", "name": "f", "input": MARK}),
    "input[custom_tool_call_output]": other({"type": "custom_tool_call_output", "call_id": "c", "output": MARK}),
    "tools[function]": function(description=MARK),
    "tools[function].strict": function(strict=True),
    "tools[function].allowed_callers": function(allowed_callers=["programmatic"]),
    "tools[function].defer_loading": function(defer_loading=True),
    "tools[function].async": function(**{"async": True}),
    "tools[function].output_schema": function(output_schema={}),
    **{f"tools[{kind}]": hosted(kind) for kind in ("custom", "web_search", "file_search", "code_interpreter", "image_generation", "mcp")},
    "tool_choice": {**function(), "tool_choice": {"type": "function", "name": MARK}},
    "tool_choice[allowed_tools]": {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"name": MARK}]}},
    "parallel_tool_calls": {**function(), "parallel_tool_calls": False},
    "max_tool_calls": {"max_tool_calls": 987654},
    "max_output_tokens": {"max_output_tokens": 77},
    "temperature": {"temperature": NUMBER},
    "top_p": {"top_p": NUMBER},
    "text.format[json_schema]": text_format(strict=True),
    "text.format[json_schema].description": text_format(description=MARK),
    "text.format[json_object]": {"text": {"format": {"type": "json_object"}}},
    "text.format[text]": {"text": {"format": {"type": "text"}}},
    "text.verbosity": {"text": {"verbosity": "low"}},
    "reasoning.effort": {"reasoning": {"effort": "xhigh"}},
    "reasoning.summary": {"reasoning": {"summary": MARK}},
    "reasoning.generate_summary": {"reasoning": {"generate_summary": MARK}},
    "reasoning.context": {"reasoning": {"context": "all_turns"}},
    "reasoning.mode": {"reasoning": {"mode": "pro"}},
    "include": {"include": ["message.output_text.logprobs"]},
    "service_tier": {"service_tier": "auto"},
    "prompt_cache_key": {"prompt_cache_key": MARK},
    "prompt_cache_retention": {"prompt_cache_retention": "24h"},
    "prompt_cache_options": {"prompt_cache_options": {"mode": "explicit"}},
    "safety_identifier": {"safety_identifier": MARK},
    "user": {"user": MARK},
    "stream_options.include_obfuscation": {"stream_options": {"include_obfuscation": True}},
    "metadata": {"metadata": {"k": MARK}},
    "store": {"store": True},
    "truncation": {"truncation": "auto"},
    "top_logprobs": {"top_logprobs": 2},
    "background": {"background": True},
    "previous_response_id": {"previous_response_id": MARK},
    "conversation": {"conversation": MARK},
    "prompt": {"prompt": {"id": MARK}},
    "context_management": {"context_management": [{"type": MARK}]},
    "moderation": {"moderation": {"model": MARK}},
}

BASES = {"chat.completions": CHAT_BASE, "messages": MESSAGES_BASE, "responses": RESPONSES_BASE}
EXAMPLES = {"chat.completions": CHAT, "messages": MESSAGES, "responses": RESPONSES}
