"""The way of a prompt, whole: what arrives, what is kept, and what never leaves."""

from pathlib import Path

import pytest

from ollm.sim.breaks import BREAKS, Break
from ollm.sim.service import SimEnclave, SimOptions
from ollm.values.hexes import sha256_of
from ollm.values.ledger import Status
from tests.stage import MODEL, Stage, chat_body, configuration, error_of, opened, stem
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
