"""The state of one inference request on its way: what the ledger row and the receipt will say."""

import hashlib
from collections.abc import Awaitable

from ollm.gateway.authenticate import Caller
from ollm.gateway.context import Gateway
from ollm.receipts.receipt import SEALED, Event, execution, policy
from ollm.upstream.session import Route
from ollm.values.ledger import Intent
from ollm.values.level import Level
from ollm.values.usage import Usage
from ollm.wire.dialects.dialect import Dialect
from ollm.wire.endpoints import Endpoint
from ollm.wire.request import InferenceRequest


class Exchange:
    """Mutable, private to one request. Holds no content: bodies stay in the frames that relay them."""

    __slots__ = (
        "_kept", "begun", "caller", "dialect", "endpoint", "events", "first_us", "gateway", "headers_us", "intended", "level", "model", "pieces",
        "returned", "sent_at", "session", "started_ms", "stem", "streamed", "upstream", "usage", "verify_us",
    )  # fmt: skip

    def __init__(self, gateway: Gateway, endpoint: Endpoint, caller: Caller, stem: str, begun: float) -> None:
        self.gateway = gateway
        self.endpoint = endpoint
        self.caller = caller
        self.stem = stem
        self.begun = begun
        self.started_ms = gateway.clock.now_ms()
        self.events: list[Event] = []
        self._kept = 0  # events that stay when an attempt came to nothing
        self.returned = hashlib.sha256()  # over the exact bytes of the answer, as they are handed out
        self.model: str | None = None
        self.streamed = False
        self.upstream: str | None = None
        self.level: Level | None = None
        self.session: Route | None = None
        self.dialect: Dialect | None = None  # in which the provider was asked, where it speaks another API
        self.usage: Usage | None = None
        self.pieces = 0  # content events handed out: the estimate of output tokens when the provider gave no count
        self.intended = False
        self.sent_at = 0.0
        self.verify_us = 0
        self.headers_us = 0
        self.first_us = 0

    def received(self, event: Event, request: InferenceRequest) -> None:
        """Take over what routing and records need. A model name that is not configured is not kept."""
        self.events = [event, policy(self.gateway.config_digest)]
        self._kept = 2
        self.streamed = request.stream
        self.model = request.model if request.model in self.gateway.settings.models else None

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

    def note(self, *events: Event) -> None:
        self.events.extend(events)

    def not_sent(self) -> None:
        """The last attempt ended before a byte left: its events are void."""
        del self.events[self._kept :]

    def unopened(self) -> None:
        """The machine said that it can't open what was sent: nothing was forwarded to inference, but the ciphertext left, and stays on record."""
        self.events[self._kept :] = [event for event in self.events[self._kept :] if event["type"] == SEALED]
        self._kept = len(self.events)

    def intent(self) -> Intent:
        """The row that survives a kill before the answer is complete."""
        session_id = self.session.session_id if self.session else None
        return Intent(self.stem, self.caller.key_id, self.model or "", self.upstream or "", str(self.level), session_id, self.started_ms)

    def since(self, moment: float) -> int:
        """Microseconds from `moment` (monotonic seconds) to now."""
        return int((self.gateway.clock.monotonic() - moment) * 1_000_000)
