"""What is said of GPUs and switches."""

from typing import Any

from ollm.config.explain.document import explain
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, NvidiaPolicy
from tests.config.explain.saying import exposes, holds, notes, nothing, weakens
from tests.config.samples import TODAY


def nvidia(**fields: Any) -> AttestationPolicy:
    return AttestationPolicy(name="p", level=Level.TEE, nvidia=NvidiaPolicy(**fields))


def test_gpus_that_nobody_looks_at_expose() -> None:
    assert "GPUs are not looked at" in exposes(AttestationPolicy(name="p", level=Level.TEE), "nvidia")
    assert not exposes(nvidia(), "nvidia")
    assert "at least 8 GPU(s)" in holds(nvidia(min_gpus=8), "nvidia.min_gpus")
    assert "no GPU is demanded" in notes(nvidia(min_gpus=0, min_switches=1), "nvidia.min_gpus")


def test_switches_matter_between_several_gpus() -> None:
    assert notes(nvidia(), "nvidia.min_switches")
    assert "may pass through switches that nobody attested" in weakens(nvidia(min_gpus=8), "nvidia.min_switches")
    assert "at least 4 NVLink switches" in holds(nvidia(min_gpus=8, min_switches=4), "nvidia.min_switches")


def test_whose_word_about_a_device() -> None:
    assert "own signed report" in holds(nvidia(), "nvidia.accept")
    assert not weakens(nvidia(), "nvidia.accept")
    assert "its keys and its checks are trusted" in weakens(nvidia(accept=("report", "nras")), "nvidia.accept")
    assert nothing(nvidia(accept=()), "nvidia.accept")
    assert nothing(nvidia(architectures=()), "nvidia.architectures")


def test_drivers_revocation_and_machines() -> None:
    assert "with known flaws too" in weakens(nvidia(), "nvidia.min_driver")
    assert holds(nvidia(min_driver="550.90.07"), "nvidia.min_driver") == "the driver is at least 550.90.07"
    assert "revoked" in weakens(nvidia(require_ocsp=False), "nvidia.require_ocsp")
    assert "can be relayed" in weakens(nvidia(), "nvidia.devices")
    assert nothing(nvidia(devices=()), "nvidia.devices")
    assert "by serial number: 1f" in holds(nvidia(devices=("1f",)), "nvidia.devices")


def test_how_devices_are_bound() -> None:
    assert "signed the nonce" in holds(nvidia(), "nvidia.bound")
    assert "the hash of the devices' evidence" in holds(nvidia(bound="hash"), "nvidia.bound")


def test_that_cpu_and_gpu_are_one_machine_is_never_proven() -> None:
    assert any("GPUs and CPU are one machine" in text for text in explain(nvidia(), TODAY).outside)
    assert any(text.startswith("Intel and NVIDIA: their signing keys") for text in explain(nvidia(), TODAY).outside)
