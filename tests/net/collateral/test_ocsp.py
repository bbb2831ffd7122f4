"""Revocation answers: asked with a nonce, taken with ours or none, about the certificate that was asked about."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ollm.errors import CollateralError, UpstreamError
from ollm.net.collateral.asking import Asker
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.ocsp import OcspResponder, check_answer, with_nonce
from ollm.net.fetch import HttpFetch
from tests.net.collateral.vendor import DAY, HOUR, NOW, Answer, MovableClock, Script, ocsp_answer, ok, question, vendor

NONCE = bytes(range(32))
LATER = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(Encoding.DER)


def nonce_of(request: bytes) -> bytes:
    return ocsp.load_der_ocsp_request(request).extensions.get_extension_for_class(x509.OCSPNonce).value.nonce


async def answered(script: Script, *, times: int = 1, wait: int = 0) -> list[bytes]:
    """What comes back for one question asked `times` times; the last item is the number of requests that went out."""
    clock, fetch = MovableClock(), HttpFetch()
    try:
        async with vendor(script) as service:
            responder = OcspResponder(CollateralCache(clock), Asker(fetch, clock), ocsp_url=service.url)
            found = []
            for _ in range(times):
                found.append((await responder.get(question())).body)
                clock.seconds += wait
            assert {(method, target) for method, target, _ in service.asked} == {("POST", "/")}
            return [*found, str(len(service.asked)).encode()]
    finally:
        await fetch.close()


async def test_an_answer_that_repeats_our_nonce_is_taken() -> None:
    def responder(target: str, body: bytes) -> Answer:
        return ok(ocsp_answer(nonce=nonce_of(body)))

    assert (await answered(responder, times=3))[-1] == b"1"


async def test_each_question_has_a_nonce_of_its_own() -> None:
    nonces = []

    def responder(target: str, body: bytes) -> Answer:
        nonces.append(nonce_of(body))
        return ok(ocsp_answer())

    assert (await answered(responder, times=3, wait=HOUR))[-1] == b"3"
    assert len(set(nonces)) == 3


async def test_an_answer_without_a_nonce_is_as_fresh_as_its_dates_say() -> None:
    body = ocsp_answer()
    assert (await answered(lambda target, asked: ok(body)))[0] == body


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (ocsp_answer(nonce=bytes(32)), "made for another request"),
        (ocsp_answer(serial=8), "about another certificate"),
        (ocsp_answer(issued=NOW - 2 * DAY, end=NOW - DAY), "its time was over"),
        (ocsp_answer(end=None), "no usable"),
        (
            LATER,
            "TRY_LATER",
        ),
        (b"garbage", "no usable"),
        (b"", "no usable"),
    ],
)
async def test_another_answer_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(UpstreamError, match=why):
        await answered(lambda target, asked: ok(body))


def test_a_question_with_a_nonce_asks_the_same() -> None:
    plain, asked = ocsp.load_der_ocsp_request(question()), ocsp.load_der_ocsp_request(with_nonce(question(), NONCE))
    assert asked.serial_number == plain.serial_number
    assert (asked.issuer_key_hash, asked.issuer_name_hash) == (plain.issuer_key_hash, plain.issuer_name_hash)
    assert asked.hash_algorithm.name == "sha384"
    check_answer(ocsp_answer(nonce=NONCE), question(), NONCE)


@pytest.mark.parametrize("request_", [b"", b"garbage", question()[:20]])
def test_what_is_no_question_is_not_asked(request_: bytes) -> None:
    with pytest.raises(CollateralError, match="no question"):
        with_nonce(request_, NONCE)
