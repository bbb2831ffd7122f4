"""Drafts from evidence of GPUs and switches, beside a CPU."""

from functools import cache

import msgspec
import pytest

from ollm.attest.evidence import Expected, MachineCollateral, MachineEvidence, NrasEvidence, TdxEvidence
from ollm.attest.machine import appraise_machine
from ollm.config.draft import nvidia as draft_nvidia
from ollm.sim.machine import SimulatedMachine
from ollm.testing.mint import nras, nvidia
from ollm.values.level import Level
from tests.config.draft.reviewing import drafted, reviewed, tree
from tests.sim.hardware import NOW

NONCE = bytes(range(32))


@cache
def gpus() -> tuple[nvidia.Device, nvidia.Device]:
    hierarchy = nvidia.create(NOW)
    return hierarchy.device(), hierarchy.device()


def cpu(machine: SimulatedMachine) -> TdxEvidence:
    return TdxEvidence(quote=machine.quote(bytes(32) + NONCE), event_log=machine.event_log_json, app_compose=machine.app_compose)


def test_a_reviewed_draft_accepts_that_machine_with_its_gpus_and_not_without(machine: SimulatedMachine) -> None:
    devices = tuple(gpu.evidence(NONCE) for gpu in gpus())
    hierarchy = gpus()[0].hierarchy
    policy = reviewed(drafted(cpu(machine), *devices), nvidia={"simulated_rim_root_sha256": hierarchy.rim_root.sha256})
    collateral = MachineCollateral(cpu=machine.collateral(), devices=tuple(gpu.collateral(NOW) for gpu in gpus()))
    whole = MachineEvidence(cpu=cpu(machine), devices=devices)
    appraisal = appraise_machine(whole, collateral, policy, NOW, expected=Expected(device_nonce=NONCE))
    assert appraisal.accepted, appraisal.failure
    one = msgspec.structs.replace(whole, devices=devices[:1]), msgspec.structs.replace(collateral, devices=collateral.devices[:1])
    failure = appraise_machine(*one, policy, NOW, expected=Expected(device_nonce=NONCE)).failure
    assert failure is not None
    assert failure.name == "devices.required"


def test_the_table(machine: SimulatedMachine) -> None:
    text = drafted(cpu(machine), *(gpu.evidence(NONCE) for gpu in gpus()))
    table = tree(text)["nvidia"]
    hierarchy = gpus()[0].hierarchy
    assert table == {
        "simulated_root_sha256": hierarchy.device_root.sha256,
        "simulated_rim_root_sha256": "",
        "min_gpus": 2,
        "min_switches": 0,
        "architectures": ["Hopper"],
        "accept": ["report"],
        "min_driver": "550.90.07",
        "bound": "nonce",
    }
    for gpu in gpus():
        serial = f"{gpu.chip.certificate.serial_number:x}"
        assert any(line.startswith("# devices = ") and serial in line for line in text.splitlines())


def test_devices_of_several_machines_are_counted_for_each(machine: SimulatedMachine) -> None:
    text = drafted(cpu(machine), cpu(machine), *(gpu.evidence(NONCE) for gpu in gpus()))
    assert tree(text)["nvidia"]["min_gpus"] == 1
    assert "how many must each have?" in text


def test_switches_have_neither_driver_nor_architecture(machine: SimulatedMachine) -> None:
    switch = nvidia.create(NOW, "LS_10", beside=gpus()[0].hierarchy).device()
    table = tree(drafted(cpu(machine), switch.evidence(NONCE)))["nvidia"]
    assert (table["min_gpus"], table["min_switches"]) == (0, 1)
    assert not {"architectures", "min_driver"} & set(table)


def test_tokens_of_the_service(machine: SimulatedMachine) -> None:
    one, two = draft_nvidia.judged(NrasEvidence(token=nras.create_service(NOW).bundle(NOW, NONCE)))
    assert (one.by, one.kind, one.model) == ("nras", "gpu", "Hopper")
    assert one.serial != two.serial
    text = drafted(cpu(machine), NrasEvidence(token=nras.create_service(NOW).bundle(NOW, NONCE)))
    table = tree(text)["nvidia"]
    assert (table["accept"], table["min_gpus"]) == (["nras"], 2)
    assert not any(key.startswith("simulated") for key in table)


def test_the_lowest_driver_counts() -> None:
    devices = [draft_nvidia.Device("gpu", "Hopper", driver, "1f", "report") for driver in ("550.144.03", "550.90.07")]
    assert 'min_driver = "550.90.07"' in draft_nvidia.table(devices, machines=1)


@pytest.mark.parametrize("marked", [True, False])
def test_simulated_devices_say_so(marked: bool) -> None:
    device = nvidia.create(NOW, marked=marked).device()
    (found,) = draft_nvidia.reported(device.evidence(NONCE))
    assert (found.simulated_root is not None) is marked


def test_levels_agree(machine: SimulatedMachine) -> None:
    assert tree(drafted(cpu(machine), gpus()[0].evidence(NONCE)))["level"] == Level.SIMULATED
