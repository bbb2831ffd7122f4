"""What a manifest admits: the coordinator's policy and machine, and who has which name."""

import copy
from typing import Any

import pytest

from ollm.attest.evidence import SnpEvidence, TdxEvidence
from ollm.attest.services.privatemode import document, manifest
from ollm.errors import EvidenceRefused
from ollm.testing.mint.contrast import (
    COORDINATOR_POLICY,
    SECRET_POLICY,
    SERVICE_NAME,
    WORKLOAD_POLICY,
    SnpCoordinator,
    encoded,
    manifest_of,
)
from tests.attest.services.privatemode.deployments import NONCE, chip, deployment, machine


def cpu_of(platform: str = "sev-snp", **changes: Any) -> SnpEvidence | TdxEvidence:
    """The coordinator's machine; `changes` are fields of its report."""
    other = SnpCoordinator(chip(), **changes) if changes else None
    return document.read(deployment(platform).answer(NONCE, coordinator=other)).cpu


def read(change: Any = None, platform: str = "sev-snp") -> manifest.Manifest:
    """The deployment's manifest; `change` edits it."""
    found = copy.deepcopy(manifest_of(deployment(platform).coordinator))
    if change is not None:
        change(found)
    return manifest.read(encoded(found))


def refusal(call: Any) -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as problem:
        call()
    return problem.value


def changed(**members: Any) -> Any:
    """Edits the one set of reference values of SEV-SNP."""
    return lambda found: found["ReferenceValues"]["snp"][0].update(members)


def changed_tdx(**members: Any) -> Any:
    return lambda found: found["ReferenceValues"]["tdx"][0].update(members)


def test_who_has_which_name() -> None:
    assert read().named(SERVICE_NAME) == (SECRET_POLICY,)
    assert read().named("nobody") == ()
    both = read(lambda found: found["Policies"][WORKLOAD_POLICY].update(SANs=[SERVICE_NAME]))
    assert set(both.named(SERVICE_NAME)) == {SECRET_POLICY, WORKLOAD_POLICY}
    assert read(lambda found: found["Policies"][SECRET_POLICY].update(SANs=None)).named(SERVICE_NAME) == ()


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"Policies":{}}', b'{"Policies":{},"Policies":{},"ReferenceValues":{}}'])
def test_bytes_that_are_no_manifest(data: bytes) -> None:
    assert refusal(lambda: manifest.read(data)).check == "privatemode.manifest"


@pytest.mark.parametrize("platform", ["sev-snp", "tdx"])
def test_the_machine_is_the_manifests_coordinator(platform: str) -> None:
    assert manifest.check_coordinator(read(platform=platform), cpu_of(platform)) == COORDINATOR_POLICY
    loud = read(lambda found: found["Policies"].update({COORDINATOR_POLICY.upper(): found["Policies"].pop(COORDINATOR_POLICY)}), platform)
    assert manifest.check_coordinator(loud, cpu_of(platform)) == COORDINATOR_POLICY


@pytest.mark.parametrize("platform", ["sev-snp", "tdx"])
def test_another_workload_is_not_the_coordinator(platform: str) -> None:
    cpu = document.read(deployment(platform).answer(NONCE, policy=WORKLOAD_POLICY)).cpu
    problem = refusal(lambda: manifest.check_coordinator(read(platform=platform), cpu))
    assert (problem.check, problem.got) == ("privatemode.coordinator", f"a machine of the policy {WORKLOAD_POLICY}")
    assert problem.want == f"{COORDINATOR_POLICY}, the coordinator's by the manifest"


def test_what_stands_behind_the_hash_in_mrconfigid_must_be_zero() -> None:
    cpu = cpu_of("tdx")
    assert isinstance(cpu, TdxEvidence)
    at = 48 + 184 + 32
    padded = TdxEvidence(quote=cpu.quote[:at] + b"\x01" + cpu.quote[at + 1 :])
    assert COORDINATOR_POLICY + "01" in refusal(lambda: manifest.check_coordinator(read(platform="tdx"), padded)).got


@pytest.mark.parametrize("roles", [{}, {COORDINATOR_POLICY: "coordinator", WORKLOAD_POLICY: "coordinator"}])
def test_there_is_one_coordinator(roles: dict[str, str]) -> None:
    def change(found: Any) -> None:
        for hashed, entry in found["Policies"].items():
            entry["Role"] = roles.get(hashed, "")

    problem = refusal(lambda: manifest.check_coordinator(read(change), cpu_of()))
    assert (problem.check, problem.got) == ("privatemode.coordinator", f"a manifest with {len(roles)} coordinators")


@pytest.mark.parametrize("platform", ["sev-snp", "tdx"])
def test_the_coordinators_machine_is_admitted(platform: str) -> None:
    manifest.check_admitted(read(platform=platform), cpu_of(platform))


