"""The unmodified `openai` Python client, changed in base URL and key alone: what it returns, what it raises, what it repeats."""

import json
from collections.abc import AsyncIterator, Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionChunk, ChatCompletionMessageParam, ChatCompletionToolParam
from openai.types.shared_params import ResponseFormatJSONSchema

from tests.system.installation import Installation

pytestmark = pytest.mark.process

QUESTION: list[ChatCompletionMessageParam] = [
    {"role": "system", "content": "You are terse."},
    {"role": "user", "content": "What is the weather in Reykjavík"},
]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False},
    },
}
PLACE: ResponseFormatJSONSchema = {
    "type": "json_schema",
    "json_schema": {
        "name": "place",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "inhabitants": {"type": "integer"}},
            "required": ["city", "inhabitants"],
            "additionalProperties": False,
        },
    },
}
PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@pytest.fixture
def client(installation: Installation, api_key: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=installation.url + "/v1", api_key=api_key) as client:
        yield client


@pytest.fixture
async def asynchronous(installation: Installation, api_key: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=installation.url + "/v1", api_key=api_key) as client:
        yield client


# Answers


def test_a_whole_answer(client: openai.OpenAI, installation: Installation) -> None:
    answer = client.chat.completions.create(model="chat", messages=QUESTION)
    assert "I read 2 messages inside this simulated enclave" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == "chat"
    (row,) = installation.rows("request_id = ?", answer.id.removeprefix("chatcmpl-"))
    assert answer.usage is not None
    assert (row["status"], row["input_tokens"], row["output_tokens"]) == ("completed", answer.usage.prompt_tokens, answer.usage.completion_tokens)


async def test_a_whole_answer_to_the_asynchronous_client(asynchronous: openai.AsyncOpenAI) -> None:
    answer = await asynchronous.chat.completions.create(model="chat", messages=QUESTION)
    assert "Reykjavík" in (answer.choices[0].message.content or "")


def test_a_streamed_answer_is_the_whole_one_in_pieces(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="chat", messages=QUESTION).choices[0].message.content
    with client.chat.completions.create(model="chat", messages=QUESTION, stream=True) as stream:
        chunks = list(stream)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole
    assert len(chunks) > 10
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_a_streamed_answer_to_the_asynchronous_client(asynchronous: openai.AsyncOpenAI) -> None:
    stream = await asynchronous.chat.completions.create(model="chat", messages=QUESTION, stream=True)
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text.endswith("always gets this same answer.")


def test_usage_comes_only_when_it_was_asked_for(client: openai.OpenAI) -> None:
    with client.chat.completions.create(model="chat", messages=QUESTION, stream=True) as stream:
        assert all(chunk.choices and chunk.usage is None for chunk in stream)
    with client.chat.completions.create(model="chat", messages=QUESTION, stream=True, stream_options={"include_usage": True}) as stream:
        chunks = list(stream)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0


def test_usage_is_metered_whether_or_not_it_was_asked_for(client: openai.OpenAI, installation: Installation) -> None:
    with client.chat.completions.create(model="chat", messages=QUESTION, stream=True) as stream:
        request_id = {chunk.id for chunk in stream}.pop().removeprefix("chatcmpl-")
    (row,) = installation.rows("request_id = ?", request_id)
    assert row["input_tokens"] > 0
    assert row["output_tokens"] > 0
    assert row["estimated"] == 0


def test_two_choices(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=QUESTION, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert (answer.choices[1].message.content or "").endswith("This is choice 2.")


def test_a_tool_call(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=QUESTION, tools=[WEATHER])
    calls = answer.choices[0].message.tool_calls or []
    assert answer.choices[0].finish_reason == "tool_calls"
    assert calls[0].type == "function"
    assert calls[0].function.name == "get_weather"
    assert json.loads(calls[0].function.arguments) == {"city": "Reykjavík"}
    followed = client.chat.completions.create(
        model="chat",
        messages=[
            *QUESTION,
            {"role": "assistant", "tool_calls": [{"id": calls[0].id, "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": calls[0].id, "content": "four degrees, rain"},
        ],
    )
    assert "The tool said: “four degrees, rain”." in (followed.choices[0].message.content or "")


def test_a_streamed_tool_call_through_the_clients_own_accumulator(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="chat", messages=QUESTION, tools=[WEATHER]) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls or []
    assert calls[0].function.name == "get_weather"
    assert json.loads(calls[0].function.arguments) == {"city": "Reykjavík"}


def test_an_answer_that_follows_a_json_schema(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="chat", messages=QUESTION, response_format=PLACE)
    place = json.loads(answer.choices[0].message.content or "")
    assert set(place) == {"city", "inhabitants"}
    assert isinstance(place["inhabitants"], int)


def test_an_image_as_a_data_url(client: openai.OpenAI) -> None:
    parts: list[ChatCompletionMessageParam] = [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}]}
    ]
    answer = client.chat.completions.create(model="chat", messages=parts)
    assert "I read 1 message and 1 image" in (answer.choices[0].message.content or "")


