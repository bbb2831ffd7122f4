"""What a running gateway tells of its upstreams, read strictly and shown safely. Whole commands are in test_models."""

import asyncio
import json
from pathlib import Path

import pytest

from ollm.cli import running
from ollm.cli.running import states_of
from ollm.errors import ConfigError, UpstreamError, WireError
from ollm.ports import Fetched

STATE = {"provider": "u\x1b[31m", "adapter": "near", "level": "tee", "available": True, "session_id": "5" * 64, "verified_at": 1, "expires_at": 2}


class Answering:
    """`HttpFetch`, with one answer."""

    status, body, asked = 200, b"", ""

    async def get(self, url: str, *, authorization: str) -> Fetched:
        Answering.asked = f"{url} {authorization}"
        return Fetched(self.status, {}, self.body)

    async def close(self) -> None:
        pass


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> type[Answering]:
    monkeypatch.setattr(running, "HttpFetch", Answering)
    monkeypatch.setenv("KEY", "sk-1")
    monkeypatch.setattr(Answering, "status", 200)
    return Answering


def told(gateway: type[Answering], body: object) -> list[dict[str, object]]:
    gateway.body = json.dumps(body).encode()
    return asyncio.run(states_of("http://127.0.0.1:1/", "env:KEY", Path("ollm.toml")))


def test_a_row_for_each_upstream(gateway: type[Answering]) -> None:
    pricing = {"input_micro_per_million": "150000", "output_micro_per_million": "600000"}
    [row] = told(gateway, {"data": [{"id": "m", "pricing": pricing, "routes": [STATE]}]})
    assert gateway.asked == "http://127.0.0.1:1/v1/models Bearer sk-1"
    assert (row["upstream"], row["verified"], row["reason"]) == ("u\ufffd[31m", True, None)
    assert row["price"] == {"input": "0.15", "output": "0.6"}


def test_one_that_is_not_verified_has_its_reason(gateway: type[Answering]) -> None:
    [row] = told(gateway, {"data": [{"id": "m", "routes": [{**STATE, "session_id": None, "reason": "quote.debug: got 1", "retry_at": 7}]}]})
    assert (row["verified"], row["reason"], row["retry_at"], row["price"]) == (False, "quote.debug: got 1", 7, None)


def test_a_row_for_each_machine_where_there_are_several(gateway: type[Answering]) -> None:
    good = {"host": "one.example\x07", "available": True, "session_id": "6" * 64, "verified_at": 3, "expires_at": 4}
    bad = {"host": "two.example", "available": False, "reason": "quote.debug: got 1", "retry_at": 7}
    rows = told(gateway, {"data": [{"id": "m", "routes": [{**STATE, "machines": [good, bad]}, STATE]}]})
    assert [(row["machine"], row["verified"], row["verified_at"], row["reason"], row["retry_at"], row["level"]) for row in rows] == [
        ("one.example\ufffd", True, 3, None, None, "tee"),
        ("two.example", False, None, "quote.debug: got 1", 7, "tee"),
        (None, True, 1, None, None, "tee"),
    ]


@pytest.mark.parametrize("machines", [[{}], [{"host": 5, "available": True}], "x"])
def test_machines_that_are_none_are_no_list_of_ours(gateway: type[Answering], machines: object) -> None:
    with pytest.raises(WireError):
        told(gateway, {"data": [{"id": "m", "routes": [{**STATE, "machines": machines}]}]})


@pytest.mark.parametrize("body", [[], {"data": [{"id": 5}]}, {"data": [{"id": "m", "routes": [{}]}]}])
def test_what_is_no_list_of_ours(gateway: type[Answering], body: object) -> None:
    with pytest.raises(WireError, match="not one of OLLM's"):
        told(gateway, body)


def test_prices_that_are_no_integers_are_no_list_of_ours(gateway: type[Answering]) -> None:
    pricing = {"input_micro_per_million": "cheap", "output_micro_per_million": "1"}
    with pytest.raises(WireError):
        told(gateway, {"data": [{"id": "m", "pricing": pricing, "routes": [STATE]}]})


def test_an_error_of_the_gateway_and_a_missing_key(gateway: type[Answering], monkeypatch: pytest.MonkeyPatch) -> None:
    gateway.status = 401
    with pytest.raises(UpstreamError, match="answered 401"):
        told(gateway, {})
    monkeypatch.delenv("KEY")
    with pytest.raises(ConfigError, match="KEY is not set"):
        told(gateway, {})
