"""What the gateway proves about itself and about each request, and to whom."""

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ollm.attest.tdx.layout import parse_quote
from ollm.receipts.session import evidence_of, verify_session
from ollm.store.keys import parse_key
from ollm.values.aci import parse_keyset, report_data
from ollm.values.hexes import hex32
from tests.stage import Stage, error_of, eventually, staged, stem

pytestmark = pytest.mark.asyncio(loop_scope="module")

ATTESTATION = "/v1/aci/attestation"
NONCE = "5a" * 32


def told(response: httpx2.Response) -> tuple[int, dict[str, str], bytes]:
    """All of an answer that a caller sees, without the id that each request has."""
    headers = dict(response.headers)
    del headers["x-request-id"]
    return response.status_code, headers, response.content


async def anonymous(stage: Stage, path: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=stage.url, timeout=10) as http:
        return await http.get(path)


def quoted(report: dict[str, Any]) -> bytes:
    """The report data that the hardware signed."""
    return parse_quote(bytes.fromhex(report["attestation"]["evidence"]["quote"])).td_report.report_data


# The gateway's own evidence


async def test_anyone_gets_evidence_over_a_nonce_of_his_own(shared: Stage) -> None:
    response = await anonymous(shared, f"{ATTESTATION}?nonce={NONCE}")
    assert response.status_code == 200
    report = response.json()
    keyset, digest = parse_keyset(report["attestation"]["workload_keyset"])
    assert quoted(report) == report_data(digest, hex32(NONCE))
    assert report["workload_keyset_digest"] == digest == response.headers["x-aci-keyset-digest"]
    assert keyset.subject == f"ollm-config:{shared.loaded.digest}"
    assert report["service_capabilities"]["serving"] == "aggregator"


async def test_without_a_nonce_the_statement_says_so(shared: Stage) -> None:
    report = (await anonymous(shared, ATTESTATION)).json()
    _, digest = parse_keyset(report["attestation"]["workload_keyset"])
    assert quoted(report) == report_data(digest, None)


@pytest.mark.parametrize("nonce", ["", "5a", "5a" * 31, "5a" * 33, "5A" * 32, "zz" * 32, "%00" * 32, "5a" * 32 + "%0a"])
async def test_a_nonce_that_is_none_is_refused(nonce: str, shared: Stage) -> None:
    response = await anonymous(shared, f"{ATTESTATION}?nonce={nonce}")
    assert response.status_code == 400
    assert (error_of(response)["code"], error_of(response)["param"]) == ("invalid_nonce", "nonce")


@pytest.mark.parametrize("query", [f"nonce={NONCE}&nonce={NONCE}", "nonce=%ff", "&".join(f"f{number}=1" for number in range(40))])
async def test_a_query_that_is_ambiguous_is_refused(query: str, shared: Stage) -> None:
    response = await anonymous(shared, f"{ATTESTATION}?{query}")
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_query")


async def test_a_gateway_that_can_not_attest_itself_says_so(socket_dir: Path) -> None:
    async with staged(socket_dir) as stage:
        response = await anonymous(stage, f"{ATTESTATION}?nonce={NONCE}")
        assert (response.status_code, error_of(response)["code"]) == (503, "attestation_unavailable")
        assert (await anonymous(stage, f"{ATTESTATION}?nonce=5a")).status_code == 400


# Receipts


async def test_a_receipt_is_found_by_each_id_of_its_request(shared: Stage) -> None:
    answer = await shared.chat()
    names = [answer.headers["x-receipt-id"], answer.json()["id"], answer.headers["x-request-id"]]
    receipts = {(await shared.http.get(f"/v1/aci/receipts/{name}")).content for name in names}
    assert len(receipts) == 1
    receipt = await shared.receipt(answer)
    assert [receipt["receipt_id"], receipt["chat_id"]] == names[:2]


async def test_a_receipt_without_a_key_or_with_a_bad_one(shared: Stage) -> None:
    name = (await shared.chat()).headers["x-receipt-id"]
    nobody = await anonymous(shared, f"/v1/aci/receipts/{name}")
    assert (nobody.status_code, error_of(nobody)["code"]) == (401, "unauthorized")
    wrong = shared.api_key[:-2] + ("AA" if not shared.api_key.endswith("AA") else "QA")
    refused = await shared.http.get(f"/v1/aci/receipts/{name}", headers={"authorization": f"Bearer {wrong}"})
    assert (refused.status_code, error_of(refused)["code"]) == (401, "invalid_api_key")
    assert told(nobody) == told(await anonymous(shared, f"/v1/aci/receipts/rcpt_{'0' * 32}")), "nobody learns which receipts there are"


