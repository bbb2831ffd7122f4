"""Translation between two APIs: the client asks in one, the provider is asked in the other."""

from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from ollm.values.usage import Usage
from ollm.wire.dialects.conversation import Conversation
from ollm.wire.dialects.fields import Rules
from ollm.wire.dialects.frame import Frame
from ollm.wire.dialects.pieces import CALL, Answer, Hearer, Teller
from ollm.wire.dialects.relay import Relay, reasoned
from ollm.wire.rewriting import Rewriter

NO_MEMBERS: Mapping[str, msgspec.Raw] = {}


class Dialect(Protocol):
    """Translates requests and answers of one direction. Holds no state: one serves all requests.

    `asked`: the endpoint that the client used. `spoken`: the endpoint at which the provider is asked.
    """

    @property
    def asked(self) -> str: ...

    @property
    def spoken(self) -> str: ...

    def request(self, members: Mapping[str, msgspec.Raw], model: str, *, stream: bool, most: int | None = None) -> bytes:
        """The body for the provider, of the client's top-level members, strictly parsed before, without our `provider` constraint.

        `most`: tokens that the model can answer with, for an API that demands a limit where the client names none; None: nobody knows.

        Raises: WireError, whose `param` names the member that would be lost or is malformed.
        """

    def whole(self, body: bytes, *, id: str, model: str, members: Mapping[str, msgspec.Raw] = NO_MEMBERS) -> tuple[bytes, Usage | None]:
        """The provider's whole answer as the client's API has it. `members`: the client's, for what its API repeats from the request.

        Raises: WireError when the answer is none, is an error, or can't be said in the client's API.
        """

    def stream(self, *, id: str, model: str, include_usage: bool, members: Mapping[str, msgspec.Raw] = NO_MEMBERS) -> Rewriter:
        """The rewriter of one stream. `include_usage` matters where the client speaks chat; `members` as above."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One API: how it is read and told for clients, asked and heard from providers."""

    endpoint: str
    reads: Rules
    writes: Rules
    read: Callable[[Mapping[str, msgspec.Raw]], Conversation]
    ask: Callable[[Conversation, str, bool], bytes]
    hear: Callable[[bytes], Answer]
    hearer: Callable[[], Hearer]
    tell: Callable[[Answer, Frame], bytes]
    teller: Callable[[Frame], Teller]


class Translation(msgspec.Struct, frozen=True):
    """A `Dialect` between two sides."""

    client: Side
    provider: Side

    @property
    def asked(self) -> str:
        return self.client.endpoint

    @property
    def spoken(self) -> str:
        return self.provider.endpoint

    def request(self, members: Mapping[str, msgspec.Raw], model: str, *, stream: bool, most: int | None = None) -> bytes:
        """See `Dialect`."""
        conversation = self.client.read(members)
        return self.provider.ask(conversation if most is None else msgspec.structs.replace(conversation, most=most), model, stream)

    def whole(self, body: bytes, *, id: str, model: str, members: Mapping[str, msgspec.Raw] = NO_MEMBERS) -> tuple[bytes, Usage | None]:
        """See `Dialect`."""
        frame = Frame(id, model, members)
        answer = self.provider.hear(body)
        blocks = tuple(
            msgspec.structs.replace(block, number=number, id=block.id or (frame.derived("call", number) if block.kind == CALL else ""))
            for number, block in enumerate(answer.blocks)
        )
        answer = Answer(blocks, reasoned(answer.end, any(block.kind == CALL for block in blocks)), answer.usage, answer.created)
        return self.client.tell(answer, frame), answer.usage

    def stream(self, *, id: str, model: str, include_usage: bool, members: Mapping[str, msgspec.Raw] = NO_MEMBERS) -> Rewriter:
        """See `Dialect`."""
        frame = Frame(id, model, members, include_usage)
        return Relay(self.provider.hearer(), self.client.teller(frame), lambda number: frame.derived("call", number))