def test_models_are_listed(client: openai.OpenAI) -> None:
    assert {"chat", "unverified"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("chat").id == "chat"


# Errors


def test_a_wrong_key(installation: Installation, api_key: str) -> None:
    wrong = api_key[:-1] + ("A" if api_key[-1] != "A" else "E")
    with openai.OpenAI(base_url=installation.url + "/v1", api_key=wrong) as client, pytest.raises(openai.AuthenticationError) as raised:
        client.chat.completions.create(model="chat", messages=QUESTION)
    assert raised.value.code == "invalid_api_key"


def test_an_unknown_model(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="no-such-model", messages=QUESTION)
    assert raised.value.code == "model_not_found"


def test_a_malformed_request(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="chat", messages=QUESTION, extra_body={"stream": "perhaps"})
    assert raised.value.param == "stream"


def test_a_request_that_the_provider_calls_malformed(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="malformed", messages=QUESTION)
    assert raised.value.code == "upstream_rejected"


def test_a_key_that_demands_more_than_the_route_gives(installation: Installation, strict_key: str) -> None:
    with openai.OpenAI(base_url=installation.url + "/v1", api_key=strict_key) as client, pytest.raises(openai.PermissionDeniedError) as raised:
        client.chat.completions.create(model="chat", messages=QUESTION)
    assert raised.value.code == "execution_level"


def test_a_rate_limit_of_the_provider(client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        client.with_options(max_retries=0).chat.completions.create(model="limited", messages=QUESTION)
    assert raised.value.response.headers["retry-after"] == "1"


def test_a_machine_that_is_not_verified_is_not_asked_again(client: openai.OpenAI, installation: Installation) -> None:
    before = len(installation.rows("model = 'unverified'"))
    with pytest.raises(openai.InternalServerError) as raised:
        client.with_options(max_retries=2).chat.completions.create(model="unverified", messages=QUESTION)
    assert raised.value.status_code == 503
    assert raised.value.code == "upstream_verification_failed"
    assert "measurement.reference_values" in raised.value.message
    rows = installation.rows("model = 'unverified'")[before:]
    assert [row["status"] for row in rows] == ["refused"]


def test_a_provider_that_fails_is_asked_again_by_the_gateway_alone(client: openai.OpenAI, installation: Installation) -> None:
    """Clients and gateway that both repeat would send a request nine times."""
    before = len(installation.rows("model = 'failing'"))
    with pytest.raises(openai.InternalServerError) as raised:
        client.with_options(max_retries=2).chat.completions.create(model="failing", messages=QUESTION)
    assert raised.value.status_code == 502
    assert raised.value.response.headers["x-ollm-attempts"] == "3"
    assert len(installation.rows("model = 'failing'")) == before + 1


@pytest.mark.parametrize("model", ["cut", "error-stream"])
def test_an_answer_that_breaks_off_is_an_error_in_the_middle_of_the_stream(client: openai.OpenAI, model: str) -> None:
    chunks: list[ChatCompletionChunk] = []
    with client.chat.completions.create(model=model, messages=QUESTION, stream=True) as stream, pytest.raises(openai.APIError) as raised:
        chunks.extend(stream)
    assert len(chunks) > 3
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)
    assert not isinstance(raised.value, openai.APIStatusError)


async def test_an_answer_that_breaks_off_under_the_asynchronous_client(asynchronous: openai.AsyncOpenAI) -> None:
    stream = await asynchronous.chat.completions.create(model="cut", messages=QUESTION, stream=True)
    with pytest.raises(openai.APIError):
        [chunk async for chunk in stream]


def test_a_whole_answer_that_breaks_off(client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        client.with_options(max_retries=0).chat.completions.create(model="cut", messages=QUESTION)
    assert raised.value.status_code == 502
