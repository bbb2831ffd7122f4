"""Every fault, whole and streamed, with and without a second upstream, asked by `openai` and by a client that reads bytes.

Of a provider that is open, and of one that is attested and sealed to: then faults of the network meet ciphertext, and those of the answer are sealed.
"""

import asyncio
import json
import shutil
import tempfile
from pathlib import Path

import pytest
import uvloop

from ollm.values.hexes import sha256_of
from ollm.values.ledger import Status
from tests.faults.catalogue import ENDLESS, FAULTS, OF_A_SEAL, RIGHT, UNTRUSTED, Broken, Fault, Outcome, Right, Wrong
from tests.faults.upstream import LEAK, said
from tests.faults.wall import Case, Seen, Wall, cases, suffer
from tests.stage import events

PATIENT = {"connect": 20.0, "headers": 20.0, "idle": 20.0}
HASTY = {"connect": 1.0, "headers": 1.0, "idle": 1.0, "total": 2.5}
SLOW_ONES = tuple(fault for fault in FAULTS if fault.hasty)
QUICK_ONES = tuple(fault for fault in FAULTS if not fault.hasty)
BY_NAME = {fault.name: fault for fault in (*FAULTS, *OF_A_SEAL, *ENDLESS)}
RAISED = {400: "BadRequestError", 429: "RateLimitError", 502: "InternalServerError", 503: "InternalServerError", 504: "InternalServerError"}


ROUTES = ("open", "sealed")


def _wall(faults: tuple[Fault, ...], timeouts: dict[str, float], *, sealed: bool = False) -> Wall:
    folder = Path(tempfile.mkdtemp(prefix="ollm-"))
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(suffer(folder, faults, timeouts, sealed=sealed))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _walls(*, sealed: bool) -> dict[str, Wall]:
    """What was seen of each fault."""
    quick_ones = (*QUICK_ONES, *OF_A_SEAL) if sealed else QUICK_ONES
    quick, slow = _wall(quick_ones, PATIENT, sealed=sealed), _wall(SLOW_ONES, HASTY, sealed=sealed)
    return {fault.name: wall for faults, wall in ((quick_ones, quick), (SLOW_ONES, slow)) for fault in faults}


@pytest.fixture(scope="module")
def open_walls() -> dict[str, Wall]:
    return _walls(sealed=False)


@pytest.fixture(scope="module")
def sealed_walls() -> dict[str, Wall]:
    return _walls(sealed=True)


def expected(case: Case, wall: Wall) -> Outcome:
    """What `case` is to come to: the second upstream's answer where it may be asked, else what the fault alone does."""
    fault = BY_NAME[case.fault]
    as_status = fault.again == "status" or (fault.again == "whole" and not case.streamed)
    if case.second and (fault.again == "connect" or (as_status and wall.budget is not None)):
        return RIGHT
    return fault.outcome(streamed=case.streamed, sealed=wall.sealed)


def test_there_are_enough_faults() -> None:
    assert len(FAULTS) >= 25
    assert len(BY_NAME) == len((*FAULTS, *OF_A_SEAL, *ENDLESS))


@pytest.mark.parametrize("case", cases(FAULTS), ids=lambda case: case.prompt)
def test_the_client_sees_a_right_answer_or_a_right_error(case: Case, open_walls: dict[str, Wall]) -> None:
    judge(case, open_walls[case.fault])


@pytest.mark.parametrize("case", cases((*FAULTS, *OF_A_SEAL), sealed=True), ids=lambda case: case.prompt)
def test_so_it_does_of_a_machine_that_is_sealed_to(case: Case, sealed_walls: dict[str, Wall]) -> None:
    judge(case, sealed_walls[case.fault])


def judge(case: Case, wall: Wall) -> None:
    seen, outcome = wall.seen[case], expected(case, wall)
    if case.client == "raw":
        judge_bytes(case, seen, outcome)
    else:
        judge_client(case, seen, outcome)
    judge_records(case, seen, outcome)
    assert LEAK not in seen.body.decode() + str(seen.headers) + seen.said
    assert wall.rows[seen.headers["x-request-id"].removeprefix("req_")] == 1
    assert seen.attempts <= (wall.budget or 1), "the budget of attempts"


def judge_bytes(case: Case, seen: Seen, outcome: Outcome) -> None:
    match outcome:
        case Wrong():
            error = json.loads(seen.body)["error"]
            assert (seen.status, error["code"], seen.headers.get("retry-after")) == (outcome.status, outcome.code, outcome.retry_after)
            assert set(error) == {"message", "type", "param", "code"}
        case Broken():
            assert seen.status == 200
            *begun, last = events(seen.body)
            assert begun and all("error" not in event for event in begun)
            assert last["error"]["code"] == outcome.code
            assert b"[DONE]" not in seen.body
        case Right() if case.streamed:
            assert seen.status == 200 and seen.body.endswith(b"\n\ndata: [DONE]\n\n")
            text = "".join(choice["delta"].get("content") or "" for event in events(seen.body) for choice in event["choices"])
            assert text == said(case.prompt)
        case Right():
            assert (seen.status, json.loads(seen.body)["choices"][0]["message"]["content"]) == (200, said(case.prompt))


def judge_client(case: Case, seen: Seen, outcome: Outcome) -> None:
    match outcome:
        case Wrong():
            assert (seen.raised, seen.status, seen.code) == (RAISED[outcome.status], outcome.status, outcome.code)
        case Broken():
            assert (seen.raised, seen.code) == ("APIError", outcome.code)
            assert seen.text and said(case.prompt).startswith(seen.text)
        case Right():
            assert (seen.raised, seen.text) == ("", said(case.prompt))


def judge_records(case: Case, seen: Seen, outcome: Outcome) -> None:
    entry, receipt = seen.entry, seen.receipt
    assert entry is not None and receipt is not None, "one row, and one receipt that verifies"
    assert (entry.http_status, entry.streamed, entry.model) == (seen.status, case.streamed, case.model)
    failed = Status.REFUSED if outcome == UNTRUSTED else Status.UPSTREAM_FAILED
    assert entry.status is (Status.COMPLETED if isinstance(outcome, Right) else failed)
    if isinstance(outcome, Right) and outcome.tokens is not None:
        assert (entry.usage.output_tokens, entry.usage.estimated) == (outcome.tokens, False)
    if case.client == "raw":
        returned = [event["body_hash"] for event in receipt["event_log"] if event["type"] == "response.returned"]
        assert returned == [sha256_of(seen.body)]


def test_nothing_is_left_behind(open_walls: dict[str, Wall], sealed_walls: dict[str, Wall]) -> None:
    for walls in (open_walls, sealed_walls):
        for wall in {id(wall): wall for wall in walls.values()}.values():
            assert wall.left == []
            assert sum(wall.rows.values()) == len(wall.seen), "no request has two rows, and none has none"


@pytest.mark.slow
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("fault", ENDLESS, ids=lambda fault: fault.name)
def test_an_answer_without_end_ends(fault: Fault, route: str) -> None:
    wall = _wall((fault,), PATIENT, sealed=route == "sealed")
    for case in wall.seen:
        judge(case, wall)
    assert wall.left == []
