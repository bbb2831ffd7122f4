"""What the service must have said of each device, claim by claim, and which devices the policy wants."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from ollm.attest.tokens import nras, wanted
from ollm.attest.tokens.nras import Bundle
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nras import create_service, gpu_claims, switch_claims
from ollm.values.policy import NvidiaPolicy
from tests.attest.service import refused_check
from tests.sim.hardware import NOW

SERVICE = create_service(NOW)
POLICY = NvidiaPolicy(accept=("nras",))
FULL = {"gpus": 1, "switches": 1}  # the switch is the last device
GPU_VERSION, DRIVER = "x-nvidia-gpu-vbios-version", "x-nvidia-gpu-driver-version"


def bundle(**bends: Any) -> Bundle:
    return nras.parse(SERVICE.bundle(NOW, bytes(32), **{"gpus": 1, **bends}))


def setting(**claims: object) -> Callable[[dict[str, Any]], object]:
    return lambda members: members.update(claims)


def refused(check: str, got: str = "") -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, check=lambda error: error.check == check and got in error.got)


def test_the_policy_takes_the_services_word() -> None:
    wanted.check_accepted(NvidiaPolicy(accept=("report", "nras")))
    for accept in (("report",), ()):
        with refused("nras.accepted"):
            wanted.check_accepted(replace(POLICY, accept=accept))


@pytest.mark.parametrize("version", ["2.0", "3.0"])
def test_a_good_result_of_either_version(version: str) -> None:
    found = bundle(version=version, **FULL)
    assert wanted.check_result(found) == version
    wanted.check_verification(found, version)
    wanted.check_measurements(found)
    wanted.check_secure_boot(found)
    wanted.check_debug(found)
    assert wanted.check_warning(found, POLICY) == {}


@pytest.mark.parametrize("result", [False, None, "true", 1], ids=str)
def test_a_result_that_is_not_good_is_refused(result: object) -> None:
    with refused("nras.result", "overall result"):
        wanted.check_result(bundle(overall=lambda claims: claims.update({"x-nvidia-overall-att-result": result})))


def test_a_result_that_is_absent_is_refused() -> None:
    with refused("nras.result", "absent"):
        wanted.check_result(bundle(overall=lambda claims: claims.pop("x-nvidia-overall-att-result")))


def test_the_services_own_words_for_a_refusal_are_told() -> None:
    details = {"x-nvidia-error-details": {"message": "NONCE_NOT_MATCHING"}}
    with refused("nras.result", "GPU-0: 'NONCE_NOT_MATCHING'"):
        wanted.check_result(bundle(overall=setting(**{"x-nvidia-overall-att-result": False}), device=setting(**details)))


@pytest.mark.parametrize(
    "claims", [{"x-nvidia-ver": "4.0"}, {"x-nvidia-ver": 3.0}, {"x-nvidia-ver": None}, {"sub": "another"}, {"sub": None}], ids=str
)
def test_claims_that_are_not_known_are_refused(claims: dict[str, object]) -> None:
    with refused("nras.result", "claims of version"):
        wanted.check_result(bundle(overall=setting(**claims)))


FLAGS = [(kind, version, name) for kind, claims in (("gpu", gpu_claims), ("switch", switch_claims)) for version in ("2.0", "3.0")
         for name, value in claims(0, version).items() if value is True and name.startswith("x-nvidia")]  # fmt: skip


@pytest.mark.parametrize(("kind", "version", "name"), FLAGS)
def test_every_step_must_have_been_made_and_be_good(kind: str, version: str, name: str) -> None:
    shape = {"version": version, "switches": 1 if kind == "switch" else 0}
    for bend in (setting(**{name: False}), setting(**{name: "true"}), lambda claims: claims.pop(name)):
        with refused("nras.verification", name):
            wanted.check_verification(bundle(device=bend, **shape), version)


CHAINS = [(kind, name) for kind, claims in (("gpu", gpu_claims), ("switch", switch_claims)) for name, value in claims(0).items()
          if isinstance(value, dict)]  # fmt: skip


@pytest.mark.parametrize(("kind", "name"), CHAINS)
@pytest.mark.parametrize(
    "change",
    [
        {"x-nvidia-cert-status": "revoked"},
        {"x-nvidia-cert-status": None},
        {"x-nvidia-cert-ocsp-status": "unknown"},
        {"x-nvidia-cert-ocsp-nonce-matches": False},
        {"x-nvidia-cert-ocsp-response-valid": None},
    ],
    ids=str,
)
def test_every_chain_must_be_valid_and_good(kind: str, name: str, change: dict[str, object]) -> None:
    shape = {"switches": 1 if kind == "switch" else 0}
    with refused("nras.verification", name):
        wanted.check_verification(bundle(device=lambda claims: claims[name].update(change), **shape), "3.0")
    with refused("nras.verification", name):
        wanted.check_verification(bundle(device=setting(**{name: True}), **shape), "3.0")


def test_newer_services_say_that_ocsp_answers_were_sound() -> None:
    sound = {"x-nvidia-cert-ocsp-nonce-matches": True, "x-nvidia-cert-ocsp-response-valid": True}
    wanted.check_verification(bundle(device=lambda claims: claims[CHAINS[0][1]].update(sound)), "3.0")


def test_a_device_is_of_the_type_that_its_name_says() -> None:
    for kind, switches in (("gpu", 0), ("nvswitch", 1)):
        wanted.check_verification(bundle(device=setting(**{"x-nvidia-device-type": kind}), switches=switches), "3.0")
        with refused("nras.verification", "another type"):
            wanted.check_verification(bundle(device=setting(**{"x-nvidia-device-type": kind}), switches=1 - switches), "3.0")


@pytest.mark.parametrize(
    ("check", "name", "values"),
    [
        (wanted.check_measurements, "measres", ["fail", "not-run", "absent", None, True, "Success"]),
        (wanted.check_measurements, "x-nvidia-mismatch-measurement-records", [[{"index": 3}]]),
        (wanted.check_secure_boot, "secboot", [False, None, "true", 1]),
        (wanted.check_debug, "dbgstat", ["enabled", None, False, "disabled-since-boot"]),
    ],
)
def test_state_of_a_device(check: Callable[[Bundle], None], name: str, values: list[object]) -> None:
    for value in values:
        with refused(f"nras.{check.__name__.removeprefix('check_')}", "GPU-0"):
            check(bundle(device=setting(**{name: value})))


@pytest.mark.parametrize(
    ("check", "name"), [(wanted.check_measurements, "measres"), (wanted.check_secure_boot, "secboot"), (wanted.check_debug, "dbgstat")]
)
def test_a_state_that_is_not_said_is_refused(check: Callable[[Bundle], None], name: str) -> None:
    with pytest.raises(EvidenceRefused, match=f"{name} absent"):
        check(bundle(device=lambda claims: claims.pop(name), gpus=2))


def test_no_mismatches_may_be_said_in_two_ways() -> None:
    wanted.check_measurements(bundle(device=setting(**{"x-nvidia-mismatch-measurement-records": None})))
    wanted.check_measurements(bundle(device=setting(**{"x-nvidia-mismatch-measurement-records": []})))


def test_warnings_refuse_unless_the_policy_asks_for_no_ocsp() -> None:
    found = bundle(device=setting(**{"x-nvidia-attestation-warning": "CERTIFICATE_HOLD" * 20}))
    with refused("nras.warning", "GPU-0: 'CERTIFICATE_HOLD"):
        wanted.check_warning(found, POLICY)
    (warning,) = wanted.check_warning(found, replace(POLICY, require_ocsp=False)).items()
    assert warning == ("GPU-0", ("'" + "CERTIFICATE_HOLD" * 20)[:80])


@pytest.mark.parametrize(
    ("hwmodel", "architecture"),
    [
        ("GH100", "Hopper"),
        ("GH100 A01 GSP BROM", "Hopper"),
        ("GB100 A01 GSP BROM", "Blackwell"),
        ("GB110 A01 GSP BROM", "Blackwell"),
        ("GB202", "Blackwell"),
        ("GB20X", "Blackwell"),
    ],
)
def test_architectures_of_gpus(hwmodel: str, architecture: str) -> None:
    (device,) = wanted.devices(bundle(device=setting(hwmodel=hwmodel)))
    assert (device.kind, device.architecture) == ("gpu", architecture)
    wanted.check_architecture((device,), replace(POLICY, architectures=(architecture,)))
    with refused("nras.architecture", architecture):
        wanted.check_architecture((device,), replace(POLICY, architectures=()))


def test_a_switch_is_told_apart_and_has_no_driver() -> None:
    gpu, switch = wanted.devices(bundle(**FULL))
    assert (gpu.device_id, gpu.driver, gpu.firmware) == ("50000000", "570.172.08", "96.00.CF.00.02")
    assert (switch.kind, switch.architecture, switch.driver, switch.firmware) == ("switch", "LS10", None, "96.10.55.00.01")
    wanted.check_architecture((switch,), replace(POLICY, architectures=()))
    wanted.check_driver((switch,), replace(POLICY, min_driver="999.0"))


@pytest.mark.parametrize(
    "claims",
    [
        {"hwmodel": None},
        {"hwmodel": "AD102"},
        {"hwmodel": "LS_10 A01 FSP BROM"},
        {"hwmodel": "GH100A"},
        {"hwmodel": "x GH100"},
        {"ueid": 5},
        {"ueid": "0"},
        {"ueid": "0x5"},
        {"ueid": "5" * 61},
        {"ueid": "٥"},
        {DRIVER: None},
        {DRIVER: "570"},
        {DRIVER: "570.172.08-rc"},
        {GPU_VERSION: None},
        {GPU_VERSION: "96"},
        {GPU_VERSION: "96.00.CF.00.0G"},
    ],
    ids=str,
)
def test_a_device_that_cannot_be_told_is_refused(claims: dict[str, object]) -> None:
    with refused("nras.device", "GPU-0"):
        wanted.devices(bundle(device=setting(**claims)))


def test_a_device_twice_is_refused() -> None:
    with refused("nras.device", "ueid 50000000 twice"):
        wanted.devices(bundle(gpus=2, device=setting(ueid=str(0x5000_0000))))


def test_drivers_are_ordered_by_their_numbers() -> None:
    found = wanted.devices(bundle())  # 570.172.08
    for min_driver in (None, "570.172.08", "570.99", "550.999.99"):
        wanted.check_driver(found, replace(POLICY, min_driver=min_driver))
    for min_driver in ("570.172.09", "570.172.08.1", "1000.0", "latest"):
        with refused("nras.driver"):
            wanted.check_driver(found, replace(POLICY, min_driver=min_driver))
    with refused("nras.driver", "570.172.08"):
        wanted.check_driver(found, replace(POLICY, rejected_drivers=("570.172.08",)))


def test_firmware_may_be_rejected_in_either_case() -> None:
    found = wanted.devices(bundle())
    wanted.check_firmware(found, replace(POLICY, rejected_vbios=("96.00.CF.00.01",)))
    with refused("nras.vbios", "96.00.CF.00.02"):
        wanted.check_firmware(found, replace(POLICY, rejected_vbios=("96.00.cf.00.02",)))


def test_devices_may_be_listed_in_either_case() -> None:
    found = wanted.devices(bundle(device=setting(ueid=str(0xABCDEF))))
    for listed in ("abcdef", "ABCDEF"):
        wanted.check_listed(found[-1:], replace(POLICY, devices=(listed,)))


def test_devices_are_listed_or_any() -> None:
    found = wanted.devices(bundle(gpus=2))
    for listed in (None, ("50000000", "50000001")):
        wanted.check_listed(found, replace(POLICY, devices=listed))
    for short in ((), ("50000000",)):
        with refused("nras.listed"):
            wanted.check_listed(found, replace(POLICY, devices=short))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
NAMES = sorted({*gpu_claims(0, "2.0"), *gpu_claims(0, "3.0"), "x-nvidia-device-type", "x-nvidia-mismatch-measurement-records"})
PLAIN = bundle()
OVERALL = ["sub", "x-nvidia-ver", "x-nvidia-overall-att-result"]


@given(st.dictionaries(st.sampled_from(NAMES), values, min_size=1), st.dictionaries(st.sampled_from(OVERALL), values))
def test_only_our_refusal_escapes_for_other_claims(device: dict[str, Any], overall: dict[str, Any]) -> None:
    (token,) = PLAIN.devices
    found = Bundle(replace(PLAIN.overall, claims=PLAIN.overall.claims | overall), (replace(token, claims=token.claims | device),))

    def judge() -> None:
        wanted.check_verification(found, "2.0")
        wanted.check_result(found)

    assert refused_check(judge) in (None, "nras.verification", "nras.result")
    assert refused_check(lambda: wanted.check_verification(found, "3.0")) in (None, "nras.verification")
    assert refused_check(lambda: wanted.check_measurements(found)) in (None, "nras.measurements")
    assert refused_check(lambda: wanted.check_warning(found, POLICY)) in (None, "nras.warning")
    assert refused_check(lambda: wanted.devices(found)) in (None, "nras.device")
