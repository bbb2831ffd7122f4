"""Every inference endpoint through a whole gateway with the clients that people use: at level zdr, and sealed to an enclave."""

import base64
import contextlib
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from ollm.testing.providers.every_endpoint import PICTURE, SPEECH, TOOL_INPUT, form
from ollm.testing.providers.openai_shaped import ANSWER
from ollm.testing.providers.tinfoil import TinfoilServer
from ollm.testing.providers.zdr import ZdrServer
from ollm.values.hexes import sha256_of
from ollm.values.ledger import Entry, Status
from ollm.wire.endpoints import ENDPOINTS
from tests.stage import MODEL, Stage, configuration, error_of, opened
from tests.wiretap import tapped

CANARY = "the canary sings of a blue lagoon"
MESSAGES: Any = [{"role": "user", "content": CANARY}]
EVERYTHING = sorted(ENDPOINTS)
WAV = b"RIFF" + CANARY.encode() + b"\r\n--looks-like-a-boundary\r\n" + bytes(range(256))


class Play:
    """A gateway before a provider, and both clients of it."""

    def __init__(self, stage: Stage, server: Any) -> None:
        self.stage = stage
        self.server = server
        self.openai = openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key=stage.api_key, max_retries=0)
        self.anthropic = anthropic.AsyncAnthropic(base_url=stage.url, api_key=stage.api_key, max_retries=0)

    def sent(self) -> Any:
        """The members that the provider got last."""
        return json.loads(self.server.asked[-1].body)

    async def row(self, request_id: str | None) -> Entry:
        assert request_id is not None
        entry = await self.stage.gateway.ledger.find(request_id.removeprefix("req_"))
        assert entry is not None
        return entry


def models() -> dict[str, Any]:
    return {MODEL: {"upstreams": ["open"], "upstream_model": "theirs", "endpoints": EVERYTHING}}


@contextlib.asynccontextmanager
async def zdr(folder: Path) -> AsyncIterator[Play]:
    async with ZdrServer() as server:
        tree = configuration({}, gateway={"floor": "zdr"}, models=models())
        tree["upstreams"] = {"open": {"url": server.url, "adapter": "openai-compatible", "ca": server.ca}}
        async with opened(folder, tree) as stage:
            play = Play(stage, server)
            async with play.openai, play.anthropic:
                yield play


@contextlib.asynccontextmanager
async def sealed(folder: Path) -> AsyncIterator[Play]:
    async with TinfoilServer() as server, tapped(server) as tap:
        async with opened(folder, configuration({"open": tap}, upstream={"adapter": "tinfoil"}, models=models())) as stage:
            play = Play(stage, server)
            async with play.openai, play.anthropic:
                yield play
        assert server.asked, "nothing came"
        for asked in server.asked:
            assert CANARY.encode() in asked.body
            assert CANARY.encode() not in asked.wire
        assert all(CANARY.encode() not in bytes(stream) for stream in tap.sent)


WAYS = {"zdr": zdr, "sealed": sealed}


@pytest.fixture(params=WAYS)
async def play(request: pytest.FixtureRequest, socket_dir: Path) -> AsyncIterator[Play]:
    async with WAYS[request.param](socket_dir) as opened_play:
        yield opened_play


async def test_completions(play: Play) -> None:
    answer = await play.openai.completions.create(model=MODEL, prompt=CANARY)
    assert (answer.choices[0].text, answer.model, answer.id[:5]) == (ANSWER, MODEL, "cmpl-")
    chunks = await play.openai.completions.create(model=MODEL, prompt=CANARY, stream=True)
    assert "".join([chunk.choices[0].text async for chunk in chunks]) == ANSWER  # no chunk without choices: usage wasn't asked for
    assert (play.sent()["model"], play.sent()["stream_options"]) == ("theirs", {"include_usage": True})
    row = await play.row(answer._request_id)
    assert (row.endpoint, row.usage.input_tokens, row.usage.output_tokens) == ("completions", 11, 7)


