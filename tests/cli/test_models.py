"""`ollm models`: each machine verified now."""

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import httpx2
import pytest

from ollm.app.demo import BROKEN_MODEL, MODEL, Stage
from ollm.testing.providers.listings import per_token
from ollm.testing.providers.near import NearServer
from ollm.testing.providers.zdr import ZdrServer
from ollm.upstream import registry
from tests.cli.conftest import Ollm
from tests.stage import toml
from tests.standing import standing
from tests.upstream.test_fleet import Directory, tree


def test_each_model_with_its_machine_and_verdict(ollm: Ollm, play: Stage, play_config: Path) -> None:
    rows = {row["model"]: row for row in json.loads(ollm("models", "--json", "-c", play_config).stdout)}
    verified, refused = rows[MODEL], rows[BROKEN_MODEL]
    assert (verified["upstream"], verified["level"], verified["verified"], verified["reason"]) == ("enclave", "simulated", True, None)
    assert (verified["provider"], verified["price"]) == ("aci", {"input": "0.15", "output": "0.6"})
    assert verified["verified_at"] <= verified["expires_at"]
    assert len(verified["session_id"]) == 64
    assert verified["expires_at"] > play.gateway.started_at
    assert (refused["upstream"], refused["verified"], refused["session_id"], refused["expires_at"]) == ("debug-enclave", False, None, None)
    assert refused["reason"].startswith("quote.debug: ")


def test_a_line_for_each_model_under_a_header(ollm: Ollm, play_config: Path) -> None:
    header, verified, refused = ollm("models", "-c", play_config).stdout.splitlines()
    assert header.split() == ["MODEL", "UPSTREAM", "PROVIDER", "LEVEL", "PER", "MILLION", "IN/[CACHED/]OUT", "STATE"]
    assert header.index("LEVEL") == verified.index("simulated") == refused.index("simulated")
    assert verified.split()[:6] == [MODEL, "enclave", "aci", "simulated", "0.15/0.6", "verified"]
    assert verified.endswith("UTC")
    assert refused.split()[:4] == [BROKEN_MODEL, "debug-enclave", "aci", "simulated"]
    assert "refused quote.debug: " in refused


def test_an_upstream_that_is_not_there_is_refused_not_an_error(ollm: Ollm, config: Path) -> None:
    config.write_text('[policies.p]\nlevel = "tee"\n[upstreams.u]\nurl = "https://127.0.0.1:1"\npolicy = "p"\n[models.m]\nupstreams = ["u"]\n')
    (row,) = json.loads(ollm("models", "--json", "-c", config).stdout)
    assert row["verified"] is False
    assert row["reason"].startswith("evidence.fetch: ")


def test_no_models_yet(ollm: Ollm, config: Path) -> None:
    assert ollm("models", "-c", config).stdout == 'No models yet. Add [models."NAME"] to the configuration.\n'
    assert json.loads(ollm("models", "--json", "-c", config).stdout) == []


def test_an_upstream_without_evidence_is_not_asked_for_any(ollm: Ollm, config: Path) -> None:
    config.write_text('[upstreams.u]\nadapter = "openai"\n[models.m]\nupstreams = ["u"]\n')
    (row,) = json.loads(ollm("models", "--json", "-c", config).stdout)
    assert (row["level"], row["verified"], row["session_id"], row["reason"]) == ("zdr", False, None, None)
    _, line = ollm("models", "-c", config).stdout.splitlines()
    assert "not attested" in line and "refused" not in line


# What the provider lists


def zdr(config: Path, server: ZdrServer, models: str) -> Path:
    config.write_text(f'[upstreams.u]\nadapter = "openai-compatible"\nurl = "{server.url}"\nca = """{server.ca}"""\n{models}')
    return config


PRICED = """
[models.same]
upstreams = ["u"]
upstream_model = "a/b"
price = { input = 350000, output = 1400000, cached = 35000 }
[models.other]
upstreams = ["u"]
upstream_model = "a/b"
price = { input = 350000, output = 1000000 }
[models.unpriced]
upstreams = ["u"]
upstream_model = "a/b"
[models.unlisted]
upstreams = ["u"]
"""


@pytest.fixture
def listing_server() -> Iterator[ZdrServer]:
    server = ZdrServer()
    server.listing = per_token("a/b")
    with standing(server) as running:
        yield running


def test_prices_are_compared_with_the_providers_list(ollm: Ollm, config: Path, listing_server: ZdrServer) -> None:
    zdr(config, listing_server, PRICED)
    rows = {row["model"]: row for row in json.loads(ollm("models", "--catalogue", "--json", "-c", config).stdout)}
    assert rows["same"]["listed_price"] == {"input": "0.35", "cached": "0.035", "output": "1.4"}
    assert (rows["same"]["price_differs"], rows["same"]["not_listed"]) == ([], None)
    assert rows["other"]["price_differs"] == ["output", "cached"]
    assert (rows["unpriced"]["price"], rows["unpriced"]["price_differs"]) == (None, [])
    assert (rows["unlisted"]["listed_price"], rows["unlisted"]["not_listed"]) == (None, "the provider doesn't list it")
    lines = {line.split()[0]: line for line in ollm("models", "--catalogue", "-c", config).stdout.splitlines()}
    assert lines["same"].endswith("its provider has no evidence")
    assert "0.35/0.035/1.4" in lines["same"]
    assert lines["other"].endswith("the provider lists output 1.4, cached 0.035")
    assert lines["unlisted"].endswith("no listed price: the provider doesn't list it")