async def test_another_callers_receipt_is_as_absent_as_one_that_never_was(shared: Stage) -> None:
    answer = await shared.chat()
    other = await shared.new_key()
    parsed = parse_key(other)
    assert parsed is not None
    await eventually(lambda: shared.gateway.keys.lookup(parsed[0]) is not None)
    headers = {"authorization": f"Bearer {other}"}
    names = [
        answer.headers["x-receipt-id"],
        answer.json()["id"],
        f"rcpt_{'0' * 32}",
        stem(answer),
        f"rcpt_{stem(answer).upper()}",
        f"rcpt_{stem(answer)}0",
        f"rcpt_{stem(answer)}/",
        "' OR '1'='1",
        "..%2f..%2fmodels",
        "a" * 4000,
    ]
    answers = [told(await shared.http.get(f"/v1/aci/receipts/{name}", headers=headers)) for name in names]
    assert answers[0][0] == 404
    assert json.loads(answers[0][2])["error"]["code"] == "not_found"
    assert answers == [answers[0]] * len(names)


# Sessions


async def test_a_session_hashes_to_the_id_that_receipts_cite(shared: Stage) -> None:
    answer = await shared.chat()
    cited = next(event["session_id"] for event in (await shared.receipt(answer))["event_log"] if event["type"] == "upstream.verified")
    response = await anonymous(shared, f"/v1/aci/sessions/{cited}")
    assert response.status_code == 200
    assert hashlib.sha256(response.content).hexdigest() == cited
    session = verify_session(cited, response.content)
    assert session["upstream_name"] == "enclave"
    assert session["endpoint"] == shared.enclave.url
    assert session["claims"]["tee_attested"]["status"] == "refuted", "simulated hardware proves nothing"
    evidence, _ = evidence_of(session)
    assert b'"report"' in evidence


@pytest.mark.parametrize("name", ["0" * 64, "AB" * 32, "0", "..%2f" * 3, "0" * 64 + "/", "' OR '1'='1", "%00"])
async def test_a_session_that_is_not_there(name: str, shared: Stage) -> None:
    response = await anonymous(shared, f"/v1/aci/sessions/{name}")
    assert (response.status_code, error_of(response)["code"]) == (404, "not_found")


async def test_sessions_that_hold_now_are_listed_without_their_evidence(shared: Stage) -> None:
    session = await shared.gateway.keepers["enclave"].session(5)
    listed = (await anonymous(shared, "/v1/aci/sessions")).json()
    assert listed["api_version"] == "aci/1"
    entry = listed["sessions"][0]
    assert len(listed["sessions"]) == 1
    assert entry["session_id"] == session.session_id
    whole = (await anonymous(shared, f"/v1/aci/sessions/{session.session_id}")).json()
    digest = whole["evidence"].pop("digest")
    assert entry.pop("evidence") == {"digest": digest}
    del whole["evidence"]
    assert entry == {"session_id": session.session_id, **whole}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("upstream_name=enclave", 1),
        ("upstream_name=other", 0),
        ("upstream_name=", 0),
        ("model=demo", 1),
        ("model=acme/large-1", 1),
        ("model=acme%2Flarge-1", 1),
        ("model=other", 0),
        ("model=demo&upstream_name=enclave", 1),
        ("model=demo&upstream_name=other", 0),
        ("unknown=1", 1),
    ],
)
async def test_the_list_is_narrowed(query: str, found: int, shared: Stage) -> None:
    response = await anonymous(shared, f"/v1/aci/sessions?{query}")
    assert response.status_code == 200
    assert len(response.json()["sessions"]) == found


async def test_a_session_that_is_over_is_not_listed_and_can_still_be_fetched(socket_dir: Path) -> None:
    async with staged(socket_dir) as stage:
        keeper = stage.gateway.keepers["enclave"]
        session = await keeper.session(5)
        await stage.enclave.stop()
        keeper.distrust(session)
        assert (await anonymous(stage, "/v1/aci/sessions")).json()["sessions"] == []
        response = await anonymous(stage, f"/v1/aci/sessions/{session.session_id}")
        assert hashlib.sha256(response.content).hexdigest() == session.session_id
