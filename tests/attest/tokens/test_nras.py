"""Bundles of NVIDIA's attestation service: their shape, and what ties their tokens together."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ollm.attest.certificates import check_periods
from ollm.attest.tokens import nras
from ollm.attest.tokens.keys import SimulatedService, VendorService
from ollm.attest.tokens.nras import Bundle
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nras import compose, create_service
from tests.attest.service import refused_check
from tests.sim.hardware import NOW

NONCE = bytes(range(32))
SERVICE = create_service(NOW)
PLAIN = SERVICE.bundle(NOW, NONCE, gpus=2, switches=1)
BUNDLE = nras.parse(PLAIN)
OVERALL, DEVICES = json.loads(PLAIN)[0][1], json.loads(PLAIN)[1]


def bundle(**bends: Any) -> Bundle:
    return nras.parse(SERVICE.bundle(NOW, NONCE, **bends))


def setting(**claims: object) -> Callable[[dict[str, Any]], object]:
    return lambda members: members.update(claims)


def refused(check: str, got: str = "") -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, check=lambda error: error.check == check and got in error.got)


def test_a_bundle_is_taken_apart() -> None:
    assert BUNDLE.overall.compact == OVERALL
    assert {token.name: token.compact for token in BUNDLE.devices} == DEVICES
    assert [nras.kind(token) for token in BUNDLE.devices] == ["gpu", "gpu", "switch"]
    assert BUNDLE.tokens == (BUNDLE.overall, *BUNDLE.devices)


SHAPES = {
    "no JSON": b"token",
    "a token alone": json.dumps(OVERALL).encode(),
    "an object": json.dumps({"token": OVERALL}).encode(),
    "one part": json.dumps([["JWT", OVERALL]]).encode(),
    "three parts": json.dumps([["JWT", OVERALL], DEVICES, {}]).encode(),
    "another kind of token": json.dumps([["CWT", OVERALL], DEVICES]).encode(),
    "a number for a token": json.dumps([["JWT", 1], DEVICES]).encode(),
    "no devices": compose(OVERALL, {}),
    "more devices than any machine has": compose(OVERALL, {f"GPU-{index}": "x" for index in range(65)}),
    "a device of another name": compose(OVERALL, {"CPU-0": DEVICES["GPU-0"]}),
    "a number with a zero before it": compose(OVERALL, {"GPU-00": DEVICES["GPU-0"]}),
    "a device that is no token": json.dumps([["JWT", OVERALL], {"GPU-0": {}}]).encode(),
    "a device twice": PLAIN.replace(b'"GPU-1"', b'"GPU-0"'),
    "a bundle in a bundle": json.dumps([["JWT", OVERALL], {"REMOTE_GPU_CLAIMS": json.loads(PLAIN)}]).encode(),
    "larger than any": b" " * (nras.MAX_BUNDLE + 1),
    "nested deeply": b"[" * 100_000,
}


@pytest.mark.parametrize("what", SHAPES)
def test_another_shape_is_refused(what: str) -> None:
    with refused("nras.format"):
        nras.parse(SHAPES[what])


def test_every_token_is_by_the_service() -> None:
    service = SimulatedService(SERVICE.root.sha256)
    nras.check_issuer(BUNDLE, service)
    with refused("nras.issuer", "token overall"):
        nras.check_issuer(BUNDLE, VendorService())
    for issuer in ("NVAT-LOCAL-VERIFIER", "https://nras.attestation-stg.nvidia.com", "https://nras.simulated.invalid/", None):
        with refused("nras.issuer", "token GPU-1"):
            nras.check_issuer(bundle(device=setting(iss=issuer)), service)
        with refused("nras.issuer", "token overall"):
            nras.check_issuer(bundle(overall=setting(iss=issuer)), service)


def test_tokens_hold_for_their_hour_and_a_minute_before() -> None:
    for now in (NOW - 60, NOW, NOW + 3599):
        check_periods(nras.periods(BUNDLE), now, "nras.validity")
    for now in (NOW - 61, NOW + 3600):
        with refused("nras.validity"):
            check_periods(nras.periods(BUNDLE), now, "nras.validity")


@pytest.mark.parametrize(
    "times",
    [
        {"exp": None},
        {"iat": None},
        {"nbf": None},
        {"exp": str(NOW + 60)},
        {"exp": float(NOW + 60)},
        {"exp": True},
        {"iat": -1},
        {"exp": 1 << 70},
        {"exp": NOW},  # ends as it begins
        {"exp": NOW + 2 * 3600 + 1},
        {"iat": NOW - 4000},  # issued long before it ends
        {"nbf": NOW + 3600},  # begins as it ends
    ],
    ids=str,
)
def test_times_that_make_no_sense_are_refused(times: dict[str, object]) -> None:
    for bends in ({"device": setting(**times)}, {"overall": setting(**times)}):
        with refused("nras.validity"):
            nras.periods(bundle(**bends))


def test_a_token_that_is_issued_or_begins_later_holds_later() -> None:
    for times in ({"nbf": NOW + 100}, {"iat": NOW + 100}):
        assert max(period.start for period in nras.periods(bundle(device=setting(**times)))) == NOW + 40


def test_the_devices_are_those_that_the_overall_token_names() -> None:
    nras.check_digests(BUNDLE)
    missing = {name: token for name, token in DEVICES.items() if name != "GPU-1"}
    extra = {**DEVICES, "GPU-2": DEVICES["GPU-1"]}
    swapped = {**DEVICES, "GPU-0": DEVICES["GPU-1"], "GPU-1": DEVICES["GPU-0"]}
    another = {**DEVICES, "GPU-1": json.loads(SERVICE.bundle(NOW, NONCE))[1]["GPU-1"]}  # the same claims, signed another time
    for tokens in (missing, extra, swapped, another):
        with refused("nras.digests"):
            nras.check_digests(nras.parse(compose(OVERALL, tokens)))


@pytest.mark.parametrize("named", [None, [], {}, {"GPU-0": ["DIGEST"]}, "text"], ids=str)
def test_devices_that_nobody_names_are_refused(named: object) -> None:
    with refused("nras.digests"):
        nras.check_digests(bundle(overall=setting(submods=named)))


@pytest.mark.parametrize("digest", [["DIGEST", ["SHA-1", "00"]], ["DIGEST", ["SHA-256", "00"]], ["DIGEST", ["SHA-256", None]], "DIGEST", {}], ids=str)
def test_a_digest_of_another_kind_is_refused(digest: object) -> None:
    def bend(claims: dict[str, Any]) -> None:
        claims["submods"]["GPU-0"] = digest

    with refused("nras.digests", "token GPU-0"):
        nras.check_digests(bundle(overall=bend))


def test_all_tokens_are_for_our_nonce() -> None:
    assert nras.check_nonce(BUNDLE, NONCE) == NONCE
    assert nras.check_nonce(BUNDLE, None) == NONCE
    assert nras.check_nonce(bundle(device=setting(eat_nonce=NONCE.hex().upper())), NONCE) == NONCE
    with refused("nras.nonce", "token overall"):
        nras.check_nonce(BUNDLE, bytes(32))
    for wanted in (NONCE, None):
        with refused("nras.nonce", "token GPU-1"):
            nras.check_nonce(bundle(device=setting(eat_nonce="00" * 32)), wanted)


@pytest.mark.parametrize("nonce", [None, "", "00" * 31, "00" * 33, "xx" * 32, ["00" * 32], 0], ids=str)
def test_a_nonce_of_another_kind_is_refused(nonce: object) -> None:
    with refused("nras.nonce", "without a nonce"):
        nras.check_nonce(bundle(device=setting(eat_nonce=nonce)), None)


@given(st.binary(max_size=300))
def test_only_our_refusal_escapes_for_any_bytes(data: bytes) -> None:
    assert refused_check(lambda: nras.parse(data)) == "nras.format"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@given(values, values)
def test_only_our_refusal_escapes_for_other_json(overall: object, devices: object) -> None:
    for document in (overall, [overall, devices], [["JWT", OVERALL], devices], [["JWT", overall], DEVICES]):
        assert refused_check(lambda: nras.parse(json.dumps(document).encode())) == "nras.format"  # noqa: B023


CHECKS = (
    lambda found: nras.check_issuer(found, VendorService()),
    nras.periods,
    nras.check_digests,
    lambda found: nras.check_nonce(found, None),
)


@given(st.dictionaries(st.sampled_from(["iss", "iat", "nbf", "exp", "eat_nonce", "submods"]), values, min_size=1))
def test_only_our_refusal_escapes_for_other_claims(claims: dict[str, Any]) -> None:
    overall, *devices = (replace(token, claims=token.claims | claims) for token in BUNDLE.tokens)
    found = Bundle(overall, tuple(devices))
    for check in CHECKS:
        assert refused_check(lambda: check(found)) in (None, "nras.issuer", "nras.validity", "nras.digests", "nras.nonce")  # noqa: B023
