"""What runs on a device, and how NVIDIA names the files about it."""

import pytest

from ollm.attest.nvidia import firmware, layout
from ollm.attest.nvidia.chain import identify
from ollm.attest.nvidia.firmware import Firmware
from ollm.errors import EvidenceRefused
from tests.attest.nvidia.devices import GPU, NONCE, device, parsed


def read(chip: str = "GH100", fields: dict[int, bytes | None] | None = None) -> Firmware:
    made_by = device(chip)
    return firmware.read(layout.parse_report(made_by.report(NONCE, fields=fields)), identify(parsed(made_by.parties)))


def refused(fields: dict[int, bytes | None], chip: str = "GH100") -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as caught:
        read(chip, fields)
    return caught.value


@pytest.mark.parametrize(
    ("chip", "expected"),
    [
        ("GH100", ("550.90.07", "96.00.9F.00.01", "NV_GPU_DRIVER_GH100_550.90.07", "NV_GPU_VBIOS_1010_0200_882_96009F0001", None)),
        ("GB100", ("590.48.01", "97.00.D9.00.35", "NV_GPU_CC_DRIVER_GB100_590.48.01", "NV_GPU_VBIOS_1010_0200_882_9700D90035", "multi-gpu")),
        ("LS_10", (None, "96.10.55.00.01", None, "NV_SWITCH_BIOS_5612_0002_890_9610550001", None)),
    ],
)
def test_versions_and_ids_of_each_architecture(chip: str, expected: tuple[str | None, ...]) -> None:
    runs = read(chip)
    assert (runs.driver, runs.vbios, runs.driver_rim_id, runs.vbios_rim_id, runs.mode) == expected


def test_a_board_is_named_in_capitals() -> None:
    assert read(fields={layout.PROJECT: b"g520\x00"}).vbios_rim_id.startswith("NV_GPU_VBIOS_G520_")


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (layout.DRIVER_VERSION, None),
        (layout.DRIVER_VERSION, b"latest\x00"),
        (layout.DRIVER_VERSION, b"550\x00"),
        (layout.VBIOS_VERSION, None),
        (layout.VBIOS_VERSION, bytes(7)),
        (layout.VBIOS_VERSION, b"\x00\x9f\x00\x96\x01\x00\x00\x01"),
        (layout.PROJECT, None),
        (layout.CHIP_SKU, b"../..\x00"),
    ],
)
def test_what_names_no_version_and_no_board_is_refused(kind: int, value: bytes | None) -> None:
    assert refused({kind: value}).check == "device.format"


def test_a_switch_spells_its_version_out() -> None:
    assert refused({layout.VBIOS_VERSION: b"96.10.55"}, "LS_10").check == "device.format"


@pytest.mark.parametrize(
    ("flag", "protected", "mode"),
    [
        (None, None, None),
        (None, b"\x55", None),
        (None, b"\xaa", "protected-pcie"),
        (b"\x00\x00", b"\x55", "single-gpu"),
        (b"\x01\x00", None, "multi-gpu"),
        (b"\x02\x00", b"\xaa", "protected-pcie"),
    ],
)
def test_the_mode_is_what_the_fields_agree_on(flag: bytes | None, protected: bytes | None, mode: str | None) -> None:
    assert read(fields={layout.FEATURE_FLAG: flag, layout.PROTECTED_PCIE: protected}).mode == mode


@pytest.mark.parametrize(
    ("flag", "protected"),
    [(b"\x03\x00", None), (b"\x02\x00", b"\x55"), (b"\x00\x00", b"\xaa"), (None, b"\x00"), (b"\x01\x00", b"\x55\x55")],
)
def test_a_mode_that_is_unknown_or_contradicts_itself_is_refused(flag: bytes | None, protected: bytes | None) -> None:
    assert refused({layout.FEATURE_FLAG: flag, layout.PROTECTED_PCIE: protected}).check == "device.mode"


def test_the_honest_gpu_is_none_of_these() -> None:
    assert read().driver == GPU.driver
