"""The state of one inference request on its way: what the ledger row and the receipt will say."""

import hashlib
from collections.abc import Awaitable
from typing import NamedTuple

from ollm.errors import OURS, ChannelRefused, ErrorAnswer, OllmError, SealError, UpstreamError, WireError
from ollm.gateway.applied import NOTHING, Applied
from ollm.gateway.authenticate import Caller
from ollm.gateway.context import Gateway
from ollm.receipts.receipt import SEALED, Event, execution, policy
from ollm.traffic.attempts import Plan
from ollm.traffic.charges import Charges, Load
from ollm.traffic.health import Attempt
from ollm.upstream.session import Route
from ollm.values.ledger import Intent
from ollm.values.level import Level
from ollm.values.usage import Tier, Usage
from ollm.wire.dialects.dialect import Dialect
from ollm.wire.endpoints import Endpoint
from ollm.wire.request import InferenceRequest


class _Place(NamedTuple):
    """Where an attempt went."""

    upstream: str | None
    session: Route | None
    level: Level | None


class Hold(NamedTuple):
    """What limits and budgets hold for a request while it is under way."""

    charges: Charges
    load: Load  # the most that it can take
    micro: int | None  # of money, where a budget holds; None where none does


class Exchange:
    """Mutable, private to one request. Holds no content: bodies stay in the frames that relay them."""

    __slots__ = (
        "_kept", "_left_at", "_tried", "answer_bytes", "asked", "attempt", "begun", "caller", "characters", "dialect", "endpoint", "events",
        "first_us", "gateway", "headers_us", "hold", "intended", "level", "model", "on_the_way", "pieces", "plan", "prompt_bytes", "returned",
        "rules", "sent_at", "session", "started_ms", "stem", "streamed", "tier", "upstream", "usage", "verify_us",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, endpoint: Endpoint, caller: Caller, stem: str, begun: float, started_ms: int) -> None:
        self.gateway = gateway
        self.endpoint = endpoint
        self.caller = caller
        self.stem = stem
        self.begun = begun
        self.rules = NOTHING  # that stand above it
        self.started_ms = started_ms
        self.events: list[Event] = []
        self._kept = 0  # events that stay when an attempt came to nothing
        self._left_at: _Place | None = None  # where the last attempt went that a prompt left with
        self.plan: Plan | None = None  # the budget of attempts, once it is admitted
        self.attempt: Attempt | None = None  # the one that is under way
        self._tried: dict[str, Attempt] = {}  # upstream → the last one over it
        self.on_the_way = False  # bytes of the prompt are about to leave in that attempt, or have left
        self.prompt_bytes = 0  # of the client's text, for an estimate of its tokens
        self.characters = 0  # of the client's text, where it is spoken
        self.answer_bytes = 0  # that were handed out
        self.returned = hashlib.sha256()  # over the exact bytes of the answer, as they are handed out
        self.model: str | None = None  # its own name
        self.asked: str | None = None  # the name that the client used: the same, or an alias
        self.streamed = False
        self.upstream: str | None = None
        self.level: Level | None = None
        self.session: Route | None = None
        self.dialect: Dialect | None = None  # in which the provider was asked, where it speaks another API
        self.usage: Usage | None = None
        self.tier: Tier | None = None  # that served, where the answer says so
        self.pieces = 0  # content events handed out: the estimate of output tokens when the provider gave no count
        self.intended = False
        self.hold: Hold | None = None  # what limits and budgets hold for it, until it is settled
        self.sent_at = 0.0
        self.verify_us = 0
        self.headers_us = 0
        self.first_us = 0

    def received(self, event: Event, request: InferenceRequest, rules: Applied = NOTHING) -> None:
        """Take over what routing and records need. A model name that is not configured is not kept."""
        self.events = [event, policy(self.gateway.config_digest, rules.names, rules.digest)]
        self.rules = rules
        self._kept = 2
        self.streamed = request.stream
        self.model = self.gateway.names.get(request.model)
        self.asked = request.model if self.model is not None else None
        self.prompt_bytes = request.text_bytes
        self.characters = request.characters

    @property
    def attempts(self) -> int:
        """How often the request was sent, or would have been if there had been a connection."""
        return self.plan.attempts if self.plan is not None else 0

    @property
    def left(self) -> bool:
        """Whether a prompt left, in whichever attempt."""
        return self.on_the_way or self._left_at is not None

    @property
    def answer_id(self) -> str | None:
        """How the client knows the answer; None where the API gives answers no id."""
        return self.endpoint.prefix + self.stem if self.endpoint.prefix else None

    async def timed_verify(self, verification: Awaitable[Route]) -> Route:
        """`verification`, with the time that the request waited for it."""
        moment = self.gateway.clock.monotonic()
        try:
            return await verification
        finally:
            self.verify_us += self.since(moment)

    def routed(self, name: str, session: Route) -> None:
        self.upstream = name
        self.session = session
        self.level = session.level
        self.note(execution(str(session.level)))

    def keep(self, *events: Event) -> None:
        """Record what stays true whatever becomes of the attempts that follow."""
        self.events.extend(events)
        self._kept = len(self.events)

    def note(self, *events: Event) -> None:
        self.events.extend(events)

    def attempting(self, name: str) -> "_Attempting":
        """An attempt over upstream `name`: `with` it. The block is all of it, and what it fails with is its verdict on the route."""
        gateway = self.gateway
        self.attempt = Attempt(gateway.board, self.model or "", name, gateway.clock.monotonic(), self._tried.get(name))
        self._tried[name] = self.attempt
        return _Attempting(self)

    def sending(self) -> None:
        """From here on bytes of the prompt may leave."""
        self.sent_at = self.gateway.clock.monotonic()
        self.on_the_way = True
        self.first_us = 0

    def failed(self, problem: OllmError) -> None:
        """The attempt came to `problem`, which says something of the provider's health, or of the client's request alone.

        An answer that can't be opened or read is a failure as one that doesn't come.
        """
        if self.attempt is None or isinstance(problem, ChannelRefused) or (isinstance(problem, UpstreamError) and problem.reason in OURS):
            return
        status = problem.status if isinstance(problem, UpstreamError | ErrorAnswer) else None
        if status is not None and status < 500:
            self.attempt.answered()
        else:
            self.attempt.failed(self.gateway.clock.monotonic())

    def first_byte(self) -> None:
        """The first byte of an answer came. What it is worth is not known yet."""
        self.first_us = self.since(self.sent_at)

    def answered(self) -> None:
        """What came is an answer, or the beginning of one."""
        if self.attempt is not None:
            self.attempt.first_byte(self.first_us / 1_000_000, self.gateway.clock.monotonic())

    def was_sent(self) -> None:
        """The attempt came to nothing after bytes had left: its events stay on record, whatever is tried next."""
        self._kept = len(self.events)
        self._left_at = _Place(self.upstream, self.session, self.level)
        self.on_the_way = False

    def not_sent(self) -> None:
        """The last attempt ended before a byte left: its events are void."""
        del self.events[self._kept :]
        self.on_the_way = False
        if self._left_at is not None:
            self.upstream, self.session, self.level = self._left_at

    def unopened(self) -> None:
        """The machine said that it can't open what was sent: nothing was forwarded to inference, but the ciphertext left, and stays on record."""
        self.events[self._kept :] = [event for event in self.events[self._kept :] if event["type"] == SEALED]
        self._kept = len(self.events)
        self.on_the_way = False

    def intent(self) -> Intent:
        """The row that survives a kill before the answer is complete."""
        session_id = self.session.session_id if self.session else None
        held, project = self.hold.micro if self.hold else None, self.caller.standing.project_id
        upstream, level = self.upstream or "", str(self.level)
        return Intent(self.stem, self.caller.key_id, self.model or "", upstream, level, session_id, self.started_ms, project, held)

    def since(self, moment: float) -> int:
        """Microseconds from `moment` (monotonic seconds) to now."""
        return int((self.gateway.clock.monotonic() - moment) * 1_000_000)


class _Attempting:
    """See `Exchange.attempting`. A class, because each request enters one: a generator costs three times as much."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, frames: object) -> None:
        if isinstance(problem, UpstreamError | SealError | WireError):
            self._exchange.failed(problem)
        attempt = self._exchange.attempt
        if attempt is not None:
            attempt.over(self._exchange.gateway.clock.monotonic())
            self._exchange.attempt = None