async def test_responses(play: Play) -> None:
    answer = await play.openai.responses.create(model=MODEL, input=CANARY)
    assert (answer.output_text, answer.model, answer.id[:5]) == (ANSWER, MODEL, "resp_")
    assert play.sent()["store"] is False
    row = await play.row(answer._request_id)
    assert (row.endpoint, row.status) == ("responses", Status.COMPLETED)
    assert (row.usage.input_tokens, row.usage.cached_tokens, row.usage.output_tokens, row.usage.reasoning_tokens) == (8, 4, 5, 2)
    async with play.openai.responses.stream(model=MODEL, input=CANARY) as stream:
        kinds = [event.type async for event in stream]
        final = await stream.get_final_response()
    assert (kinds[0], kinds[-1], final.output_text, final.model) == ("response.created", "response.completed", ANSWER, MODEL)
    assert final.id.startswith("resp_") and final.id != "resp_theirs"


async def test_embeddings_moderations_and_rerank(play: Play) -> None:
    vectors = await play.openai.embeddings.create(model=MODEL, input=[CANARY, "two"])  # the client asks for base64, and unpacks it
    assert (vectors.data[1].embedding, vectors.model, vectors.usage.prompt_tokens) == ([0.25, -0.5, 0.125], MODEL, 9)
    judged = await play.openai.moderations.create(model=MODEL, input=CANARY)
    assert (judged.results[0].flagged, judged.model, judged.id[:5]) == (False, MODEL, "modr-")
    ranked = await play.stage.http.post("/v1/rerank", json={"model": MODEL, "query": CANARY, "documents": ["a", "b"]})
    assert [result["index"] for result in ranked.json()["results"]] == [0, 1]
    assert ranked.json()["id"].startswith("rerank-")
    assert (await play.stage.entry(ranked)).endpoint == "rerank"


async def test_images(play: Play) -> None:
    made = await play.openai.images.generate(model=MODEL, prompt=CANARY)
    assert made.data is not None and made.data[0].b64_json == PICTURE
    row = await play.row(made._request_id)
    assert (row.endpoint, row.usage.input_tokens, row.usage.image_output_tokens) == ("images.generations", 5, 272)
    assert (row.usage.images, row.usage.output_tokens, row.usage.count_mismatch) == (1, 0, False)
    stream = await play.openai.images.generate(model=MODEL, prompt=CANARY, stream=True, n=2, partial_images=1)
    assert [event.type async for event in stream] == ["image_generation.partial_image"] + ["image_generation.completed"] * 2
    edited = await play.openai.images.edit(model=MODEL, prompt=CANARY, image=[("a.png", b"\x89PNG one"), ("b.png", b"\x89PNG two")])
    assert edited.data is not None and edited.data[0].b64_json == PICTURE


async def test_speech(play: Play) -> None:
    spoken = await play.openai.audio.speech.create(model=MODEL, input=CANARY, voice="alloy")
    assert spoken.read() == SPEECH
    assert spoken.response.headers["content-type"] == "audio/mpeg"
    receipt = await play.stage.http.get(f"/v1/aci/receipts/{spoken.response.headers['x-receipt-id']}")
    returned = [event for event in receipt.json()["event_log"] if event["type"] == "response.returned"]
    assert returned == [{"type": "response.returned", "body_hash": sha256_of(SPEECH)}]
    row = await play.stage.entry(spoken.response)
    assert (row.usage.characters, row.usage.estimated, row.usage.total_tokens, row.cost_micro) == (len(CANARY), True, 0, None)
    async with play.openai.audio.speech.with_streaming_response.create(model=MODEL, input=CANARY, voice="alloy", stream_format="sse") as stream:
        lines = [json.loads(line.removeprefix("data: ")) async for line in stream.iter_lines() if line.startswith("data: ")]
    assert [line["type"] for line in lines] == ["speech.audio.delta", "speech.audio.done"]


