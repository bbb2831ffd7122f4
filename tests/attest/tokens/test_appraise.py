"""The steps of a bundle of tokens, from bytes to facts: what is accepted, what each defect is refused for, and that no byte can change."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.checks import Trail
from ollm.attest.evidence import NrasCollateral, NrasEvidence
from ollm.attest.facts import DeviceFacts
from ollm.attest.tokens import checks, nras
from ollm.attest.tokens.appraise import judged_devices, plan
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nras import common_claims, compose, create_service, gpu_claims, hmac_token, unsigned_token
from ollm.values.checks import Outcome
from ollm.values.policy import NvidiaPolicy
from tests.attest.service import refused_check
from tests.sim.hardware import NOW

NONCE = bytes(range(32))
SERVICE = create_service(NOW)
POLICY = NvidiaPolicy(simulated_root_sha256=SERVICE.root.sha256, accept=("nras",))
PLAIN = SERVICE.bundle(NOW, NONCE, gpus=2, switches=1)
OVERALL, DEVICES = json.loads(PLAIN)[0][1], json.loads(PLAIN)[1]


def judged(
    token: bytes = PLAIN, *, policy: NvidiaPolicy = POLICY, now: int = NOW, nonce: bytes | None = NONCE, jwks: bytes = SERVICE.jwks()
) -> tuple[DeviceFacts, ...]:
    trail = Trail(plan(policy))
    facts = judged_devices(trail, NrasEvidence(token=token), NrasCollateral(jwks=jwks), policy, now, nonce=nonce)
    trail.completed()
    return facts


def failing(token: bytes = PLAIN, **changes: Any) -> str | None:
    """The check that refuses."""
    check = refused_check(lambda: judged(token, **changes))
    assert check is None or check in checks.CHECKS
    return check


def bent(**bends: Any) -> bytes:
    return SERVICE.bundle(NOW, NONCE, **bends)


def claiming(**claims: object) -> bytes:
    """A bundle whose last GPU's token says this."""
    return bent(device=lambda members: members.update(claims))


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_facts_of_accepted_devices(version: str) -> None:
    bundle = bent(gpus=2, switches=1, version=version)
    first, second, switch = judged(bundle)

    assert [(device.kind, device.model, device.device_id) for device in (first, second, switch)] == [
        ("gpu", "Hopper", "50000000"),
        ("gpu", "Hopper", "50000001"),
        ("switch", "LS10", "60000000"),
    ]
    assert {device.nonce for device in (first, second, switch)} == {NONCE}
    assert {device.by for device in (first, second, switch)} == {"nras"}
    assert first.identity == nras.parse(bundle).devices[0].identity
    assert first.facts == {
        "hwmodel": "GH100" if version == "2.0" else "GH100 A01 GSP BROM",
        "vbios_version": "96.00.CF.00.02",
        "driver_version": "570.172.08",
        "claims_version": version,
    }
    assert "driver_version" not in switch.facts
    assert (first.valid_until, first.warnings) == (NOW + 3600, ())


def test_an_acceptance_ends_with_the_first_certificate_or_token() -> None:
    short = create_service(NOW, root=SERVICE.root, lifetime=120)
    (device,) = judged(short.bundle(NOW, NONCE, gpus=1), jwks=short.jwks())
    assert device.valid_until == NOW + 60
    assert judged(claiming(exp=NOW + 30))[0].valid_until == NOW + 30


def test_a_warning_is_passed_on_for_its_own_device_where_the_policy_asks_for_no_ocsp() -> None:
    warned = claiming(**{"x-nvidia-attestation-warning": "on hold"})
    first, second = judged(warned, policy=msgspec.structs.replace(POLICY, require_ocsp=False))
    assert (first.warnings, second.warnings) == ((), ("NVIDIA warns of GPU-1: 'on hold'",))
    assert failing(warned) == "nras.warning"


def test_without_a_nonce_all_must_still_be_for_one() -> None:
    assert judged(nonce=None)[0].nonce == NONCE
    assert failing(claiming(eat_nonce="00" * 32), nonce=None) == "nras.nonce"


