"""`ollm catalogue`: the provider's list beside the configuration, and as entries for it."""

import json
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ollm.app.demo import Stage
from ollm.config.load import parse
from ollm.testing.providers.chutes import CHUTE, ChutesServer
from ollm.testing.providers.listings import OPENAI, per_token
from ollm.testing.providers.zdr import ZdrServer
from tests.cli.conftest import Ollm
from tests.stage import policy_table, toml, upstream_table
from tests.standing import standing

MODELS = """
[models.cheap]
upstreams = ["u"]
upstream_model = "a/b"
price = { input = 350000, output = 1000000, cached = 35000 }
[models."c/d"]
upstreams = ["v"]
[models."e/f"]
upstreams = ["u"]
"""


@pytest.fixture
def server() -> Iterator[ZdrServer]:
    server = ZdrServer()
    server.listing = per_token("a/b", "c/d", "e/f", "g/h", "bad name")
    with standing(server) as running:
        yield running


@pytest.fixture
def listing_config(config: Path, server: ZdrServer) -> Path:
    routes = "".join(f'[upstreams.{name}]\nadapter = "openai-compatible"\nurl = "{server.url}"\nca = """{server.ca}"""\n' for name in "uv")
    config.write_text(routes + MODELS)
    return config


def test_each_model_with_its_prices_and_what_is_configured(ollm: Ollm, listing_config: Path) -> None:
    document = json.loads(ollm("catalogue", "u", "--json", "-c", listing_config).stdout)
    assert (document["upstream"], document["left_out"], document["complete"]) == ("u", 1, True)
    rows = {row["id"]: row for row in document["models"]}
    assert list(rows) == ["a/b", "c/d", "e/f", "g/h"]
    assert rows["a/b"] == {
        "id": "a/b",
        "context_length": 163840,
        "price": {"input": "0.35", "cached": "0.035", "output": "1.4"},
        "reached": True,
        "configured": {"cheap": {"priced": True, "price_differs": ["output"]}},
    }
    assert rows["c/d"]["configured"] == {}
    assert rows["e/f"]["configured"] == {"e/f": {"priced": False, "price_differs": []}}


def test_a_table_for_people(ollm: Ollm, listing_config: Path) -> None:
    header, first, second, third, fourth, left_out, legend = ollm("catalogue", "u", "-c", listing_config).stdout.splitlines()
    assert header.split() == ["MODEL", "CONTEXT", "INPUT", "CACHED", "OUTPUT", "CONFIGURED"]
    assert first.split(maxsplit=5) == ["a/b", "163840", "0.35", "0.035", "1.4", "cheap: other output"]
    assert second.split()[-1] == fourth.split()[-1] == "-"
    assert third.endswith("e/f: without a price")
    assert left_out.startswith("1 entries have no name")
    assert "as the provider lists them" in legend


def test_without_prices_nothing_is_claimed(ollm: Ollm, listing_config: Path, server: ZdrServer) -> None:
    server.listing = OPENAI.replace(b'"object": "list"', b'"has_more": true')
    lines = ollm("catalogue", "u", "-c", listing_config).stdout.splitlines()
    assert lines[1].split() == ["theirs", "-", "-", "-", "-", "-"]
    assert "has more models than it listed" in lines[3]


def test_entries_to_paste_are_a_configuration(ollm: Ollm, listing_config: Path) -> None:
    text = ollm("catalogue", "u", "--toml", "-c", listing_config).stdout
    assert "# a/b is configured: cheap" in text
    assert '# models."c/d" is configured for other upstreams: add "u" to them' in text
    entry = tomllib.loads(text)["models"]["g/h"]
    assert entry["upstreams"] == ["u"]
    assert entry["context_length"] == 163840
    assert (entry["price"]["input"], entry["price"]["output"], entry["price"]["cached"]) == (350000, 1400000, 35000)
    assert entry["price"]["version"].startswith("openai-compatible-20")
    parsed = parse(listing_config.read_bytes() + text.encode(), listing_config.parent)
    assert parsed.models["g/h"].price is not None


def test_an_entry_without_a_price_says_so(ollm: Ollm, listing_config: Path, server: ZdrServer) -> None:
    server.listing = OPENAI
    text = ollm("catalogue", "u", "--toml", "-c", listing_config).stdout
    assert tomllib.loads(text)["models"]["theirs"] == {"upstreams": ["u"]}
    assert "# no price is listed: cost is recorded as unknown" in text


def test_a_verified_machine_lists_its_models(ollm: Ollm, play_config: Path) -> None:
    document = json.loads(ollm("catalogue", "enclave", "--json", "-c", play_config).stdout)
    assert "sim-chat" in [row["id"] for row in document["models"]]


def test_a_refused_machine_is_asked_for_nothing(ollm: Ollm, play: Stage, play_config: Path) -> None:
    result = ollm("catalogue", "debug-enclave", "-c", play_config, exits=1)
    assert "was refused, so it was asked for nothing: quote.debug: " in result.output


def test_what_can_not_be_asked(ollm: Ollm, listing_config: Path, server: ZdrServer) -> None:
    assert "there is no upstream 'w'" in ollm("catalogue", "w", "-c", listing_config, exits=2).output
    assert "contradict each other" in ollm("catalogue", "u", "--toml", "--json", "-c", listing_config, exits=2).output
    server.elsewhere = "https://127.0.0.1:1/"
    assert "was answered 307" in ollm("catalogue", "u", "-c", listing_config, exits=2).output


def test_of_many_models_those_of_the_configured_chute_can_be_asked_for(ollm: Ollm, config: Path) -> None:
    chutes = ChutesServer()
    with standing(chutes):
        upstream = {**upstream_table(chutes, "p", adapter="chutes", model=CHUTE, ca=chutes.ca)}
        config.write_text(toml({"policies": {"p": policy_table(chutes.policy)}, "upstreams": {"u": upstream}}))
        rows = json.loads(ollm("catalogue", "u", "--json", "-c", config).stdout)["models"]
        assert [(row["id"], row["reached"]) for row in rows] == [("zai/GLM-TEE", True), ("other/Model-TEE", False)]
        assert "not by this upstream" in ollm("catalogue", "u", "-c", config).stdout.splitlines()[2]
        entries = tomllib.loads(ollm("catalogue", "u", "--toml", "-c", config).stdout)["models"]
        assert list(entries) == ["zai/GLM-TEE"]