def test_without_the_flag_nobody_is_asked_for_a_list(ollm: Ollm, config: Path, listing_server: ZdrServer) -> None:
    zdr(config, listing_server, PRICED)
    (row, *_) = json.loads(ollm("models", "--json", "-c", config).stdout)
    assert "listed_price" not in row
    assert listing_server.asked == []


def test_a_list_that_can_not_be_had_is_said(ollm: Ollm, config: Path, listing_server: ZdrServer) -> None:
    zdr(config, listing_server, PRICED)
    listing_server.status = 500
    (row, *_) = json.loads(ollm("models", "--catalogue", "--json", "-c", config).stdout)
    assert "was answered 500" in row["not_listed"]


def test_a_refused_machine_is_not_asked_for_a_list(ollm: Ollm, play_config: Path) -> None:
    rows = {row["model"]: row for row in json.loads(ollm("models", "--catalogue", "--json", "-c", play_config).stdout)}
    assert rows[BROKEN_MODEL]["not_listed"] == "refused, so not asked"
    assert rows[MODEL]["not_listed"] is None
    assert rows[MODEL]["listed_price"] == {"input": None, "cached": None, "output": None}


# What a running gateway holds


def test_a_running_gateway_shows_who_is_in_quarantine(ollm: Ollm, play: Stage, play_config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLM_API_KEY", play.api_key)
    refused_chat(play)
    rows = {row["model"]: row for row in json.loads(ollm("models", "--gateway", play.url, "--json", "-c", play_config).stdout)}
    assert rows[MODEL]["verified"] is True
    assert rows[MODEL]["price"] == {"input": "0.15", "output": "0.6"}
    assert rows[BROKEN_MODEL]["retry_at"] > play.gateway.started_at
    lines = {line.split()[0]: line for line in ollm("models", "--gateway", play.url, "-c", play_config).stdout.splitlines()}
    assert "verified 20" in lines[MODEL]
    assert "refused quote.debug: " in lines[BROKEN_MODEL]
    assert "in quarantine until 20" in lines[BROKEN_MODEL]


def refused_chat(play: Stage) -> None:
    """Ask for the broken machine, so that it is in quarantine now."""
    body = {"model": BROKEN_MODEL, "messages": [{"role": "user", "content": "hi"}]}
    answer = httpx2.post(f"{play.url}/v1/chat/completions", json=body, headers={"authorization": f"Bearer {play.api_key}"}, timeout=30)
    assert answer.status_code == 503


def test_a_gateway_is_asked_for_no_list(ollm: Ollm, play: Stage, play_config: Path) -> None:
    result = ollm("models", "--gateway", play.url, "--catalogue", "-c", play_config, exits=2)
    assert "contradict each other" in result.output


def test_each_machine_of_an_upstream_has_a_line(ollm: Ollm, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = NearServer()
    bad = NearServer(beside=first)
    bad.bend = lambda document: document.update(request_nonce="00" * 32)
    with standing(first), standing(bad):
        directory = Directory(first, bad)
        monkeypatch.setitem(registry.MACHINES, "near", directory)
        config.write_text(toml(tree(first)))
        good_row, bad_row = json.loads(ollm("models", "--json", "-c", config).stdout)
        assert (good_row["upstream"], good_row["verified"], good_row["machine"]) == ("near", True, first.url.removeprefix("https://"))
        assert (bad_row["verified"], bad_row["machine"]) == (False, bad.url.removeprefix("https://"))
        _, good_line, bad_line = ollm("models", "-c", config).stdout.splitlines()
        assert f"{good_row['machine']}: verified 20" in good_line
        assert f"{bad_row['machine']}: refused signer.nonce: " in bad_line


def test_one_that_the_gateway_has_not_come_to_yet(ollm: Ollm, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row: dict[str, object] = {
        "model": "m",
        "upstream": "u",
        "provider": "near",
        "level": "tee",
        "price": None,
        "verified": False,
        "reason": None,
        "retry_at": None,
    }

    async def states_of(url: str, key: str, path: Path) -> list[dict[str, object]]:
        return [row]

    module = import_module("ollm.cli.models")  # the package has the command by that name
    monkeypatch.setattr(module, "states_of", states_of)
    assert ollm("models", "--gateway", "http://127.0.0.1:1", "-c", config).stdout.splitlines()[1].endswith("not verified yet")
