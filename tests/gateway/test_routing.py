"""Attempts, breakers, keys and preferences over real sockets: what each upstream sees, what the client gets, and what is left on record."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ollm.sim.service import SimEnclave, SimOptions
from ollm.traffic.breaker import State
from ollm.values.ledger import Entry, Status
from ollm.values.level import Level
from tests.scripted_enclave import Asked, Script, ScriptedEnclave, answer, raw, reset, scripted_enclave, silent, stalling, stream
from tests.stage import CHAT, MODEL, Stage, asking, chat_body, configuration, error_of, eventually, last_entry, opened

GOOD = answer(b'{"choices":[]}')
DONE = b"data: [DONE]\n\n"


def failing(status: str, extra: str = "") -> Script:
    return answer(b"{}", status=status, extra=extra)


BUSY = failing("503 Service Unavailable")


def one_after_the_other(*scripts: Script) -> Script:
    """Each prompt gets the next of `scripts`, the last one all that follow."""
    asked_before = 0

    async def script(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        nonlocal asked_before
        asked_before += 1
        return await scripts[min(asked_before, len(scripts)) - 1](asked, reader, writer)

    return script


async def rows(stage: Stage) -> list[Entry]:
    found: list[Entry] = await stage.gateway.ledger.recent(1000)  # type: ignore[attr-defined]  # SqlLedger's own
    return found


async def types(stage: Stage, response: httpx2.Response) -> list[str]:
    return [event["type"] for event in (await stage.receipt(response))["event_log"]]


def model(upstreams: list[str], **members: Any) -> dict[str, Any]:
    return {MODEL: {"upstreams": upstreams, "upstream_model": "sim-chat", **members}}


# Attempts


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    "status", ["408 Request Timeout", "429 Too Many Requests", "500 Internal", "502 Bad", "503 Busy", "504 Late", "529 Overloaded"]
)
async def test_what_may_pass_is_tried_again_and_served(status: str, streamed: bool, socket_dir: Path) -> None:
    good = stream(b'data: {"choices":[{"index":0}]}\n\n', DONE) if streamed else GOOD
    script = one_after_the_other(failing(status), failing(status), good)
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat(stream=streamed)
        assert (response.status_code, response.headers["x-ollm-attempts"], len(enclave.asked)) == (200, "3", 3)
        [row] = await rows(stage)
        assert (row.status, row.upstream) == (Status.COMPLETED, "enclave")
        assert (await types(stage, response)).count("request.forwarded") == 3
        assert stage.under_way == 0


@pytest.mark.parametrize("status", ["400 Bad", "404 Not Found", "409 Conflict", "413 Large", "415 Type", "422 No", "501 Not Implemented"])
async def test_what_would_not_pass_is_not_tried_again_anywhere(status: str, socket_dir: Path) -> None:
    async with (
        scripted_enclave(failing(status)) as first,
        scripted_enclave(GOOD) as second,
        opened(socket_dir, configuration({"first": first, "second": second})) as stage,
    ):
        response = await stage.chat()
        assert response.status_code in (400, 502)
        assert (len(first.asked), len(second.asked)) == (1, 0)
        assert len(await rows(stage)) == 1


@pytest.mark.parametrize("budget", [1, 2, 5])
async def test_the_budget_is_one_for_all_upstreams(budget: int, socket_dir: Path) -> None:
    async with (
        scripted_enclave(BUSY) as first,
        scripted_enclave(BUSY) as second,
        opened(socket_dir, configuration({"first": first, "second": second}, routing={"attempts": budget})) as stage,
    ):
        response = await stage.chat()
        assert (response.status_code, response.headers["x-ollm-attempts"]) == (502, str(budget))
        assert (len(first.asked), len(second.asked)) == (-(-budget // 2), budget // 2)
        assert response.headers.get("x-should-retry") == ("false" if budget > 1 else None)
        [row] = await rows(stage)
        assert (row.status, row.http_status, row.usage.output_tokens) == (Status.UPSTREAM_FAILED, 502, 0)
        assert (await types(stage, response)).count("request.forwarded") == budget


async def test_a_model_has_its_own_budget(socket_dir: Path) -> None:
    async with scripted_enclave(BUSY) as enclave:
        tree = configuration({"enclave": enclave}, models=model(["enclave"], attempts=2))
        async with opened(socket_dir, tree) as stage:
            assert (await stage.chat()).headers["x-ollm-attempts"] == "2"
            assert len(enclave.asked) == 2


async def test_a_connection_that_cant_be_had_is_an_attempt_and_nothing_left(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as gone, opened(socket_dir, configuration({"gone": gone})) as stage:
        await stage.gateway.keepers["gone"].session(5)
        await gone.stop()
        response = await stage.chat()
        assert (response.status_code, response.headers["x-ollm-attempts"]) == (502, "3")
        assert "request.forwarded" not in await types(stage, response)
        assert len(await rows(stage)) == 1


@pytest.mark.parametrize(
    ("script", "resend", "attempts"),
    [
        pytest.param(reset, False, 1, id="reset"),
        pytest.param(reset, True, 3, id="reset, and sending again is allowed"),
        pytest.param(raw(b""), True, 3, id="closed, and sending again is allowed"),
        pytest.param(raw(b"HTTP/1.1 2"), True, 1, id="reset behind a byte of an answer"),
        pytest.param(raw(b"SSH-2.0-x\r\n"), True, 1, id="another protocol"),
        pytest.param(stalling(kind="application/json"), True, 1, id="reset behind headers"),
        pytest.param(silent, True, 1, id="silence"),
    ],
)
async def test_a_lost_connection_is_only_sent_over_again_where_that_is_allowed(script: Script, resend: bool, attempts: int, socket_dir: Path) -> None:
    settings = {"timeouts": {"headers": 0.3, "idle": 0.3}}
    async with (
        scripted_enclave(script) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, gateway=settings, routing={"resend_after_reset": resend})) as stage,
    ):
        response = await stage.chat()
        assert response.status_code in (502, 504)
        assert (len(enclave.asked), response.headers["x-ollm-attempts"]) == (attempts, str(attempts))
        assert len(await rows(stage)) == 1


async def test_nothing_is_tried_again_once_a_byte_of_a_stream_is_out(socket_dir: Path) -> None:
    cut = stream(b'data: {"choices":[{"index":0}]}\n\n', end=b"")
    async with (
        scripted_enclave(cut) as first,
        scripted_enclave(GOOD) as second,
        opened(socket_dir, configuration({"first": first, "second": second}, routing={"resend_after_reset": True})) as stage,
    ):
        response = await stage.chat(stream=True)
        assert response.status_code == 200 and b"[DONE]" not in response.content
        assert (len(first.asked), len(second.asked)) == (1, 0)
        row = await stage.entry(response)
        assert row.usage.estimated and row.usage.output_tokens == 1, "what was handed out is accounted for"


@pytest.mark.parametrize(
    ("extra", "retry_after", "asked"),
    [
        pytest.param("retry-after: 60\r\n", "60", (1, 0), id="too long"),
        pytest.param("retry-after-ms: 5100\r\n", "6", (1, 0), id="too long, in milliseconds"),
        pytest.param("retry-after-ms: 20\r\n", "1", (3, 0), id="short"),
    ],
)
async def test_a_pause_that_is_asked_for_is_kept_or_passed_on(extra: str, retry_after: str, asked: tuple[int, int], socket_dir: Path) -> None:
    async with (
        scripted_enclave(failing("429 Too Many Requests", extra)) as enclave,
        opened(socket_dir, configuration({"enclave": enclave})) as stage,
    ):
        response = await stage.chat()
        assert (response.status_code, error_of(response)["code"]) == (429, "upstream_rate_limited")
        assert response.headers["retry-after"] == retry_after
        assert "x-should-retry" not in response.headers
        assert len(enclave.asked) == asked[0]


async def test_who_asks_for_a_long_pause_is_passed_over(socket_dir: Path) -> None:
    async with (
        scripted_enclave(failing("429 Too Many Requests", "retry-after: 60\r\n")) as first,
        scripted_enclave(GOOD) as second,
        opened(socket_dir, configuration({"first": first, "second": second})) as stage,
    ):
        response = await stage.chat()
        assert (response.status_code, (await stage.entry(response)).upstream) == (200, "second")
        log = (await stage.receipt(response))["event_log"]
        sessions = [event["session_id"] for event in log if event["type"] == "upstream.verified"]
        assert sessions == [stage.gateway.keepers[name].state().session_id for name in ("first", "second")]


async def test_a_client_that_leaves_during_a_pause_ends_it(socket_dir: Path) -> None:
    async with (
        scripted_enclave(failing("503 Busy", "retry-after: 4\r\n")) as enclave,
        opened(socket_dir, configuration({"enclave": enclave})) as stage,
    ):
        body = chat_body()
        async with asking(stage, body) as client:
            await eventually(lambda: enclave.asked and not stage.gateway.board.busy("enclave"))
            client.leave()
        row = await last_entry(stage)
        assert (row.status, row.usage.estimated, row.usage.input_tokens) == (Status.CLIENT_GONE, True, len(body) // 4)
        await asyncio.sleep(0.1)
        assert (len(enclave.asked), stage.under_way) == (1, 0)


async def test_pauses_end_with_the_request(socket_dir: Path) -> None:
    settings = {"timeouts": {"total": 0.5}}
    async with (
        scripted_enclave(failing("503 Busy", "retry-after: 2\r\n")) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, gateway=settings)) as stage,
    ):
        response = await stage.chat()
        assert (response.status_code, response.headers["retry-after"], len(enclave.asked)) == (502, "2", 1)


# Trust


async def test_a_refusal_behind_a_prompt_that_left_does_not_say_that_nothing_left(socket_dir: Path) -> None:
    async with (
        scripted_enclave(BUSY) as first,
        SimEnclave(SimOptions(broken="debug-bit")) as refused,
        opened(socket_dir, configuration({"first": first, "refused": refused}, routing={"attempts": 2})) as stage,
    ):
        response = await stage.chat()
        assert (response.status_code, error_of(response)["code"]) == (502, "upstream_error")
        assert "not forwarded" not in response.text
        row = await stage.entry(response)
        assert (row.status, row.upstream) == (Status.UPSTREAM_FAILED, "first")
        assert row.session_id == stage.gateway.keepers["first"].state().session_id
        assert "request.forwarded" in await types(stage, response)
        assert refused.counters.prompt_bytes == 0


async def test_after_a_refusal_no_attempt_is_left_for_a_lower_level(socket_dir: Path) -> None:
    async with (
        SimEnclave(SimOptions(broken="debug-bit")) as refused,
        scripted_enclave(GOOD) as lower,
        opened(socket_dir, configuration({"refused": refused, "lower": lower})) as stage,
    ):
        stage.gateway.levels["refused"] = Level.TEE
        response = await stage.chat()
        assert (response.status_code, error_of(response)["code"]) == (503, "upstream_verification_failed")
        assert lower.asked == []
        assert "x-ollm-attempts" not in response.headers


# Breakers


BREAKER = {"breaker": {"failures": 2, "open_seconds": 0.4}, "attempts": 1}


async def test_a_route_that_fails_is_left_alone_probed_once_and_used_again(socket_dir: Path) -> None:
    async with scripted_enclave(BUSY) as enclave, opened(socket_dir, configuration({"enclave": enclave}, routing=BREAKER)) as stage:
        for _ in range(2):
            assert (await stage.chat()).status_code == 502
        response = await stage.chat()
        assert (response.status_code, error_of(response)["code"], response.headers["retry-after"]) == (503, "upstream_unavailable", "1")
        assert len(enclave.asked) == 2
        assert (await stage.entry(response)).status is Status.UPSTREAM_FAILED
        assert "request.forwarded" not in await types(stage, response)
        assert stage.gateway.seen(MODEL, "enclave").state is State.OPEN

        await eventually(lambda: stage.gateway.seen(MODEL, "enclave").due_in == 0)
        enclave.script = held
        probe = asyncio.create_task(stage.chat())
        await eventually(lambda: len(enclave.asked) == 3)
        others = await asyncio.gather(*(stage.chat() for _ in range(5)))
        assert {other.status_code for other in others} == {503}
        enclave.script = GOOD
        enclave.asked[2].go_on.set()
        assert (await probe).status_code == 200
        assert len(enclave.asked) == 3, "one probe"
        assert (await stage.chat()).status_code == 200
        assert stage.gateway.seen(MODEL, "enclave").state is State.CLOSED


async def held(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """A good answer, once the test says so."""
    await asked.go_on.wait()
    return await GOOD(asked, reader, writer)


async def test_errors_that_are_the_clients_leave_it_closed(socket_dir: Path) -> None:
    script = one_after_the_other(*[failing(status) for status in ("400 Bad", "404 Gone", "429 Slow", "401 Who", "422 No")])
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave}, routing=BREAKER)) as stage:
        for _ in range(8):
            assert (await stage.chat()).status_code != 503
        assert len(enclave.asked) == 8


async def test_a_route_that_rests_comes_behind_the_others_and_is_the_last_resort(socket_dir: Path) -> None:
    async with (
        scripted_enclave(BUSY) as first,
        scripted_enclave(GOOD) as second,
        opened(socket_dir, configuration({"first": first, "second": second}, routing={**BREAKER, "attempts": 2})) as stage,
    ):
        for _ in range(4):
            assert (await stage.chat()).status_code == 200
        assert (len(first.asked), len(second.asked)) == (2, 4)
        first.script, second.script = GOOD, BUSY
        response = await stage.chat()
        assert (response.status_code, (await stage.entry(response)).upstream) == (200, "first")


async def test_one_broken_model_does_not_take_the_others_with_it(socket_dir: Path) -> None:
    models = {MODEL: {"upstreams": ["enclave"]}, "other": {"upstreams": ["enclave"]}}
    async with (
        scripted_enclave(BUSY) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, models=models, routing=BREAKER)) as stage,
    ):
        for _ in range(3):
            await stage.chat()
        enclave.script = GOOD
        assert (await stage.chat()).status_code == 503
        assert (await stage.chat(model="other")).status_code == 200


async def test_answers_that_break_off_count_as_failures(socket_dir: Path) -> None:
    cut = stalling(b'{"id"', kind="application/json")
    settings = {"timeouts": {"idle": 0.2}}
    async with (
        scripted_enclave(cut) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, gateway=settings, routing=BREAKER)) as stage,
    ):
        assert [(await stage.chat()).status_code for _ in range(3)] == [504, 504, 503]


# Keys


async def keyed(folder: Path, enclave: ScriptedEnclave, *keys: str, **settings: Any) -> dict[str, Any]:
    for key in keys:
        (folder / key).write_text(key)
        (folder / key).chmod(0o600)
    return configuration({"enclave": enclave}, upstream={"api_keys": [f"file:{key}" for key in keys]}, **settings)


def shown(enclave: ScriptedEnclave) -> list[str]:
    lines = [line for asked in enclave.asked for line in asked.head.decode().split("\r\n") if line.startswith("authorization")]
    return [line.removeprefix("authorization: Bearer ") for line in lines]


def by_key(**answers: Script) -> Script:
    async def script(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        key = next(name for name in answers if f"Bearer {name}\r\n" in asked.head.decode())
        return await answers[key](asked, reader, writer)

    return script


async def test_keys_take_turns(socket_dir: Path) -> None:
    async with scripted_enclave(GOOD) as enclave, opened(socket_dir, await keyed(socket_dir, enclave, "one", "two")) as stage:
        for _ in range(4):
            assert (await stage.chat()).status_code == 200
        assert sorted(shown(enclave)[:2]) == ["one", "two"] and shown(enclave)[:2] == shown(enclave)[2:]


@pytest.mark.parametrize("status", ["401 Who", "402 Pay", "403 No"])
async def test_a_key_that_is_refused_gives_way_to_the_next_at_once_and_stays_aside(status: str, socket_dir: Path) -> None:
    script = by_key(one=failing(status), two=GOOD)
    async with (
        scripted_enclave(script) as enclave,
        opened(socket_dir, await keyed(socket_dir, enclave, "one", "two", routing={"backoff": 5.0})) as stage,
    ):
        for _ in range(4):
            assert (await asyncio.wait_for(stage.chat(), 2)).status_code == 200
        assert shown(enclave).count("one") == 1


async def test_a_key_that_is_limited_gives_way_too(socket_dir: Path) -> None:
    script = by_key(one=failing("429 Slow", "retry-after: 60\r\n"), two=GOOD)
    async with scripted_enclave(script) as enclave, opened(socket_dir, await keyed(socket_dir, enclave, "one", "two")) as stage:
        for _ in range(4):
            assert (await stage.chat()).status_code == 200
        assert shown(enclave).count("one") == 1


async def test_with_all_keys_refused_the_operator_is_named(socket_dir: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with (
        scripted_enclave(failing("401 Who")) as enclave,
        opened(socket_dir, await keyed(socket_dir, enclave, "canary-one", "canary-two")) as stage,
    ):
        response = await stage.chat()
        assert (response.status_code, error_of(response)["code"]) == (502, "upstream_credentials")
        assert sorted(shown(enclave)) == ["canary-one", "canary-two"]
        assert (await stage.chat()).status_code == 502
        assert len(enclave.asked) == 3
        assert "canary" not in response.text + caplog.text


async def test_another_provider_serves_when_one_has_no_good_key(socket_dir: Path) -> None:
    async with (
        scripted_enclave(failing("401 Who")) as first,
        scripted_enclave(GOOD) as second,
        opened(socket_dir, configuration({"first": first, "second": second})) as stage,
    ):
        assert (await stage.chat()).status_code == 200
        assert (len(first.asked), len(second.asked)) == (1, 1)


# Preferences


async def test_preferences_decide_among_what_may_serve(socket_dir: Path) -> None:
    async with (
        scripted_enclave(GOOD) as a,
        scripted_enclave(GOOD) as b,
        scripted_enclave(GOOD) as c,
        opened(socket_dir, configuration({"a": a, "b": b, "c": c})) as stage,
    ):

        async def served(**provider: Any) -> str | None:
            response = await stage.chat(provider=provider)
            assert response.status_code == 200, response.text
            return (await stage.entry(response)).upstream

        assert await served() == "a"
        assert await served(order=["c", "b"]) == "c"
        assert await served(only=["b"]) == "b"
        assert await served(ignore=["a"]) == "b"
        assert await served(max_price={"prompt": 0.15, "completion": 0.6}) == "a"
        assert await served(require_parameters=True) == "a"
        assert "provider" not in json.loads(a.asked[-1].body)
        c.script = BUSY
        assert await served(order=["c"]) in ("a", "b")
        response = await stage.chat(provider={"order": ["c"], "allow_fallbacks": False})
        assert (response.status_code, response.headers["x-ollm-attempts"]) == (502, "3")


@pytest.mark.parametrize(
    "provider",
    [{"max_price": {"prompt": 0.1499}}, {"max_price": {"completion": 0.59}}, {"only": ["other"]}, {"ignore": ["enclave"]}],
)
async def test_preferences_that_leave_nobody_are_a_refusal_with_a_receipt(provider: dict[str, Any], socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave, SimEnclave(SimOptions()) as other:
        tree = configuration({"enclave": enclave, "other": other})
        tree["models"][MODEL]["upstreams"] = ["enclave"]
        async with opened(socket_dir, tree) as stage:
            response = await stage.chat(provider=provider)
            assert (response.status_code, error_of(response)["code"]) == (412, "preferences_not_met")
            assert response.headers["x-should-retry"] == "false"
            assert (await stage.entry(response)).status is Status.REFUSED
            assert await types(stage, response) == ["request.received", "ollm.config", "upstream.verified", "response.returned"]
            assert enclave.counters.prompt_bytes == other.counters.prompt_bytes == 0


async def test_an_upstream_that_is_not_configured_can_not_be_preferred(stage: Stage) -> None:
    response = await stage.chat(provider={"only": ["canary-77"]})
    assert (response.status_code, error_of(response)["param"]) == (400, "provider")
    assert "canary" not in response.text
    assert stage.enclave.counters.prompt_bytes == 0


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"x-ollm-require": "tee"}, 403),
        ({"x-ollm-require": "zdr"}, 403),
        ({"x-ollm-require": "simulated"}, 200),
        ({"x-ollm-require": "all"}, 400),
        ({"x-ollm-sessions": "ab" * 32}, 412),
        ({"x-ollm-sessions": "ab"}, 400),
    ],
)
async def test_headers_demand_as_the_body_does(headers: dict[str, str], status: int, stage: Stage) -> None:
    response = await stage.http.post(CHAT, content=chat_body(), headers=headers)
    assert response.status_code == status
    assert (stage.enclave.counters.prompt_bytes > 0) is (status == 200)


async def test_the_session_that_a_header_names_serves(stage: Stage) -> None:
    session = await stage.gateway.keepers["enclave"].session(5)
    sessions = f"{'ab' * 32}, {session.session_id}"
    assert (await stage.http.post(CHAT, content=chat_body(), headers={"x-ollm-sessions": sessions})).status_code == 200
    other = chat_body(provider={"aci_session_ids": [session.session_id]})
    assert (await stage.http.post(CHAT, content=other, headers={"x-ollm-sessions": "ab" * 32})).status_code == 400


async def test_zdr_true_is_a_demand_and_false_is_none(stage: Stage) -> None:
    assert (await stage.chat(provider={"zdr": True})).status_code == 403
    assert (await stage.chat(provider={"zdr": False})).status_code == 200


# Names and choice


async def test_an_alias_is_echoed_and_booked_under_the_models_own_name(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as enclave:
        tree = configuration({"enclave": enclave}, models=model(["enclave"], aliases=["gpt-5", "fast"], price={"input": 1, "output": 1}))
        async with opened(socket_dir, tree) as stage:
            for streamed in (False, True):
                response = await stage.chat(model="gpt-5", stream=streamed)
                assert response.status_code == 200
                assert b'"model":"gpt-5"' in response.content and b'"sim-chat"' not in response.content
                row = await stage.entry(response)
                assert (row.model, row.cost_micro is not None) == (MODEL, True)
                assert (await stage.receipt(response))["model"] == "gpt-5"
            assert (await stage.http.get("/v1/models/fast")).status_code == 200
            assert len((await stage.http.get("/v1/aci/sessions?model=fast")).json()["sessions"]) == 1


async def test_weights_share_requests_out(socket_dir: Path) -> None:
    async with SimEnclave(SimOptions()) as a, SimEnclave(SimOptions()) as b:
        tree = configuration({"a": a, "b": b}, models=model(["a", "b"], choose="weighted", weights={"a": 1, "b": 1000}))
        async with opened(socket_dir, tree) as stage:
            await eventually(lambda: all(keeper.held() for keeper in stage.gateway.keepers.values()))
            for _ in range(8):
                assert (await stage.chat()).status_code == 200
            assert b.counters.prompt_requests >= 7


async def test_the_least_busy_serves(socket_dir: Path) -> None:
    hold = stream(b'data: {"choices":[{"index":0}]}\n\n', DONE, held=1)
    async with scripted_enclave(hold) as a, scripted_enclave(GOOD) as b:
        tree = configuration({"a": a, "b": b}, models=model(["a", "b"], choose="least_busy"))
        async with opened(socket_dir, tree) as stage:
            await eventually(lambda: all(keeper.held() for keeper in stage.gateway.keepers.values()))
            async with asking(stage, chat_body(stream=True)) as client:
                await client.read_until(b'"index":0')
                assert stage.gateway.board.busy("a") == 1
                assert (await stage.entry(await stage.chat())).upstream == "b"
                a.asked[0].go_on.set()
                await client.read_until(b"[DONE]")
            await eventually(lambda: stage.gateway.board.busy("a") == 0)


async def test_the_quicker_one_serves_once_both_are_known(socket_dir: Path) -> None:
    async def slow(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await asyncio.sleep(0.3)
        return await GOOD(asked, reader, writer)

    async with scripted_enclave(slow) as a, scripted_enclave(GOOD) as b:
        tree = configuration({"a": a, "b": b}, models=model(["a", "b"], choose="latency"))
        async with opened(socket_dir, tree) as stage:
            await eventually(lambda: all(keeper.held() for keeper in stage.gateway.keepers.values()))
            for _ in range(6):
                assert (await stage.chat()).status_code == 200
            assert (len(a.asked), len(b.asked)) == (1, 5)
            assert (await stage.entry(await stage.chat(provider={"sort": "latency"}))).upstream == "b"
            seen = [stage.gateway.seen(MODEL, name).first_seconds or 0.0 for name in "ab"]
            assert seen[0] > 0.3 > seen[1]