GPU = {**gpu_claims(0), **common_claims(NOW, NONCE)}
OTHER = create_service(NOW, root=SERVICE.root)
CASES: dict[str, tuple[str, bytes]] = {
    "no bundle": ("nras.format", b"[]"),
    "no devices, as from empty evidence": ("nras.format", compose(OVERALL, {})),
    "a duplicated device": ("nras.format", PLAIN.replace(b'"GPU-1"', b'"GPU-0"')),
    "an unsigned overall token": ("nras.algorithm", compose(unsigned_token({}), DEVICES)),
    "an unsigned device token": ("nras.algorithm", compose(OVERALL, {**DEVICES, "GPU-0": unsigned_token(GPU)})),
    "the SDK's secret": ("nras.algorithm", compose(hmac_token({}, b"secret"), DEVICES)),
    "a key in the header": ("nras.algorithm", compose(SERVICE.token({}, jwk=SERVICE.jwk()), DEVICES)),
    "the local verifier": ("nras.issuer", claiming(iss="NVAT-LOCAL-VERIFIER")),
    "the staging service": ("nras.issuer", claiming(iss="https://nras.attestation-stg.nvidia.com")),
    "NVIDIA's own": ("nras.issuer", claiming(iss="https://nras.attestation.nvidia.com")),
    "a key that nobody published": ("nras.key", create_service(NOW, root=SERVICE.root, key_id="sim-eat-kid-7").bundle(NOW, NONCE)),
    "another key of the same name": ("nras.signature", OTHER.bundle(NOW, NONCE)),
    "one device token by another key": ("nras.signature", compose(OVERALL, {**DEVICES, "GPU-0": OTHER.token(GPU)})),
    "expired": ("nras.validity", SERVICE.bundle(NOW - 3600, NONCE)),
    "not yet valid": ("nras.validity", SERVICE.bundle(NOW + 61, NONCE)),
    "for too long": ("nras.validity", claiming(exp=NOW + 10 * 3600)),
    "a device left out": ("nras.digests", compose(OVERALL, {name: DEVICES[name] for name in ("GPU-0", "SWITCH-0")})),
    "a device too many": ("nras.digests", compose(OVERALL, {**DEVICES, "GPU-2": DEVICES["GPU-0"]})),
    "a device of another bundle": ("nras.digests", compose(OVERALL, {**DEVICES, "GPU-0": SERVICE.token(GPU)})),
    "a bad result": ("nras.result", bent(overall=lambda claims: claims.update({"x-nvidia-overall-att-result": False}))),
    "another nonce for all": ("nras.nonce", SERVICE.bundle(NOW, bytes(32))),
    "another nonce for one": ("nras.nonce", claiming(eat_nonce="00" * 32)),
    "a step that failed": ("nras.verification", claiming(**{"x-nvidia-gpu-attestation-report-signature-verified": False})),
    "measurements that differ": ("nras.measurements", claiming(measres="fail")),
    "no secure boot": ("nras.secure_boot", claiming(secboot=False)),
    "debug mode": ("nras.debug", claiming(dbgstat="enabled")),
    "a model that is not known": ("nras.device", claiming(hwmodel="AD102")),
    "one device under two names": ("nras.device", claiming(ueid=str(0x5000_0000))),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
def test_each_defect_is_refused_by_the_check_that_is_about_it(what: str) -> None:
    check, token = CASES[what]
    assert failing(token) == check


@pytest.mark.parametrize(
    ("check", "changes"),
    [
        ("nras.accepted", {"accept": ("report",)}),
        ("nras.architecture", {"architectures": ("Blackwell",)}),
        ("nras.driver", {"min_driver": "580.0"}),
        ("nras.driver", {"rejected_drivers": ("570.172.08",)}),
        ("nras.vbios", {"rejected_vbios": ("96.00.CF.00.02",)}),
        ("nras.listed", {"devices": ()}),
    ],
)
def test_what_the_policy_does_not_want_is_refused(check: str, changes: dict[str, Any]) -> None:
    assert failing(policy=msgspec.structs.replace(POLICY, **changes)) == check


def test_keys_that_are_not_the_services_are_refused() -> None:
    assert failing(jwks=b"{}") == "nras.key_set"
    assert failing(jwks=b'{"keys":[]}') == "nras.key"
    assert failing(jwks=SERVICE.jwks(x5c=SERVICE.jwk()["x5c"][:2])) == "nras.key_chain"
    stranger = create_service(NOW)
    assert failing(stranger.bundle(NOW, NONCE), jwks=stranger.jwks()) == "nras.key_chain"
    unmarked = create_service(NOW, root=SERVICE.root, marked=False)
    assert failing(unmarked.bundle(NOW, NONCE), jwks=unmarked.jwks()) == "platform.marker"
    old = create_service(NOW, root=SERVICE.root, start=NOW - 3 * 86_400)
    assert failing(old.bundle(NOW, NONCE), jwks=old.jwks()) == "nras.key_chain"


def test_simulated_tokens_and_the_vendors_never_meet() -> None:
    assert failing(policy=NvidiaPolicy(accept=("nras",))) == "nras.issuer"
    posing = bent(
        device=lambda claims: claims.update(iss="https://nras.attestation.nvidia.com"),
        overall=lambda claims: claims.update(iss="https://nras.attestation.nvidia.com"),
        gpus=1,
    )
    assert failing(posing, policy=NvidiaPolicy(accept=("nras",))) == "platform.marker"
    assert failing(posing) == "nras.issuer"


def test_a_refusal_names_the_steps_before_it_as_passed() -> None:
    trail = Trail(plan(POLICY), target="device0")
    with pytest.raises(EvidenceRefused) as raised:
        judged_devices(trail, NrasEvidence(token=CASES["debug mode"][1]), NrasCollateral(jwks=SERVICE.jwks()), POLICY, NOW, nonce=NONCE)
    found = {check.name: check for check in trail.refused(raised.value)}
    assert found["nras.signature"].outcome is Outcome.PASSED
    assert found["nras.debug"].outcome is Outcome.FAILED
    assert (found["nras.debug"].got, found["nras.debug"].target) == ("GPU-1: dbgstat 'enabled'", "device0")
    assert found["nras.listed"].outcome is Outcome.NOT_REACHED


@pytest.mark.parametrize("stride", [11, pytest.param(1, marks=pytest.mark.exhaustive)])
def test_no_flipped_byte_is_accepted(stride: int) -> None:
    bundle = bent(gpus=1, version="2.0")
    assert failing(bundle) is None
    for at in range(0, len(bundle), stride):
        for mask in (0x01, 0x80, 0xFF):
            assert failing(bundle[:at] + bytes([bundle[at] ^ mask]) + bundle[at + 1 :]) is not None, (at, mask)


def test_no_other_last_character_of_a_segment_is_accepted() -> None:
    """Base64 has characters to spare at its end: a lenient decoder reads several of them as the same bytes."""
    bundle = bent(gpus=1)
    overall = json.loads(bundle)[0][1]
    ends = [bundle.index(overall.encode()) + offset - 1 for offset in (overall.index("."), overall.rindex("."), len(overall))]
    for at in ends:
        for character in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_=":
            if character != bundle[at]:
                assert failing(bundle[:at] + bytes([character]) + bundle[at + 1 :]) is not None


@given(st.lists(st.tuples(st.integers(0, len(PLAIN)), st.binary(min_size=1, max_size=6)), min_size=1, max_size=3))
def test_only_our_refusal_escapes_for_bent_bundles(edits: list[tuple[int, bytes]]) -> None:
    data = PLAIN
    for at, piece in edits:
        data = data[:at] + piece + data[at + len(piece) :]
    assert failing(data) is not None or json.loads(data) == json.loads(PLAIN)
