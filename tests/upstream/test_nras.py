"""Asking NVIDIA's attestation service: only where the policy wants its word, and what is sent and had."""

import json

import pytest

from ollm.attest.evidence import NvidiaEvidence
from ollm.errors import UpstreamError
from ollm.ports import Fetched
from ollm.upstream import nras
from ollm.upstream.asking import asking
from ollm.upstream.provider import Tools
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, NvidiaPolicy


class Service:
    """NVIDIA's service, as far as asking it goes."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked: list[tuple[str, bytes, str]] = []

    async def get(self, url: str) -> Fetched:
        raise AssertionError(url)

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
        self.asked.append((url, body, media_type))
        return Fetched(self.status, {}, b"[]")


def policy(nvidia: NvidiaPolicy | None) -> AttestationPolicy:
    return AttestationPolicy(name="p", level=Level.TEE, nvidia=nvidia)


@pytest.mark.parametrize(
    ("rules", "asked"),
    [(None, False), (NvidiaPolicy(), False), (NvidiaPolicy(accept=("report", "nras")), False), (NvidiaPolicy(accept=("nras",)), True)],
)
def test_it_is_asked_only_where_its_word_alone_counts(rules: NvidiaPolicy | None, asked: bool) -> None:
    assert nras.is_asked(policy(rules)) is asked
    assert not nras.is_asked(None)


def test_what_it_is_asked() -> None:
    body = nras.request([NvidiaEvidence(report=b"\x01", certificate_chain="PEM")], nonce="ab" * 32, arch="HOPPER")
    assert json.loads(body) == {
        "nonce": "ab" * 32,
        "evidence_list": [{"certificate": "UEVN", "evidence": "AQ==", "arch": "HOPPER"}],
        "arch": "HOPPER",
    }


async def test_its_answer_is_taken_as_it_came() -> None:
    service = Service(200)
    assert await nras.judged(Tools(asking, service, "https://nras.test/", None), b"{}") == b"[]"
    assert service.asked == [("https://nras.test/v3/attest/gpu", b"{}", "application/json")]


async def test_any_other_status_is_no_answer() -> None:
    with pytest.raises(UpstreamError, match="answered 400"):
        await nras.judged(Tools(asking, Service(400), "https://nras.test", None), b"{}")
