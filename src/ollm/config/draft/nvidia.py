"""The table `nvidia` of a draft, and what it takes from reports of devices and from tokens of NVIDIA's attestation service."""

from collections.abc import Sequence

import msgspec

from ollm.attest.evidence import NrasEvidence, NvidiaEvidence
from ollm.attest.nvidia import chain, firmware, layout
from ollm.attest.tokens import nras
from ollm.attest.tokens import wanted as tokens
from ollm.config.draft.writing import comment, entry, is_simulated
from ollm.values.hexes import sha256_of


class Device(msgspec.Struct, frozen=True):
    """A GPU or a switch, as its report or a token describes it."""

    kind: str
    model: str
    driver: str | None
    serial: str  # hex; of the chip's certificate, or in a token of the device's
    by: str  # report or nras
    simulated_root: str | None = None


def reported(evidence: NvidiaEvidence) -> tuple[Device, ...]:
    """The one device of a report. Raises: EvidenceRefused."""
    certificates = chain.load_device_chain(evidence.certificate_chain)
    device = chain.identify(certificates)
    runs = firmware.read(layout.parse_report(evidence.report), device)
    simulated = is_simulated(chain.der(certificates[0]), "device.certificates")
    root = sha256_of(chain.der(certificates[-1])).removeprefix("sha256:") if simulated else None
    return (Device(device.kind, device.model, runs.driver, device.chip_serial, "report", root),)


def judged(evidence: NrasEvidence) -> tuple[Device, ...]:
    """The devices of a bundle of tokens. Raises: EvidenceRefused."""
    devices = tokens.devices(nras.parse(evidence.token))
    return tuple(Device(device.kind, device.architecture, device.driver, device.device_id, "nras") for device in devices)


def table(devices: Sequence[Device], *, machines: int) -> list[str]:
    """The lines of the table. `machines`: how many CPUs the evidence is of; the devices of several can't be told apart."""
    gpus = [device for device in devices if device.kind == "gpu"]
    switches = len(devices) - len(gpus)
    lines = ["", "[nvidia]"]
    root = next((device.simulated_root for device in devices if device.simulated_root is not None), None)
    if root is not None:
        lines += entry("simulated_root_sha256", root, "These are simulated devices: whoever runs them reads every prompt.")
        lines += entry("simulated_rim_root_sha256", "", "SHA-256 of the root of their reference measurements, which their evidence doesn't hold.")
    lines += comment("How many each machine must have." if machines == 1 else "The evidence is of several machines: how many must each have?")
    lines += entry("min_gpus", -(-len(gpus) // machines))
    lines += entry("min_switches", -(-switches // machines))
    models = sorted({device.model for device in gpus})
    if models:
        lines += entry("architectures", models)
    what = (
        "report: the devices' own signed reports. nras: NVIDIA's attestation service's word about them, in tokens; its keys and checks are trusted."
    )
    lines += entry("accept", sorted({device.by for device in devices}), what)
    drivers = sorted({device.driver for device in gpus if device.driver is not None}, key=_numbers)
    if drivers:
        lines += entry("min_driver", drivers[0], "The driver that runs now. Compare with NVIDIA's security bulletins, and raise it after each.")
    what = "Accept these devices only (serial number of the chip's certificate, or the ueid of a token, in hexadecimal)."
    lines += entry("devices", sorted({device.serial for device in devices}), what, suggested=True)
    what = "How the CPU's report data must commit to the devices: nonce, every device signed it; hash, over their evidence."
    return lines + entry("bound", "nonce", what)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
