"""The unmodified `langchain-openai`, changed in base URL and key alone, through a gateway to a simulated enclave.

Its own HTTP client lives as long as the process; that of a test ends with it.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from openai import BadRequestError, DefaultAsyncHttpxClient, NotFoundError
from pydantic import BaseModel, SecretStr

from tests.stage import MODEL, Stage, staged

QUESTION = [SystemMessage("You are terse."), HumanMessage("What is the weather in Reykjavík")]
MODELS = {
    MODEL: {"upstreams": ["enclave"], "upstream_model": "sim-chat"},
    "embed": {"upstreams": ["enclave"], "upstream_model": "sim-embed"},
}


class Place(BaseModel):
    """Somewhere."""

    city: str
    inhabitants: int


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return f"four degrees in {city}, rain"


@pytest.fixture
async def stage(socket_dir: Path) -> AsyncIterator[Stage]:
    async with staged(socket_dir, models=MODELS) as play:
        yield play


@pytest.fixture
async def http() -> AsyncIterator[DefaultAsyncHttpxClient]:
    async with DefaultAsyncHttpxClient() as client:
        yield client


@pytest.fixture
def chat(stage: Stage, http: DefaultAsyncHttpxClient) -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, base_url=stage.url + "/v1", api_key=SecretStr(stage.api_key), max_retries=0, http_async_client=http)


async def test_a_whole_answer(chat: ChatOpenAI) -> None:
    answer = await chat.ainvoke(QUESTION)
    assert "I read 2 messages inside this simulated enclave" in answer.text
    assert answer.usage_metadata is not None and answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["model_name"] == MODEL


async def test_a_streamed_answer_is_the_whole_one_in_pieces(chat: ChatOpenAI) -> None:
    whole = await chat.ainvoke(QUESTION)
    pieces = [piece async for piece in chat.astream(QUESTION)]
    assert len(pieces) > 10
    assert "".join(piece.text for piece in pieces) == whole.text


async def test_a_tool_is_called_and_heard(chat: ChatOpenAI) -> None:
    model = chat.bind_tools([get_weather])
    asked: Any = await model.ainvoke(QUESTION)
    assert isinstance(asked, AIMessage)
    [call] = asked.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Reykjavík"})
    said = await get_weather.ainvoke(call["args"])
    answer = await model.ainvoke([*QUESTION, asked, ToolMessage(said, tool_call_id=call["id"])])
    assert "The tool said: “four degrees in Reykjavík, rain”." in answer.text

    streamed: Any = None
    async for piece in model.astream(QUESTION):
        assert isinstance(piece, AIMessageChunk)
        streamed = piece if streamed is None else streamed + piece
    assert [(each["name"], each["args"]) for each in streamed.tool_calls] == [("get_weather", {"city": "Reykjavík"})]


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_an_answer_of_a_given_shape(method: Any, chat: ChatOpenAI) -> None:
    place = await chat.with_structured_output(Place, method=method).ainvoke(QUESTION)
    assert isinstance(place, Place)


async def test_embeddings(stage: Stage, http: DefaultAsyncHttpxClient) -> None:
    # Counting tokens beforehand would fetch a vocabulary from elsewhere.
    key = SecretStr(stage.api_key)
    client = OpenAIEmbeddings(model="embed", base_url=stage.url + "/v1", api_key=key, check_embedding_ctx_length=False, http_async_client=http)
    one, two = await client.aembed_documents(["one", "two"])
    assert len(one) == len(two) == 256 and one != two
    assert await client.aembed_query("one") == one


async def test_errors_are_the_clients_own_classes(chat: ChatOpenAI) -> None:
    with pytest.raises(NotFoundError) as missing:
        await chat.model_copy(update={"model_name": "nobody"}).ainvoke(QUESTION)
    assert missing.value.code == "model_not_found"
    with pytest.raises(BadRequestError):
        await chat.bind(stream_options="perhaps").ainvoke(QUESTION)
