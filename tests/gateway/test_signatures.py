"""What a receipt says of a machine's signature, and when an answer without one is none. Chats are in tests/testing/providers."""

from pathlib import Path
from typing import Any, cast

import pytest

from ollm.errors import ApiError, EvidenceRefused, UpstreamError
from ollm.gateway.exchange import Exchange
from ollm.gateway.signatures import note_signature
from ollm.upstream.answer import Answer
from ollm.upstream.provider import Vouched
from ollm.values.hexes import sha256_of
from tests.stage import staged

VOUCHED = Vouched("m:1:2", "ab", "ed25519", "cd", "model")


class Session:
    """A route as far as its signatures go."""

    def __init__(self, outcome: Vouched | Exception | None, *, required: bool = False) -> None:
        self.outcome = outcome
        self.require_signature = required
        self.asked: list[str] = []

    async def vouch(self, answer: object, chat_id: str) -> Vouched | None:
        self.asked.append(chat_id)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


class Heard:
    """An exchange and an answer as far as they are looked at."""

    def __init__(self, session: Session | None, *, signed: bool = True) -> None:
        self.session = session
        self.events: list[dict[str, Any]] = []
        self.signed = signed
        self.wire_hash = sha256_of(b"answer")

    def note(self, event: dict[str, Any]) -> None:
        self.events.append(event)


async def noted(heard: Heard, chat_id: str | None = "id") -> list[dict[str, Any]]:
    await note_signature(cast("Exchange", heard), cast("Answer", heard), chat_id)
    return heard.events


async def test_a_signature_that_holds() -> None:
    assert await noted(Heard(Session(VOUCHED))) == [
        {
            "type": "ollm.response_signature",
            "result": "verified",
            "kind": "model",
            "algorithm": "ed25519",
            "address": "cd",
            "text_hash": sha256_of(b"m:1:2"),
            "body_hash": sha256_of(b"answer"),
            "signature": "ab",
        }
    ]


@pytest.mark.parametrize(("problem", "result"), [(UpstreamError("close", "none"), "missing"), (EvidenceRefused("c", "g", "w"), "failed")])
async def test_what_is_no_signature(problem: Exception, result: str) -> None:
    assert await noted(Heard(Session(problem))) == [{"type": "ollm.response_signature", "result": result}]
    demanded = Heard(Session(problem, required=True))
    with pytest.raises(ApiError, match="did not sign") as refused:
        await noted(demanded)
    assert (refused.value.status, refused.value.code) == (502, "upstream_unsigned")
    assert demanded.events[0]["result"] == result  # the receipt of the refusal says it too


async def test_a_machine_that_signs_nothing_is_not_written_of() -> None:
    assert await noted(Heard(Session(None))) == []
    assert await noted(Heard(None)) == []
    unsigned = Session(VOUCHED)
    assert await noted(Heard(unsigned, signed=False)) == []
    assert unsigned.asked == []


async def test_an_answer_without_an_id_is_asked_for_by_none() -> None:
    session = Session(VOUCHED)
    await noted(Heard(session), None)
    assert session.asked == [""]


async def test_no_event_where_the_upstream_signs_receipts_of_its_own(socket_dir: Path) -> None:
    async with staged(socket_dir) as stage:
        response = await stage.chat()
        assert "ollm.response_signature" not in {event["type"] for event in (await stage.receipt(response))["event_log"]}


async def test_a_provider_that_has_no_signatures_to_give_does_not_meet_a_demand_for_one() -> None:
    """Its evidence binds a key for them, so silence is no answer."""
    heard = Heard(Session(None, required=True))

    with pytest.raises(ApiError) as error:
        await noted(heard)
    assert error.value.code == "upstream_unsigned"
    assert heard.events == []
