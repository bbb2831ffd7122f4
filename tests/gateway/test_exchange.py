"""The state of one request: what it keeps of it, what an attempt that came to nothing leaves, and what time it tells."""

import asyncio
import contextlib
from typing import NoReturn

import msgspec
import pytest

from ollm.errors import (
    NO_CONNECTION_FREE,
    SESSION_ENDED,
    ChannelRefused,
    ErrorAnswer,
    OllmError,
    SealError,
    UpstreamAnswered,
    UpstreamError,
    WireError,
)
from ollm.gateway.context import Gateway
from ollm.gateway.exchange import Exchange
from ollm.receipts.receipt import forwarded, received
from ollm.traffic.breaker import BreakerRules, State
from ollm.traffic.health import Board
from ollm.upstream.session import Route
from ollm.values.hexes import sha256_of
from ollm.values.ledger import Intent
from ollm.values.level import Level
from ollm.wire.endpoints import CHAT as CHAT_ENDPOINT
from ollm.wire.request import parse_json
from tests.callers import caller
from tests.stage import Stage, chat_body

pytestmark = pytest.mark.asyncio(loop_scope="module")

STEM = "0" * 32
CALLER = caller(Level.SIMULATED, b"canary-secret")


class StoppedClock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> int:
        return int(self.seconds)

    def now_ms(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock()


@pytest.fixture
def gateway(shared: Stage, clock: StoppedClock) -> Gateway:
    return msgspec.structs.replace(shared.gateway, clock=clock)


def exchange_of(gateway: Gateway, body: bytes) -> Exchange:
    exchange = Exchange(gateway, CHAT_ENDPOINT, CALLER, STEM, gateway.clock.monotonic(), gateway.clock.now_ms())
    exchange.received(received(sha256_of(body)), parse_json(body))
    return exchange


async def test_it_keeps_of_a_request_what_records_need(gateway: Gateway) -> None:
    body = chat_body("canary", stream=True)
    exchange = exchange_of(gateway, body)
    assert (exchange.model, exchange.streamed, exchange.started_ms) == ("demo", True, 1_000_000)
    assert exchange.events == [
        {"type": "request.received", "body_hash": sha256_of(body)},
        {"type": "ollm.config", "config_digest": gateway.config_digest},
    ]


async def test_a_name_that_is_no_model_of_ours_is_not_kept(gateway: Gateway) -> None:
    exchange = exchange_of(gateway, chat_body(model="the patient is called Doe"))
    assert exchange.model is None


async def test_it_has_no_room_for_content(gateway: Gateway) -> None:
    exchange = exchange_of(gateway, chat_body("canary"))
    with pytest.raises(AttributeError):
        exchange.prompt = b""  # type: ignore[attr-defined]  # that is the point
    kept = [getattr(exchange, name) for name in Exchange.__slots__]
    assert "canary" not in repr(exchange) + repr(kept)


async def test_an_attempt_that_came_to_nothing_leaves_no_event(gateway: Gateway) -> None:
    exchange = exchange_of(gateway, chat_body())
    before = list(exchange.events)
    session = await gateway.keepers["enclave"].session(5)
    exchange.routed("enclave", session)
    exchange.note(forwarded(sha256_of(b"one")))
    exchange.not_sent()
    assert exchange.events == before
    exchange.routed("enclave", session)
    exchange.note(forwarded(sha256_of(b"two")))
    assert [event["type"] for event in exchange.events] == ["request.received", "ollm.config", "ollm.execution", "request.forwarded"]


async def test_an_intent_names_the_session_that_is_about_to_be_used(gateway: Gateway) -> None:
    exchange = exchange_of(gateway, chat_body())
    session = await gateway.keepers["enclave"].session(5)
    exchange.routed("enclave", session)
    assert exchange.intent() == Intent(STEM, CALLER.key_id, "demo", "enclave", "simulated", session.session_id, 1_000_000)


async def test_durations_are_whole_microseconds(gateway: Gateway, clock: StoppedClock) -> None:
    exchange = exchange_of(gateway, chat_body())
    clock.seconds += 1.5
    assert exchange.since(exchange.begun) == 1_500_000
    clock.seconds += 0.0000009
    assert exchange.since(exchange.begun) == 1_500_000


async def test_time_spent_on_verification_adds_up_whether_it_succeeds_or_not(gateway: Gateway, clock: StoppedClock) -> None:
    exchange = exchange_of(gateway, chat_body())
    session = await gateway.keepers["enclave"].session(5)

    async def verified() -> Route:
        clock.seconds += 2
        await asyncio.sleep(0)
        return session

    async def refused() -> NoReturn:
        clock.seconds += 3
        raise TimeoutError

    assert await exchange.timed_verify(verified()) is session
    with pytest.raises(TimeoutError):
        await exchange.timed_verify(refused())
    assert exchange.verify_us == 5_000_000


async def test_an_attempt_in_which_bytes_left_stays_on_record_whatever_comes_after(gateway: Gateway) -> None:
    exchange = exchange_of(gateway, chat_body())
    session = await gateway.keepers["enclave"].session(5)
    with contextlib.suppress(UpstreamError), exchange.attempting("enclave"):
        exchange.routed("enclave", session)
        exchange.note(forwarded(sha256_of(b"one")))
        exchange.sending()
        assert exchange.left
        exchange.was_sent()
        raise UpstreamError("headers", "an error status", status=503)
    kept = list(exchange.events)
    assert exchange.left and exchange.attempt is None
    exchange.routed("another", session)
    exchange.note(forwarded(sha256_of(b"two")))
    exchange.not_sent()
    assert exchange.events == kept
    assert (exchange.upstream, exchange.session, exchange.level) == ("enclave", session, session.level)


async def test_what_could_not_be_sent_has_not_left(gateway: Gateway) -> None:
    exchange = exchange_of(gateway, chat_body())
    exchange.sending()
    exchange.not_sent()
    assert not exchange.left


@pytest.mark.parametrize(
    ("problem", "state"),
    [
        (UpstreamError("connect", "ConnectionRefusedError"), State.OPEN),
        (UpstreamError("headers", "timed out"), State.OPEN),
        (UpstreamAnswered(500, None, other_key=False), State.OPEN),
        (UpstreamAnswered(404, None, other_key=False), State.CLOSED),
        (UpstreamAnswered(429, 1.0, other_key=False), State.CLOSED),
        (UpstreamError("connect", NO_CONNECTION_FREE), State.CLOSED),
        (UpstreamError("connect", SESSION_ENDED), State.CLOSED),
        (ChannelRefused("ab", "cd"), State.CLOSED),
        (WireError("the provider's answer is not a JSON object"), State.OPEN),
        (SealError("DECRYPTION_FAILED"), State.OPEN),
        (ErrorAnswer(None), State.OPEN),
        (ErrorAnswer(503), State.OPEN),
        (ErrorAnswer(429), State.CLOSED),
    ],
)
async def test_what_each_end_of_an_attempt_says_of_the_route(gateway: Gateway, problem: OllmError, state: State) -> None:
    gateway = msgspec.structs.replace(gateway, board=Board(BreakerRules(failures=1)))
    exchange = exchange_of(gateway, chat_body())
    with contextlib.suppress(OllmError), exchange.attempting("enclave"):
        assert gateway.board.busy("enclave") == 1
        raise problem
    assert (gateway.seen("demo", "enclave").state, gateway.board.busy("enclave")) == (state, 0)
    exchange.failed(problem)
    assert gateway.board.busy("enclave") == 0, "an attempt is over once"


async def test_a_first_byte_is_no_answer_yet(gateway: Gateway, clock: StoppedClock) -> None:
    gateway = msgspec.structs.replace(gateway, board=Board(BreakerRules(failures=1, open_seconds=5)))
    exchange = exchange_of(gateway, chat_body())
    with contextlib.suppress(OllmError), exchange.attempting("enclave"):
        raise UpstreamAnswered(500, None, other_key=False)
    clock.seconds += 6
    with exchange.attempting("enclave"):
        exchange.sending()
        exchange.first_byte()
        assert gateway.seen("demo", "enclave").state is State.HALF_OPEN
        exchange.answered()
        assert gateway.seen("demo", "enclave").state is State.CLOSED
