import asyncio
import hashlib
import json

import pytest

from ollm.errors import ApiError, UpstreamError
from ollm.ports import Quote
from ollm.serving import attestation
from ollm.serving.attestation import MAX_WAITING, QUOTES_AT_ONCE, AttestationService
from ollm.values.aci import Keyset, SigningKey, report_data
from ollm.values.hexes import Hex32

KEYSET = Keyset("subject", 2_000_000_000, (SigningKey("k1", "ed25519", "ab" * 32),), (), ())
NONCE = Hex32("0f" * 32)


def nonce(number: int) -> Hex32:
    return Hex32(hashlib.sha256(b"%d" % number).hexdigest())


class Quoting:
    """A quoting service that answers when it is let, and notes how many ask at once."""

    def __init__(self, *, held: bool = False, error: Exception | None = None) -> None:
        self.asked: list[bytes] = []
        self.at_once = self.most = 0
        self.gate = asyncio.Event()
        self.error = error
        if not held:
            self.gate.set()

    async def quote(self, report_data: bytes) -> Quote:
        self.asked.append(report_data)
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        try:
            await self.gate.wait()
            if self.error is not None:
                raise self.error
            return Quote("00", "[]", "{}", "{}")
        finally:
            self.at_once -= 1


def service(source: Quoting | None) -> AttestationService:
    return AttestationService(KEYSET, source, serving="direct", e2ee_versions=("ehbp/1",), extra={"config_digest": "sha256:00"})


async def test_a_report_over_the_callers_nonce() -> None:
    source = Quoting()
    report = json.loads(await service(source).report(NONCE))
    assert source.asked == [report_data(KEYSET.digest(), NONCE)]
    assert report["workload_keyset_digest"] == KEYSET.digest()
    assert report["attestation"]["evidence"]["quote_report_data"] == source.asked[0].hex()
    assert report["service_capabilities"] == {"supported_e2ee_versions": ["ehbp/1"], "serving": "direct"}


async def test_the_headers_name_version_and_keyset() -> None:
    assert service(None).headers == {"x-aci-version": "aci/1", "x-aci-keyset-digest": KEYSET.digest()}


@pytest.mark.parametrize("bad", ["", "0f", "0F" * 32, "0f" * 33, "g" * 64, "0f" * 32 + "\n", " " + "0f" * 32])
async def test_a_bad_nonce_is_the_callers_fault(bad: str) -> None:
    source = Quoting()
    with pytest.raises(ApiError) as caught:
        await service(source).report(bad)
    assert (caught.value.status, caught.value.type, caught.value.param) == (400, "invalid_request_error", "nonce")
    assert source.asked == []


async def test_a_bad_nonce_is_named_even_where_nothing_can_be_quoted() -> None:
    with pytest.raises(ApiError) as caught:
        await service(None).report("x")
    assert caught.value.status == 400


async def test_without_a_quoting_service_there_is_no_report() -> None:
    with pytest.raises(ApiError) as caught:
        await service(None).report(NONCE)
    assert (caught.value.status, caught.value.code) == (503, "attestation_unavailable")


async def test_a_failing_quoting_service_is_not_quoted_itself() -> None:
    source = Quoting(error=UpstreamError("connect", "canary"))
    attesting = service(source)
    with pytest.raises(ApiError) as caught:
        await attesting.report(NONCE)
    assert caught.value.status == 503 and "canary" not in str(caught.value)
    source.error = None
    assert await attesting.report(NONCE)  # the next caller tries again


async def test_the_report_without_a_nonce_is_kept_for_some_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    source = Quoting()
    attesting = service(source)
    assert await attesting.report(None) == await attesting.report(None)
    assert source.asked == [report_data(KEYSET.digest(), None)]
    monkeypatch.setattr(attestation, "CACHE_SECONDS", 0.0)
    await attesting.report(None)
    assert len(source.asked) == 2


async def test_a_report_with_a_nonce_is_never_kept() -> None:
    source = Quoting()
    attesting = service(source)
    await attesting.report(NONCE)
    await attesting.report(NONCE)
    assert len(source.asked) == 2


async def test_callers_with_one_nonce_share_one_quote_and_survive_each_other() -> None:
    source = Quoting(held=True)
    attesting = service(source)
    loop = asyncio.get_running_loop()
    first, second = (loop.create_task(attesting.report(NONCE)) for _ in range(2))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0)
    source.gate.set()
    assert json.loads(await second)["workload_keyset_digest"] == KEYSET.digest()
    assert len(source.asked) == 1


async def test_quotes_are_bounded_and_so_is_the_line_before_them() -> None:
    source = Quoting(held=True)
    attesting = service(source)
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(attesting.report(nonce(number))) for number in range(QUOTES_AT_ONCE + MAX_WAITING)]
    await asyncio.sleep(0.01)
    with pytest.raises(ApiError) as caught:
        await attesting.report(nonce(999))
    assert (caught.value.status, caught.value.code, dict(caught.value.headers)) == (503, "attestation_busy", {"retry-after": "1"})
    source.gate.set()
    await asyncio.gather(*tasks)
    assert source.most == QUOTES_AT_ONCE
    assert await attesting.report(nonce(999))
