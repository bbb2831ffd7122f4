"""The way of a prompt, whole: what arrives, what is kept, and what never leaves."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from ollm.seal import ehbp
from ollm.sim.breaks import BREAKS, Break
from ollm.sim.service import SimEnclave, SimOptions
from ollm.values.hexes import sha256_of
from ollm.values.ledger import Status
from ollm.values.level import Level
from tests.scripted_enclave import Asked, Script, answer, raw, reset, scripted_enclave, silent, stalling
from tests.stage import CHAT, MODEL, PROMPT, Stage, asking, chat_body, configuration, error_of, eventually, last_entry, opened, staged, stem
from tests.wiretap import tapped

LONG_PROMPT = "a patient's whole file, " * 2800  # 64 KiB: nothing of that size can hide in a handshake
HANDSHAKE_BYTES = 8 * 1024  # a TLS 1.3 client's handshake and two small requests, with room; far from a prompt's size


async def test_a_whole_chat(stage: Stage) -> None:
    body = chat_body()
    response = await stage.http.post("/v1/chat/completions", content=body)

    assert response.status_code == 200
    answer = response.json()
    assert answer["id"] == f"chatcmpl-{stem(response)}"
    assert answer["model"] == MODEL
    assert "Hello there" in answer["choices"][0]["message"]["content"]
    assert response.headers["x-receipt-id"] == f"rcpt_{stem(response)}"
    assert response.headers["x-ollm-execution"] == "simulated"

    entry = await stage.entry(response)
    assert (entry.status, entry.http_status, entry.streamed) == (Status.COMPLETED, 200, False)
    assert entry.usage.input_tokens == answer["usage"]["prompt_tokens"]
    assert entry.usage.output_tokens == answer["usage"]["completion_tokens"]

    receipt = await stage.receipt(response)
    hashes = {event["type"]: event.get("body_hash") for event in receipt["event_log"]}
    assert hashes["request.received"] == sha256_of(body)
    assert hashes["response.returned"] == sha256_of(response.content)


@pytest.mark.parametrize("entry", BREAKS.values(), ids=BREAKS.keys())
async def test_a_broken_machine_gets_no_byte_of_a_prompt(entry: Break, socket_dir: Path) -> None:
    async with SimEnclave(SimOptions(broken=entry.kind)) as enclave, tapped(enclave) as tap:
        async with opened(socket_dir, configuration({"enclave": tap})) as stage:
            body = chat_body(LONG_PROMPT)
            response = await stage.http.post("/v1/chat/completions", content=body)

            assert response.status_code == 503
            error = error_of(response)
            assert error["code"] == error["type"] == "upstream_verification_failed"
            assert any(f"({check}: " in error["message"] for check in entry.checks)
            assert "was not forwarded" in error["message"]

            receipt = await stage.receipt(response)
            log = {event["type"]: event for event in receipt["event_log"]}
            assert log["upstream.verified"]["result"] == "failed"
            assert log["upstream.verified"]["required"] is True
            assert log["upstream.verified"]["upstream_name"] == "enclave"
            assert any(str(log["upstream.verified"]["reason"]).startswith(f"{check}: ") for check in entry.checks)
            assert "request.forwarded" not in log
            assert log["request.received"]["body_hash"] == sha256_of(body)
            assert log["response.returned"]["body_hash"] == sha256_of(response.content)

            row = await stage.entry(response)
            assert (row.status, row.http_status, row.session_id) == (Status.REFUSED, 503, None)
            assert (row.model, row.upstream) == (MODEL, "enclave")
            assert stage.under_way == 0

        assert enclave.counters.prompt_requests == enclave.counters.prompt_bytes == 0
        assert tap.sent, "the machine was asked for evidence"
        assert tap.sent_bytes < len(tap.sent) * HANDSHAKE_BYTES
        assert tap.largest_record < 2048


async def test_the_wiretap_sees_a_prompt_that_is_sent(socket_dir: Path) -> None:
    """The bound of the test above would not hold if a prompt went through, sealed as it would be."""
    async with SimEnclave(SimOptions()) as enclave, tapped(enclave) as tap, opened(socket_dir, configuration({"enclave": tap})) as stage:
        assert (await stage.chat(LONG_PROMPT)).status_code == 200
        assert enclave.counters.prompt_bytes > len(LONG_PROMPT)
        assert tap.sent_bytes > len(LONG_PROMPT)
        assert tap.largest_record > 2048


# What the provider is sent


async def test_the_provider_gets_the_prompt_untouched_and_nothing_else_of_the_client(socket_dir: Path) -> None:
    async with scripted_enclave(answer(b'{"choices":[]}')) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        odd = b'{"model": "demo", "messages": [ {"role":"user","content":"\\u00e9 1.0"} ], "temperature":1.50, "x":{"b":1,"a":2}, "n":1e0}'
        headers = {"x-client": "fingerprint", "user-agent": "openai/1", "cookie": "a=b", "openai-organization": "acme"}
        response = await stage.http.post(CHAT, content=odd, headers=headers)
        assert response.status_code == 200
        asked = enclave.asked[0]
        assert (
            asked.body == b'{"model":"sim-chat","messages":[ {"role":"user","content":"\\u00e9 1.0"} ],"temperature":1.50,"x":{"b":1,"a":2},"n":1e0}'
        )
        lines = asked.head.decode().split("\r\n")
        assert lines[0] == f"POST {CHAT} HTTP/1.1"
        names = [line.partition(":")[0] for line in lines[1:-2]]
        assert names == ["host", "user-agent", "accept", "content-type", "content-length", "ehbp-encapsulated-key"]
        assert "fingerprint" not in asked.head.decode() and stage.api_key not in asked.head.decode()

        log = {event["type"]: event for event in (await stage.receipt(response))["event_log"]}
        assert log["request.received"]["body_hash"] == sha256_of(odd)
        assert log["request.forwarded"]["body_hash"] == sha256_of(asked.body)


async def test_the_operators_credential_goes_to_the_provider_and_the_callers_does_not(socket_dir: Path) -> None:
    (socket_dir / "credential").write_text("sk-provider\n")
    (socket_dir / "credential").chmod(0o600)
    async with staged(socket_dir, SimOptions(api_key="sk-provider"), upstream={"api_key": "file:credential"}) as stage:
        assert (await stage.chat()).status_code == 200


async def test_without_a_credential_the_operator_is_named_not_the_caller(socket_dir: Path) -> None:
    async with staged(socket_dir, SimOptions(api_key="sk-provider")) as stage:
        response = await stage.chat()
        assert (response.status_code, error_of(response)["code"]) == (502, "upstream_credentials")


async def test_a_route_without_sealing_relies_on_the_attested_channel_alone(socket_dir: Path) -> None:
    async with staged(socket_dir, SimOptions(allow_plaintext=True), upstream={"seal": "tls"}) as stage:
        for stream in (False, True):
            response = await stage.chat(stream=stream)
            assert response.status_code == 200
            receipt = await stage.receipt(response)
            assert "ollm.sealed" not in [event["type"] for event in receipt["event_log"]]
        session = (await stage.http.get(f"/v1/aci/sessions/{(await stage.entry(response)).session_id}")).json()
        assert [binding["type"] for binding in session["channel_binding"]] == ["tls_spki_sha256"]


async def test_the_receipt_of_the_gateway_and_that_of_the_enclave_name_the_same_prompt(stage: Stage) -> None:
    response = await stage.chat()
    forwarded = next(event for event in (await stage.receipt(response))["event_log"] if event["type"] == "request.forwarded")
    kept = stage.enclave.enclave._kept._kept.values()
    received = json.loads(next(iter(kept)).document)["event_log"][0]
    assert received == {"type": "request.received", "body_hash": forwarded["body_hash"]}


# What the provider may do


ECHO = json.dumps({"error": {"message": f"can't serve: {PROMPT}", "type": "invalid_request_error", "code": PROMPT}}).encode()


@pytest.mark.parametrize(
    ("theirs", "ours", "code"),
    [
        ("400 Bad Request", 400, "upstream_rejected"),
        ("413 Content Too Large", 400, "upstream_rejected"),
        ("401 Unauthorized", 502, "upstream_credentials"),
        ("403 Forbidden", 502, "upstream_credentials"),
        ("404 Not Found", 502, "upstream_model_missing"),
        ("429 Too Many Requests", 429, "upstream_rate_limited"),
        ("500 Internal Server Error", 502, "upstream_error"),
        ("503 Service Unavailable", 502, "upstream_error"),
        ("302 Found", 502, "upstream_error"),
        ("204 No Content", 502, "upstream_error"),
    ],
)
async def test_a_providers_error_becomes_ours_and_its_text_is_not_passed_on(theirs: str, ours: int, code: str, socket_dir: Path) -> None:
    script = answer(ECHO, status=theirs, extra="retry-after: 7\r\nx-echo: Hello there\r\n")
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat()
        assert (response.status_code, error_of(response)["code"]) == (ours, code)
        assert PROMPT not in response.text + str(response.headers)
        assert response.headers.get("retry-after") == ("7" if ours == 429 or theirs.startswith("503") else None)
        assert (await stage.entry(response)).status is Status.UPSTREAM_FAILED
        await stage.receipt(response)
        assert len(enclave.asked) == 1


@pytest.mark.parametrize(
    ("script", "phase"),
    [
        pytest.param(reset, "headers", id="reset before the headers"),
        pytest.param(raw(b""), "headers", id="closed before the headers"),
        pytest.param(raw(b"HTTP/1.1 200"), "headers", id="closed in the headers"),
        pytest.param(raw(b"SSH-2.0-OpenSSH\r\n"), "headers", id="another protocol"),
        pytest.param(raw(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 300_000 + b"\r\n"), "headers", id="headers without end"),
        pytest.param(raw(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n"), "headers", id="an upgrade"),
    ],
)
async def test_a_broken_answer_names_the_phase_and_is_not_tried_again(script: Script, phase: str, socket_dir: Path) -> None:
    async with scripted_enclave(script) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat()
        assert response.status_code == 502
        assert error_of(response)["code"] == "upstream_error"
        assert f"(phase: {phase})" in error_of(response)["message"]
        assert (await stage.entry(response)).status is Status.UPSTREAM_FAILED
        assert len(enclave.asked) == 1, "bytes may have left: it is not sent twice"


@pytest.mark.parametrize(
    ("script", "timeouts", "phase"),
    [
        pytest.param(silent, {"headers": 0.3}, "headers", id="no headers"),
        pytest.param(stalling(kind="application/json"), {"idle": 0.3}, "first_byte", id="no first byte"),
        pytest.param(stalling(b'{"id"', kind="application/json"), {"idle": 0.3}, "stream", id="silence in the middle"),
        pytest.param(silent, {"total": 0.3}, "total", id="the whole takes too long"),
        pytest.param(stalling(b'{"id"', kind="application/json"), {"total": 0.3}, "total", id="the whole takes too long, in the middle"),
    ],
)
async def test_a_slow_provider_is_given_up_in_time(script: Script, timeouts: dict[str, float], phase: str, socket_dir: Path) -> None:
    async with (
        scripted_enclave(script) as enclave,
        opened(socket_dir, configuration({"enclave": enclave}, gateway={"timeouts": timeouts})) as stage,
    ):
        response = await stage.chat()
        assert (response.status_code, error_of(response)["code"]) == (504, "upstream_timeout")
        assert f"(phase: {phase})" in error_of(response)["message"]
        await asyncio.wait_for(enclave.gone.wait(), 1)
        assert (await stage.entry(response)).http_status == 504


# Keys that change


def key_problem(times: int) -> Script:
    """Says `times` times that the body was sealed to another key (EHBP §5.4), then answers."""
    refused = 0

    async def script(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        nonlocal refused
        refused += 1
        if refused > times:
            return await answer(b'{"choices":[]}')(asked, reader, writer)
        head = f"HTTP/1.1 422 Unprocessable Content\r\ncontent-type: {ehbp.PROBLEM_MEDIA_TYPE}\r\ncontent-length: {len(ehbp.KEY_PROBLEM)}\r\n\r\n"
        return await raw(head.encode() + ehbp.KEY_PROBLEM, keep=True)(asked, reader, writer)

    return script


async def test_a_sealing_key_that_is_no_longer_held_is_verified_again_once(socket_dir: Path) -> None:
    async with scripted_enclave(key_problem(1)) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat()
        assert response.status_code == 200
        assert (len(enclave.asked), enclave.reports) == (2, 2)
        receipt = await stage.receipt(response)
        types = [event["type"] for event in receipt["event_log"]]
        assert types.count("request.forwarded") == 1
        assert types.count("ollm.sealed") == 2  # what the machine could not open had left all the same
        assert types.index("ollm.sealed") < types.index("request.forwarded")
        assert stage.under_way == 0


async def test_a_sealing_key_that_is_never_held_is_a_refusal(socket_dir: Path) -> None:
    async with scripted_enclave(key_problem(9)) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        response = await stage.chat()
        assert response.status_code == 503
        assert error_of(response)["code"] == "upstream_verification_failed"
        assert len(enclave.asked) == 2
        entry = await stage.entry(response)
        assert (entry.status, entry.session_id) == (Status.REFUSED, None)
        log = {event["type"]: event for event in (await stage.receipt(response))["event_log"]}
        assert log["upstream.verified"]["result"] == "failed"
        assert "request.forwarded" not in log
        assert "ollm.sealed" in log
        assert stage.under_way == 0


async def test_nor_does_it_lead_to_a_lower_level(socket_dir: Path) -> None:
    async with (
        scripted_enclave(key_problem(9)) as enclave,
        SimEnclave(SimOptions()) as lower,
        opened(socket_dir, configuration({"enclave": enclave, "lower": lower})) as stage,
    ):
        stage.gateway.levels["enclave"] = Level.TEE
        assert (await stage.chat()).status_code == 503
        assert lower.counters.prompt_bytes == 0
        stage.gateway.levels["enclave"] = Level.SIMULATED
        assert (await stage.chat()).status_code == 200
        assert lower.counters.prompt_requests == 1


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_a_machine_that_restarts_with_new_keys_is_verified_again_before_it_gets_the_prompt(socket_dir: Path) -> None:
    state = socket_dir / "hardware"
    async with SimEnclave(SimOptions(state_dir=state)) as first:
        again = SimOptions(state_dir=state, port=port_of(first.url), pcs_port=port_of(first.pcs_url))
        async with tapped(first) as tap, opened(socket_dir, configuration({"enclave": tap})) as stage:
            before = await stage.chat()
            assert before.status_code == 200
            await first.stop()
            async with SimEnclave(again) as second:
                assert second.spki_sha256 != first.spki_sha256
                connections = len(tap.sent)
                after = await stage.chat(LONG_PROMPT)
                assert after.status_code == 200
                assert (await stage.entry(after)).session_id != (await stage.entry(before)).session_id
                assert second.counters.prompt_requests == 1
                assert len(tap.sent) == connections + 2
                assert len(tap.sent[connections]) < HANDSHAKE_BYTES, "the connection with the unknown key carries a handshake alone"


async def test_a_machine_that_comes_back_as_another_gets_nothing(socket_dir: Path) -> None:
    """What answers at the same address now is genuine hardware of another owner: refused, and the row says so."""
    async with SimEnclave(SimOptions()) as first:
        again = SimOptions(port=port_of(first.url), pcs_port=port_of(first.pcs_url))
        async with tapped(first) as tap, opened(socket_dir, configuration({"enclave": tap})) as stage:
            assert (await stage.chat()).status_code == 200
            await first.stop()
            async with SimEnclave(again) as other:
                connections = len(tap.sent)
                response = await stage.chat(LONG_PROMPT)
                assert response.status_code == 503
                assert "(chain.root: " in error_of(response)["message"]
                entry = await stage.entry(response)
                assert (entry.status, entry.session_id, entry.level) == (Status.REFUSED, None, None)
                assert "request.forwarded" not in [event["type"] for event in (await stage.receipt(response))["event_log"]]
                assert (stage.under_way, other.counters.prompt_bytes) == (0, 0)
                assert all(len(stream) < HANDSHAKE_BYTES for stream in tap.sent[connections:])


# Several machines


async def test_the_next_upstream_serves_when_the_first_is_not_verified(socket_dir: Path) -> None:
    async with (
        SimEnclave(SimOptions(broken="debug-bit")) as bad,
        SimEnclave(SimOptions()) as good,
        opened(socket_dir, configuration({"bad": bad, "good": good})) as stage,
    ):
        response = await stage.chat()
        assert response.status_code == 200
        assert (await stage.entry(response)).upstream == "good"
        assert bad.counters.prompt_bytes == 0
        log = (await stage.receipt(response))["event_log"]
        assert [event["result"] for event in log if event["type"] == "upstream.verified"] == ["verified"]


async def test_the_next_upstream_serves_when_the_first_cant_be_reached_any_more(socket_dir: Path) -> None:
    async with (
        SimEnclave(SimOptions()) as gone,
        SimEnclave(SimOptions()) as there,
        opened(socket_dir, configuration({"gone": gone, "there": there})) as stage,
    ):
        assert (await stage.entry(await stage.chat())).upstream == "gone"
        await gone.stop()
        response = await stage.chat()
        assert response.status_code == 200
        assert (await stage.entry(response)).upstream == "there"
        log = (await stage.receipt(response))["event_log"]
        assert [event["type"] for event in log].count("request.forwarded") == 1
        assert stage.under_way == 0


async def test_when_no_upstream_can_be_reached_the_phase_is_connect(socket_dir: Path) -> None:
    async with staged(socket_dir) as stage:
        await stage.gateway.keepers["enclave"].session(5)
        await stage.enclave.stop()
        response = await stage.chat()
        assert response.status_code == 502
        assert "(phase: connect)" in error_of(response)["message"]
        assert (await stage.entry(response)).status is Status.UPSTREAM_FAILED
        assert "request.forwarded" not in [event["type"] for event in (await stage.receipt(response))["event_log"]]


async def test_a_request_that_waits_for_a_connection_outlives_the_renewal_of_its_session(socket_dir: Path) -> None:
    async with staged(socket_dir, upstream={"max_connections": 1}) as stage:
        keeper = stage.gateway.keepers["enclave"]
        old = await keeper.session(5)
        async with asking(stage, chat_body(model="sim-slow-headers")):
            await eventually(lambda: stage.under_way == 1)
            waiting = asyncio.create_task(stage.chat())
            await eventually(lambda: stage.under_way == 2)
            keeper.distrust(old)
            response = await asyncio.wait_for(waiting, 4)
        assert response.status_code == 200
        assert (await stage.entry(response)).session_id != old.session_id


# Content stays out


async def test_no_trace_of_a_prompt_is_kept(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    canary = "canary-5b1f0c"
    for members in ({}, {"stream": True}, {"model": "sim-error-500"}, {"model": "sim-cut", "stream": True}, {"model": canary}):
        await stage.http.post(CHAT, content=chat_body(canary, **members))
    await last_entry(stage)
    kept = b"".join(path.read_bytes() for path in stage.loaded.directory.rglob("*") if path.is_file())
    assert re.search(rb"demo", kept), "the ledger is among the files"
    assert canary.encode() not in kept
    assert canary not in caplog.text
    assert stem(await stage.chat()).encode() in b"".join(path.read_bytes() for path in (stage.loaded.path("state")).iterdir() if path.is_file())
