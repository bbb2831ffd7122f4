"""What is left of a request: one row, one receipt, and a copy of the store that can read neither prompt nor receipt."""

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ollm.errors import SealError
from ollm.gateway import settle as settle_module
from ollm.receipts.at_rest import open_receipt
from ollm.sim.service import SimOptions
from ollm.store.keys import parse_key
from ollm.upstream.session import VerifiedSession
from ollm.values.hexes import sha256_of
from ollm.values.ledger import Entry, Status
from ollm.values.price import Price, Schedule
from ollm.values.usage import Usage
from ollm.wire.endpoints import ENDPOINTS
from tests.stage import CHAT, Stage, chat_body, staged, stem

pytestmark = pytest.mark.asyncio(loop_scope="module")

PRICE_INPUT, PRICE_OUTPUT = 150_000, 600_000  # of "demo", micro-units per million tokens
PRICE = Price(1_000_000, 2_000_000, tiers={"flex": Schedule(500_000, 1_000_000)})
BEGINNING = ["request.received", "ollm.config"]
SENT = ["ollm.execution", "request.forwarded", "upstream.verified"]
FORWARDED = [*BEGINNING, *SENT]


async def rows(stage: Stage) -> list[Entry]:
    found: list[Entry] = await stage.gateway.ledger.recent(1000)  # type: ignore[attr-defined]  # SqlLedger's own
    return found


def types(receipt: dict[str, Any]) -> list[str]:
    return [event["type"] for event in receipt["event_log"]]


def in_database(stage: Stage, receipt: bytes) -> bool:
    """Whether `receipt` is a value in the database."""
    with closing(sqlite3.connect(stage.loaded.path("state") / "ollm.db")) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return any(receipt in row for table in tables for row in db.execute(f'SELECT * FROM "{table}"'))


async def test_each_request_leaves_one_row(shared: Stage) -> None:
    before = len(await rows(shared))
    answers = await asyncio.gather(*(shared.chat(stream=number % 2 == 0) for number in range(6)))
    kept = await rows(shared)
    assert len(kept) == before + 6
    assert {stem(answer) for answer in answers} <= {row.request_id for row in kept}
    assert len({row.request_id for row in kept}) == len(kept)
    assert shared.under_way == 0


async def test_a_row_tells_who_what_where_and_how_long(shared: Stage) -> None:
    entry = await shared.entry(await shared.chat())
    parsed = parse_key(shared.api_key)
    session = shared.gateway.keepers["enclave"].held()
    assert parsed is not None and session is not None
    assert (entry.key_id, entry.endpoint, entry.model, entry.upstream, entry.level) == (parsed[0], "chat.completions", "demo", "enclave", "simulated")
    assert (entry.session_id, entry.status, entry.http_status, entry.streamed) == (session.session_id, Status.COMPLETED, 200, False)
    assert 0 <= entry.verify_us <= entry.total_us
    assert 0 < entry.headers_us <= entry.first_us <= entry.total_us
    assert 0 <= shared.gateway.clock.now_ms() - entry.started_ms < 60_000


@pytest.mark.parametrize("stream", [False, True])
async def test_the_cost_is_the_price_of_the_tokens_rounded_up(stream: bool, shared: Stage) -> None:
    entry = await shared.entry(await shared.chat(stream=stream))
    exact = entry.usage.input_tokens * PRICE_INPUT + entry.usage.output_tokens * PRICE_OUTPUT
    assert entry.cost_micro is not None
    assert 0 <= entry.cost_micro * 1_000_000 - exact < 1_000_000
    assert entry.price_version == "2026-10"
    assert not entry.usage.estimated


async def test_a_price_that_is_not_known_is_no_price_rather_than_nothing(shared: Stage) -> None:
    entry = await shared.entry(await shared.chat(model="unpriced"))
    assert entry.usage.output_tokens > 0
    assert (entry.cost_micro, entry.price_version) == (None, None)


async def test_what_was_used_and_what_it_costs(caplog: pytest.LogCaptureFixture) -> None:
    def metered(endpoint: str, status: Status = Status.COMPLETED, price: Price | None = PRICE, **seen: Any) -> tuple[Usage, int | None]:
        nothing = {"usage": None, "tier": None, "answer_bytes": 0, "prompt_bytes": 0, "pieces": 0, "characters": 0, "left": False}
        exchange: Any = SimpleNamespace(stem="5e", upstream="enclave", endpoint=ENDPOINTS[endpoint], **{**nothing, **seen})
        return settle_module._metered(exchange, status, price)

    counted = Usage(input_tokens=2, output_tokens=1)
    assert metered("chat.completions", usage=counted) == (counted, 4)
    assert metered("chat.completions", usage=counted, price=None) == (counted, None)
    assert metered("chat.completions", Status.REFUSED) == (Usage(), 0)
    assert metered("chat.completions", Status.REFUSED, price=None) == (Usage(), None)
    cut: dict[str, Any] = {"prompt_bytes": 40, "answer_bytes": 9, "pieces": 3, "tier": "flex"}
    assert metered("chat.completions", Status.CLIENT_GONE, **cut) == (Usage(input_tokens=10, output_tokens=3, estimated=True, tier="flex"), 8)
    assert metered("images.generations", Status.CLIENT_GONE, left=True, prompt_bytes=40) == (Usage(images=1, estimated=True), None)
    assert metered("audio.speech", characters=7, prompt_bytes=40) == (Usage(characters=7, estimated=True), None)
    assert not caplog.records
    wrong = Usage(input_tokens=2, count_mismatch=True)
    assert metered("chat.completions", usage=wrong) == (wrong, 2)
    (record,) = caplog.records
    assert record.getMessage() == "a provider's counts don't add up"
    assert (record.__dict__["request_id"], record.__dict__["upstream"]) == ("5e", "enclave")