async def test_transcriptions_and_translations(play: Play) -> None:
    heard = await play.openai.audio.transcriptions.create(model=MODEL, file=("Frau Schmitz, Röntgen.wav", WAV), language="de")
    assert heard.text == ANSWER
    asked = play.server.asked[-1]
    fields = form(asked.body, asked.headers["content-type"])
    assert (fields["model"].data, fields["language"].data, fields["file"].data) == (b"theirs", b"de", WAV)
    text = await play.openai.audio.transcriptions.create(model=MODEL, file=("a.wav", WAV), response_format="text")
    assert text == ANSWER + "\n"
    stream = await play.openai.audio.transcriptions.create(model=MODEL, file=("a.wav", WAV), stream=True)
    events = [event async for event in stream]
    assert (events[-1].type, "".join(event.delta for event in events if event.type == "transcript.text.delta")) == ("transcript.text.done", ANSWER)
    with pytest.deprecated_call():  # the client's own opinion of that endpoint
        translated = await play.openai.audio.translations.create(model=MODEL, file=("a.wav", WAV))
    assert translated.text == ANSWER


async def test_messages(play: Play) -> None:
    answer = await play.anthropic.messages.create(model=MODEL, max_tokens=64, messages=MESSAGES)
    assert isinstance(answer.content[0], anthropic.types.TextBlock)
    assert (answer.content[0].text, answer.model, answer.id[:4], answer.stop_reason) == (ANSWER, MODEL, "msg_", "end_turn")
    row = await play.row(answer._request_id)
    assert (row.endpoint, row.usage.input_tokens, row.usage.cached_tokens, row.usage.output_tokens) == ("messages", 8, 4, 7)
    async with play.anthropic.messages.stream(model=MODEL, max_tokens=64, messages=MESSAGES) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        final = await stream.get_final_message()
    assert (text, final.model, final.usage.input_tokens, final.usage.output_tokens) == (ANSWER, MODEL, 8, 7)
    assert (await play.anthropic.messages.count_tokens(model=MODEL, messages=MESSAGES)).input_tokens == 12


async def test_a_tool_of_messages(play: Play) -> None:
    tool: Any = {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}}}
    answer = await play.anthropic.messages.create(model=MODEL, max_tokens=64, messages=MESSAGES, tools=[tool])
    async with play.anthropic.messages.stream(model=MODEL, max_tokens=64, messages=MESSAGES, tools=[tool]) as stream:
        streamed = await stream.get_final_message()
    for message in (answer, streamed):
        [block] = message.content
        assert isinstance(block, anthropic.types.ToolUseBlock)
        assert (block.name, block.input, message.stop_reason) == ("weather", TOOL_INPUT, "tool_use")
    assert play.sent()["tools"] == [tool]


async def test_every_endpoint_leaves_a_row_and_a_receipt_that_names_it(socket_dir: Path) -> None:
    async with zdr(socket_dir) as play:
        del play.stage.http.headers["content-type"]
        for endpoint in ENDPOINTS.values():
            response = await play.stage.http.post(endpoint.path, **sample(endpoint.name))
            assert response.status_code == 200, (endpoint.name, response.text)
            entry = await play.stage.entry(response)
            assert (entry.endpoint, entry.status, entry.level, entry.model) == (endpoint.name, Status.COMPLETED, "zdr", MODEL)
            receipt = await play.stage.receipt(response)
            assert (receipt["endpoint"], receipt["model"]) == (endpoint.path, MODEL)
            forwarded = next(event for event in receipt["event_log"] if event["type"] == "request.forwarded")
            assert forwarded["body_hash"] == sha256_of(play.server.asked[-1].body)
            if endpoint.prefix and "id" in response.json():
                assert response.json()["id"] == endpoint.prefix + entry.request_id
                assert (await play.stage.http.get(f"/v1/aci/receipts/{response.json()['id']}")).status_code == 200


def sample(name: str) -> dict[str, Any]:
    """A request to the endpoint of that name, for httpx."""
    if ENDPOINTS[name].form:
        return {"data": {"model": MODEL, "prompt": CANARY}, "files": {"file": ("a.wav", io.BytesIO(WAV))}}
    return {"json": {"model": MODEL, "input": CANARY, "messages": MESSAGES, "prompt": CANARY, "documents": ["a"], "query": CANARY}}


async def test_thirty_megabytes_of_sound(socket_dir: Path) -> None:
    sound = bytes(30_000_000)
    async with sealed(socket_dir) as play:
        heard = await play.openai.audio.transcriptions.create(model=MODEL, file=(CANARY, sound))
        assert heard.text == ANSWER
        asked = play.server.asked[-1]
        assert form(asked.body, asked.headers["content-type"])["file"].data == sound


