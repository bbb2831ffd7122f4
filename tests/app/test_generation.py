"""Reloads: what the next configuration takes over from the last one, and what it makes anew."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest

from ollm.app import generation
from ollm.app.serve import Live, living
from ollm.config.load import Loaded, load
from ollm.errors import ConfigError
from ollm.sim.service import SimEnclave, SimOptions
from tests.issuing import AUDIENCE, ISSUER, Authority
from tests.scripted_enclave import scripted_enclave, stream
from tests.stage import CHAT, chat_body, configuration, eventually, installed, toml

PIECE = b'data: {"id":"x","choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'
DONE = b"data: [DONE]\n\n"


class Play:
    """A gateway whose configuration a test rewrites."""

    def __init__(self, folder: Path, live: Live, api_key: str, tree: dict[str, Any]) -> None:
        self.folder = folder
        self.live = live
        self.api_key = api_key
        self.tree = tree

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.live.server.port}"

    def written(self, tree: dict[str, Any]) -> Loaded:
        path = self.folder / "ollm.toml"
        path.write_text(toml(tree))
        return load(path)

    async def reload(self, **changed: Any) -> tuple[str, ...]:
        self.tree = {**self.tree, **changed}
        return await self.live.reload(self.written(self.tree))

    async def ask(self, model: str) -> httpx2.Response:
        async with httpx2.AsyncClient(base_url=self.url, headers={"authorization": f"Bearer {self.api_key}"}, timeout=10) as http:
            return await http.post(CHAT, content=chat_body(model=model))


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Play]:
    async with SimEnclave(SimOptions()) as enclave:
        tree = configuration({"enclave": enclave}, models={"demo": {"upstreams": ["enclave"], "upstream_model": "sim-chat"}})
        loaded, api_key = await installed(tmp_path, tree)
        async with living(loaded) as live:
            await live.gateway.keepers["enclave"].session(10)
            yield Play(tmp_path, live, api_key, tree)


def models(*names: str, upstream: str = "enclave") -> dict[str, Any]:
    return {name: {"upstreams": [upstream], "upstream_model": "sim-chat"} for name in names}


async def test_a_new_model_appears_and_a_removed_one_is_gone(play: Play) -> None:
    assert (await play.ask("demo")).status_code == 200
    before = play.live.gateway
    assert await play.reload(models=models("other")) == ()
    assert (await play.ask("other")).status_code == 200
    gone = await play.ask("demo")
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "model_not_found")
    after = play.live.gateway
    assert after.config_digest != before.config_digest
    assert after.keyset_digest != before.keyset_digest
    assert gone.headers["x-aci-keyset-digest"] == after.keyset_digest
    assert after.keepers["enclave"] is before.keepers["enclave"], "its session holds on"
    assert (after.accounts, after.board, after.keys, after.running) == (before.accounts, before.board, before.keys, before.running)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda tree: {"upstreams": {"enclave": {**tree["upstreams"]["enclave"], "session_seconds": 60}}}, id="its settings"),
        pytest.param(
            lambda tree: {"policies": {"enclave": {**tree["policies"]["enclave"], "require_gpu": False}, "unused": {"level": "tee"}}}, id="nothing"
        ),
        pytest.param(lambda tree: {"gateway": {**tree["gateway"], "timeouts": {"connect": 3.0}}}, id="timeouts"),
        pytest.param(lambda tree: {"collateral": {"directory": "elsewhere"}}, id="where collateral lies"),
    ],
)
async def test_a_changed_upstream_is_verified_anew(
    play: Play, change: Callable[[dict[str, Any]], dict[str, Any]], request: pytest.FixtureRequest
) -> None:
    before = play.live.gateway.keepers["enclave"]
    changed = change(play.tree)
    same = "nothing" in request.node.callspec.id
    if same:
        changed = {"policies": {**play.tree["policies"], "unused": {**play.tree["policies"]["enclave"]}}}
    assert await play.reload(**changed) == (() if same else ("enclave",))
    assert (play.live.gateway.keepers["enclave"] is before) is same
    assert (await play.ask("demo")).status_code == 200
    if not same:
        await eventually(lambda: not _takes_requests(before))


def _takes_requests(keeper: Any) -> bool:
    return not keeper._closed


async def test_a_credential_that_was_rotated_is_used(play: Play, tmp_path: Path) -> None:
    secret = tmp_path / "secrets" / "provider"
    secret.write_text("first")
    secret.chmod(0o600)
    upstreams = {"enclave": {**play.tree["upstreams"]["enclave"], "api_key": "file:secrets/provider"}}
    assert await play.reload(upstreams=upstreams) == ("enclave",)
    assert await play.reload() == ()
    secret.write_text("second")
    assert await play.reload() == ("enclave",)


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"models": {"demo": {"upstreams": ["nobody"]}}}, "which is not configured"),
        ({"gateway": {"listen": "127.0.0.1:1"}}, "gateway.listen"),
        (
            {"exceptions": [{"name": "old", "project": "proj_default", "level": "zdr", "until": "2020-01-01T00:00:00Z", "reason": "for the test"}]},
            "ended",
        ),
    ],
    ids=str,
)
async def test_a_bad_configuration_changes_nothing(play: Play, changed: dict[str, Any], cause: str) -> None:
    before = play.live.gateway
    with pytest.raises(ConfigError, match=cause):
        await play.reload(**changed)
    assert play.live.gateway is before
    assert (await play.ask("demo")).status_code == 200


async def test_a_secret_that_is_missing_changes_nothing(play: Play) -> None:
    before = play.live.gateway
    second = {**play.tree["upstreams"]["enclave"], "api_key": "file:secrets/none"}
    with pytest.raises(ConfigError, match="can't read secret"):
        await play.reload(upstreams={**play.tree["upstreams"], "second": second})
    assert play.live.gateway is before


async def test_what_fails_half_way_is_taken_back(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    keeper_of = generation.keeper_of

    def noted(*args: Any) -> Any:
        made.append(keeper_of(*args))
        return made[-1]

    def fail(*args: Any) -> None:
        raise ConfigError("no", "no")

    monkeypatch.setattr(generation, "keeper_of", noted)
    monkeypatch.setattr(generation, "issuers_of", fail)
    upstreams = {**play.tree["upstreams"], "second": play.tree["upstreams"]["enclave"]}
    with pytest.raises(ConfigError):
        await play.reload(upstreams=upstreams, collateral={"directory": "elsewhere"})
    assert [_takes_requests(each) for each in made] == [False, False]
    assert (await play.ask("demo")).status_code == 200


async def test_keys_of_an_issuer_outlive_a_reload(play: Play, tmp_path: Path) -> None:
    authority = Authority()
    (tmp_path / "issuer.json").write_bytes(authority.jwks)
    table = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": "file:issuer.json", "algorithms": ["ES256"], "project": "proj_default"}
    await play.reload(issuers={"corp": {**table, "require": "simulated"}})
    play.api_key = authority.token(play.live.gateway.clock.now())
    assert (await play.ask("demo")).status_code == 200
    (tmp_path / "issuer.json").unlink()
    await play.reload(issuers={"corp": {**table, "require": "simulated", "max_token_seconds": 900}})
    assert (await play.ask("demo")).status_code == 200
    await play.reload(issuers={})
    assert (await play.ask("demo")).status_code == 401


async def test_a_stream_ends_under_the_configuration_that_it_began_with(tmp_path: Path) -> None:
    async with scripted_enclave(stream(PIECE, PIECE, DONE, held=1)) as enclave:
        tree = configuration({"enclave": enclave})
        loaded, api_key = await installed(tmp_path, tree)
        async with living(loaded) as live, openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{live.server.port}/v1", api_key=api_key) as client:
            play = Play(tmp_path, live, api_key, tree)
            before = live.gateway
            answer = await client.chat.completions.create(model="demo", messages=[{"role": "user", "content": "Hello"}], stream=True)
            assert (await anext(answer)).choices[0].delta.content == "one"
            upstreams = {"enclave": {**tree["upstreams"]["enclave"], "session_seconds": 60}}
            assert await play.reload(upstreams=upstreams, models={}) == ("enclave",)
            await asyncio.sleep(0.25)
            assert _takes_requests(before.keepers["enclave"]), "its request is not done"
            enclave.asked[0].go_on.set()
            assert [piece.choices[0].delta.content async for piece in answer] == ["one"]
            await eventually(lambda: not _takes_requests(before.keepers["enclave"]))


async def test_twenty_reloads_under_load_drop_nothing(play: Play) -> None:
    statuses: list[int] = []
    stop = asyncio.Event()

    async def customer(streamed: bool) -> None:
        async with httpx2.AsyncClient(base_url=play.url, headers={"authorization": f"Bearer {play.api_key}"}, timeout=10) as http:
            while not stop.is_set():
                response = await http.post(CHAT, content=chat_body(model="demo", stream=streamed))
                assert not streamed or response.content.endswith(b"data: [DONE]\n\n")
                statuses.append(response.status_code)

    customers = [asyncio.create_task(customer(bool(number % 2))) for number in range(6)]
    for number in range(20):
        upstreams = {"enclave": {**play.tree["upstreams"]["enclave"], "session_seconds": 3600 - number // 4}}
        await play.reload(models=models("demo", f"new-{number}"), upstreams=upstreams)
        assert (await play.ask(f"new-{number}")).status_code == 200
        assert (await play.ask(f"new-{number - 1}")).status_code == 404
    stop.set()
    await asyncio.gather(*customers)
    assert len(statuses) > 40
    assert set(statuses) == {200}