async def test_a_refused_request_costs_nothing(shared: Stage) -> None:
    response = await shared.chat(provider={"aci_verified": True})
    entry = await shared.entry(response)
    assert (entry.status, entry.cost_micro, entry.usage.input_tokens, entry.session_id) == (Status.REFUSED, 0, 0, None)


# Receipts


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_the_receipt_of_a_sealed_chat_has_every_event_in_its_order(stream: bool, shared: Stage) -> None:
    body = chat_body(stream=stream)
    response = await shared.http.post(CHAT, content=body)
    receipt = await shared.receipt(response)
    assert types(receipt) == [*FORWARDED, "ollm.sealed", "response.returned"]
    received, config, execution, forwarded, verified, sealed, returned = receipt["event_log"]
    session = shared.gateway.keepers["enclave"].held()
    assert isinstance(session, VerifiedSession)
    assert received["body_hash"] == sha256_of(body)
    assert config["config_digest"] == shared.loaded.digest
    assert execution["level"] == "simulated"
    assert len({received["body_hash"], forwarded["body_hash"], sealed["body_hash"]}) == 3
    assert verified == {
        "type": "upstream.verified",
        "model_id": "demo",
        "required": True,
        "result": "verified",
        "session_id": session.session_id,
    }
    assert returned["body_hash"] == sha256_of(response.content)
    assert (receipt["endpoint"], receipt["method"], receipt["model"]) == (CHAT, "POST", "demo")
    assert session.established_at <= receipt["served_at"] <= shared.gateway.clock.now()


async def test_the_receipt_of_an_unsealed_route_says_so_by_silence(socket_dir: Path) -> None:
    async with staged(socket_dir, SimOptions(allow_plaintext=True), upstream={"seal": "tls"}) as stage:
        assert types(await stage.receipt(await stage.chat())) == [*FORWARDED, "response.returned"]


async def test_the_receipt_of_a_refusal(shared: Stage) -> None:
    response = await shared.chat(provider={"aci_verified": True})
    receipt = await shared.receipt(response)
    assert types(receipt) == [*BEGINNING, "upstream.verified", "response.returned"]
    assert receipt["event_log"][2]["result"] == "failed"
    assert receipt["event_log"][-1]["body_hash"] == sha256_of(response.content)


async def test_the_receipt_of_a_providers_failure_has_every_attempt(shared: Stage) -> None:
    response = await shared.chat(model="sim-error-500")
    receipt = await shared.receipt(response)
    assert response.headers["x-ollm-attempts"] == "3"
    assert types(receipt) == [*BEGINNING, *[*SENT, "ollm.sealed"] * 3, "response.returned"]
    assert receipt["event_log"][-1]["body_hash"] == sha256_of(response.content)


async def test_a_copy_of_the_store_can_not_read_receipts(shared: Stage) -> None:
    body = chat_body()
    response = await shared.http.post(CHAT, content=body)
    request_id = stem(response)
    clear = (await shared.http.get(f"/v1/aci/receipts/{response.headers['x-receipt-id']}")).content
    entry = await shared.entry(response)
    assert entry.receipt is not None

    own, stranger = parse_key(shared.api_key), parse_key(await shared.new_key())
    assert own is not None and stranger is not None
    assert open_receipt(own[1], request_id, entry.receipt) == clear
    kept_secrets = [bytes.fromhex((shared.loaded.path("secrets") / name).read_text().strip()) for name in ("pepper", "row-key", "receipt-key")]
    for secret in (stranger[1], bytes(32), *kept_secrets):
        with pytest.raises(SealError):
            open_receipt(secret, request_id, entry.receipt)
    with pytest.raises(SealError):
        open_receipt(own[1], "0" * 32, entry.receipt)

    assert in_database(shared, entry.receipt)
    kept = b"".join(path.read_bytes() for path in shared.loaded.path("state").iterdir() if path.is_file())
    digest = sha256_of(body).removeprefix("sha256:")
    for trace in (digest.encode(), bytes.fromhex(digest), b"request.received", own[1], shared.api_key.encode()):
        assert trace not in kept