@pytest.mark.parametrize(
    ("path", "members", "param"),
    [
        ("/v1/responses", {"input": "x", "previous_response_id": "resp_1"}, "previous_response_id"),
        ("/v1/responses", {"input": "x", "conversation": {"id": "conv_1"}}, "conversation"),
        ("/v1/responses", {"input": "x", "background": True}, "background"),
        ("/v1/images/generations", {"prompt": "x", "response_format": "url"}, "response_format"),
    ],
)
async def test_what_would_be_kept_is_refused_with_a_reason(path: str, members: dict[str, Any], param: str, socket_dir: Path) -> None:
    async with zdr(socket_dir) as play:
        response = await play.stage.http.post(path, json={"model": MODEL, **members})
        error = error_of(response)
        assert (response.status_code, error["param"], error["code"]) == (400, param, "invalid_request")
        assert "kept" in error["message"]
        assert play.server.asked == []
        escaped = json.dumps({"model": MODEL, "prompt": "x", "response_format": "url"}).replace("url", "\\u0075rl")
        assert (await play.stage.http.post("/v1/images/generations", content=escaped)).status_code == 400


async def test_a_response_is_never_stored_whatever_the_client_says(socket_dir: Path) -> None:
    async with zdr(socket_dir) as play:
        await play.openai.responses.create(model=MODEL, input="x", store=True, background=False)
        assert play.sent()["store"] is False


async def test_a_model_is_not_served_where_its_routes_do_not_answer(socket_dir: Path) -> None:
    async with ZdrServer() as server:
        tree = configuration({}, gateway={"floor": "zdr"}, models={MODEL: {"upstreams": ["open"], "endpoints": ["embeddings"]}})
        tree["upstreams"] = {"open": {"url": server.url, "adapter": "openai-compatible", "ca": server.ca}}
        async with opened(socket_dir, tree) as stage:
            response = await stage.chat()
            assert (response.status_code, error_of(response)["code"]) == (404, "endpoint_not_supported")
            assert server.asked == []


async def test_errors_on_anthropics_endpoints_are_what_its_clients_read(socket_dir: Path) -> None:
    async with zdr(socket_dir) as play:
        with pytest.raises(anthropic.NotFoundError) as missing:
            await play.anthropic.messages.create(model="nobody", max_tokens=1, messages=MESSAGES)
        assert missing.value.body == {
            "type": "error",
            "error": {
                "type": "not_found_error",
                "message": "No such model is configured here; GET /v1/models lists them.",
                "param": "model",
                "code": "model_not_found",
            },
        }
        stranger = anthropic.AsyncAnthropic(base_url=play.stage.url, api_key="sk-ollm-wrong", max_retries=0)
        async with stranger:
            with pytest.raises(anthropic.AuthenticationError):
                await stranger.messages.create(model=MODEL, max_tokens=1, messages=MESSAGES)
        play.server.status = 500
        with pytest.raises(anthropic.InternalServerError) as failed:
            await play.anthropic.messages.create(model=MODEL, max_tokens=1, messages=MESSAGES)
        assert CANARY not in str(failed.value)


@pytest.mark.parametrize("header", ["x-api-key", "api-key"])
async def test_other_clients_show_their_key_elsewhere(header: str, socket_dir: Path) -> None:
    async with zdr(socket_dir) as play, httpx2.AsyncClient(base_url=play.stage.url) as http:
        body = {"model": MODEL, "messages": MESSAGES}
        assert (await http.post("/v1/chat/completions", json=body, headers={header: play.stage.api_key})).status_code == 200
        twice = {header: play.stage.api_key, "authorization": f"Bearer {play.stage.api_key}"}
        assert (await http.post("/v1/chat/completions", json=body, headers=twice)).status_code == 401


async def test_pictures_in_a_chat_go_on_byte_for_byte(socket_dir: Path) -> None:
    picture = "data:image/png;base64," + base64.b64encode(bytes(100_000)).decode()
    parts: Any = [{"type": "text", "text": CANARY}, {"type": "image_url", "image_url": {"url": picture}}]
    async with sealed(socket_dir) as play:
        await play.openai.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": parts}])
        assert play.sent()["messages"][0]["content"] == parts