def test_one_of_several_reference_values_is_enough() -> None:
    def change(found: Any) -> None:
        values = found["ReferenceValues"]["snp"]
        values.insert(0, {**values[0], "TrustedMeasurement": "00" * 48, "ProductName": "Milan"})

    manifest.check_admitted(read(change), cpu_of())


TCB = {"BootloaderVersion": 4, "TEEVersion": 0, "SNPVersion": 24, "MicrocodeVersion": 219}
DIFFERENT: list[tuple[dict[str, Any], str]] = [
    ({"ProductName": "Milan"}, "product"),
    ({"TrustedMeasurement": "b7" * 48}, "measurement"),
    ({"MinimumTCB": {**TCB, "MicrocodeVersion": 220}}, "TCB"),
    ({"AllowedChipIDs": ["00" * 64]}, "chip"),
    ({"MinimumMitigationVector": 3}, "mitigations"),
    ({"GuestPolicy": {}}, "guest policy"),
    ({"GuestPolicy": {"SMT": True, "SingleSocket": True}}, "guest policy"),
    ({"GuestPolicy": {"SMT": 1}}, "guest policy"),
    ({"PlatformInfo": {}}, "platform"),
    ({"PlatformInfo": {"SMTEnabled": True, "RAPLDisabled": True}}, "platform"),
    ({"TrustedMeasurement": "b7" * 48, "AllowedChipIDs": ["00" * 64]}, "measurement, chip"),
]


@pytest.mark.parametrize(("members", "what"), DIFFERENT, ids=lambda value: str(value)[:40])
def test_a_machine_that_the_manifest_does_not_admit(members: dict[str, Any], what: str) -> None:
    problem = refusal(lambda: manifest.check_admitted(read(changed(**members)), cpu_of()))
    assert (problem.check, problem.got) == ("privatemode.admitted", f"{what}: other than in the manifest")


SAME: list[dict[str, Any]] = [
    {"AllowedChipIDs": []},
    {"AllowedChipIDs": None},
    {"MinimumMitigationVector": 0},
    {"MinimumTCB": {**TCB, "SNPVersion": 1}},
    {"PlatformInfo": {"SMTEnabled": True, "TSMEEnabled": True}},
    {"TrustedMeasurement": "b7" * 48, "APEIP": "0080b004"},
    {"CPUs": 8, "Platform": "Metal-QEMU-SNP"},
]


@pytest.mark.parametrize("members", SAME, ids=lambda value: str(value)[:40])
def test_a_machine_that_it_admits_all_the_same(members: dict[str, Any]) -> None:
    manifest.check_admitted(read(changed(**members)), cpu_of())


def test_an_old_firmware_at_launch_is_as_bad_as_one_that_is_reported() -> None:
    old = chip().tcb[:-1] + bytes([chip().tcb[-1] - 1])
    assert refusal(lambda: manifest.check_admitted(read(), cpu_of(launch_tcb=old))).got.startswith("TCB")


def test_a_report_without_a_product_or_without_mitigations() -> None:
    assert refusal(lambda: manifest.check_admitted(read(), cpu_of(version=2))).got.startswith("product")
    assert refusal(lambda: manifest.check_admitted(read(), cpu_of(version=3))).got.startswith("mitigations")
    manifest.check_admitted(read(changed(MinimumMitigationVector=0)), cpu_of(version=3))


@pytest.mark.parametrize(
    ("members", "what"),
    [
        ({"MrTd": "00" * 48}, "MRTD"),
        ({"MrSeam": "00" * 48}, "MRSEAM"),
        ({"Xfam": "00" * 8}, "XFAM"),
        ({"Rtmrs": ["00" * 48] * 4}, "RTMR0, RTMR1, RTMR2, RTMR3"),
    ],
)
def test_a_tdx_machine_that_the_manifest_does_not_admit(members: dict[str, Any], what: str) -> None:
    problem = refusal(lambda: manifest.check_admitted(read(changed_tdx(**members), "tdx"), cpu_of("tdx")))
    assert (problem.check, problem.got) == ("privatemode.admitted", f"{what}: other than in the manifest")


def test_upper_case_is_as_good() -> None:
    manifest.check_admitted(read(changed_tdx(MrTd=machine().td_report.mrtd.hex().upper()), "tdx"), cpu_of("tdx"))


def test_a_manifest_for_other_hardware_admits_nobody() -> None:
    problem = refusal(lambda: manifest.check_admitted(read(platform="tdx"), cpu_of()))
    assert problem.got == "no reference values for such a machine: other than in the manifest"
    assert refusal(lambda: manifest.check_admitted(read(), cpu_of("tdx"))).check == "privatemode.admitted"
