"""What a policy asks of a genuine device."""

import msgspec
import pytest

from ollm.attest.nvidia import chain, layout, wanted
from ollm.attest.nvidia.firmware import Firmware
from ollm.attest.nvidia.layout import Report
from ollm.attest.nvidia.rim import Reference, Rim
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nvidia_rim import measurement
from ollm.values.hexes import Hex32
from ollm.values.policy import NvidiaPolicy
from tests.attest.nvidia.devices import GPU, NONCE, device, parsed

HOPPER, BLACKWELL, SWITCH = (chain.identify(parsed(device(chip).parties)) for chip in ("GH100", "GB100", "LS_10"))
REPORT = layout.parse_report(GPU.report(NONCE))
RUNS = Firmware("550.90.07", "96.00.9F.00.01", "id", "id", None)
OLDER = msgspec.structs.replace(RUNS, driver="545.00")
OF_A_SWITCH = Firmware(None, "96.10.55.00.01", None, "id", None)


def rim(name: str = "driver RIM", *indices: int, product: str = "GH100", edition: str = "GPU", version: str = "550.90.07") -> Rim:
    references = tuple(Reference(index, (bytes(48), measurement(index))) for index in indices)
    return Rim(name, product, edition, version, references, Hex32("0" * 64))


def test_architectures_of_gpus() -> None:
    wanted.check_architecture(HOPPER, NvidiaPolicy())
    wanted.check_architecture(SWITCH, NvidiaPolicy())
    for policy, words in ((NvidiaPolicy(architectures=("Blackwell",)), "Blackwell"), (NvidiaPolicy(architectures=()), "none")):
        with pytest.raises(EvidenceRefused) as caught:
            wanted.check_architecture(HOPPER, policy)
        assert (caught.value.check, caught.value.want) == ("device.architecture", words)


def test_devices_are_listed_by_their_firmwares_certificate_or_their_chips() -> None:
    for devices in (None, (HOPPER.serial,), (HOPPER.chip_serial.upper(),)):
        wanted.check_listed(HOPPER, NvidiaPolicy(devices=devices))
    for unlisted in ((), ("ab",)):
        with pytest.raises(EvidenceRefused) as caught:
            wanted.check_listed(HOPPER, NvidiaPolicy(devices=unlisted))
        assert caught.value.check == "device.listed"


@pytest.mark.parametrize("nonce", [bytes(32), NONCE[:31], b"", None])
def test_another_nonce_than_ours(nonce: bytes | None) -> None:
    wanted.check_nonce(REPORT, NONCE)
    with pytest.raises(EvidenceRefused) as caught:
        wanted.check_nonce(REPORT, nonce)
    assert caught.value.check == "device.nonce"


def test_who_must_state_the_firmwares_digest() -> None:
    wanted.demanded_fwid(b"stated", HOPPER, RUNS)
    wanted.demanded_fwid(None, HOPPER, OLDER)
    wanted.demanded_fwid(None, SWITCH, OF_A_SWITCH)
    for device_, runs in ((HOPPER, RUNS), (BLACKWELL, OLDER)):
        with pytest.raises(EvidenceRefused) as caught:
            wanted.demanded_fwid(None, device_, runs)
        assert caught.value.check == "device.fwid"


@pytest.mark.parametrize("floor", ["550.90.07", "550.9", "549", "550.90.7"])
def test_a_driver_as_new_as_demanded(floor: str) -> None:
    wanted.check_driver(RUNS, NvidiaPolicy(min_driver=floor))


@pytest.mark.parametrize(
    "policy", [NvidiaPolicy(min_driver="550.90.08"), NvidiaPolicy(min_driver="551"), NvidiaPolicy(rejected_drivers=("550.90.07",))]
)
def test_a_driver_that_is_too_old_or_rejected(policy: NvidiaPolicy) -> None:
    with pytest.raises(EvidenceRefused) as caught:
        wanted.check_driver(RUNS, policy)
    assert (caught.value.check, caught.value.got) == ("device.driver", "550.90.07")


def test_a_floor_that_is_no_version_accepts_nothing() -> None:
    with pytest.raises(EvidenceRefused) as caught:
        wanted.check_driver(RUNS, NvidiaPolicy(min_driver="latest"))
    assert (caught.value.check, caught.value.got) == ("device.driver", "version 'latest'")


def test_a_switch_has_no_driver() -> None:
    wanted.check_driver(OF_A_SWITCH, NvidiaPolicy(min_driver="999"))


def test_a_vbios_that_is_rejected() -> None:
    wanted.check_vbios(RUNS, NvidiaPolicy(rejected_vbios=("96.00.9F.00.02",)))
    with pytest.raises(EvidenceRefused) as caught:
        wanted.check_vbios(RUNS, NvidiaPolicy(rejected_vbios=("96.00.9f.00.01",)))
    assert caught.value.check == "device.vbios"


def test_a_file_about_that_chip_and_version() -> None:
    wanted.check_rim_version(rim(), HOPPER, "550.90.07")
    wanted.check_rim_version(rim(version="96.00.9f.00.01"), HOPPER, "96.00.9F.00.01")
    wanted.check_rim_version(rim(product="GB1XX"), BLACKWELL, "550.90.07")
    wanted.check_rim_version(rim(product="LS10", edition="SWITCH"), SWITCH, "550.90.07")


@pytest.mark.parametrize(
    ("wrong", "chip"),
    [
        (rim(version="550.90.08"), HOPPER),
        (rim(product="GB100"), HOPPER),
        (rim(product="GH100"), BLACKWELL),
        (rim(edition="SWITCH"), HOPPER),
        (rim(product="LS10"), SWITCH),
    ],
)
def test_a_file_about_something_else(wrong: Rim, chip: chain.Device) -> None:
    with pytest.raises(EvidenceRefused) as caught:
        wanted.check_rim_version(wrong, chip, "550.90.07")
    assert caught.value.check == "rim.version"


def test_a_hopper_driver_of_that_very_line_states_the_digest() -> None:
    for runs in (msgspec.structs.replace(RUNS, driver="550"), msgspec.structs.replace(RUNS, driver=None)):
        with pytest.raises(EvidenceRefused, match=r"^device\.fwid"):
            wanted.demanded_fwid(None, HOPPER, runs)


def test_a_driver_that_is_no_version_is_refused_as_a_driver() -> None:
    odd = msgspec.structs.replace(RUNS, driver="new")
    with pytest.raises(EvidenceRefused, match=r"^device\.driver: got version 'new'"):
        wanted.demanded_fwid(None, HOPPER, odd)
    with pytest.raises(EvidenceRefused, match=r"^device\.driver: got version 'new'"):
        wanted.check_driver(odd, NvidiaPolicy(min_driver="550"))


def test_sixteen_of_many_differing_measurements_are_named() -> None:
    report = layout.parse_report(GPU.report(NONCE, measured=dict.fromkeys(range(20), b"\x01" * 48)))
    with pytest.raises(EvidenceRefused) as caught:
        wanted.check_measurements(report, (rim("driver RIM", *range(20)),))
    assert caught.value.got == f"20 other than NVIDIA's: {', '.join(map(str, range(16)))}"


def test_two_files_about_one_measurement() -> None:
    wanted.check_disjoint([rim("driver RIM", 1, 2), rim("VBIOS RIM", 3)])
    with pytest.raises(EvidenceRefused) as caught:
        wanted.check_disjoint([rim("driver RIM", 1, 2), rim("VBIOS RIM", 2)])
    assert (caught.value.check, caught.value.got) == ("rim.disjoint", "measurement 2 in two files")


def measuring(*indices: int) -> Report:
    values = tuple(measurement(index) if index in indices else bytes(48) for index in range(64))
    return msgspec.structs.replace(REPORT, measurements=values)


def test_any_of_the_reference_values_will_do() -> None:
    assert wanted.check_measurements(measuring(0, 5), [rim("driver RIM", 0, 1), rim("VBIOS RIM", 5)]) == (3, 0)  # 1 has the value of zeros


def test_what_no_file_describes_is_counted() -> None:
    assert wanted.check_measurements(measuring(0, 5, 63), [rim("driver RIM", 0)]) == (1, 2)


@pytest.mark.parametrize("value", [measurement(8), measurement(7)[:-1], measurement(7) + b"\x00", b""])
def test_every_active_measurement_must_be_equal(value: bytes) -> None:
    values = list(REPORT.measurements)
    values[7] = value
    with pytest.raises(EvidenceRefused) as caught:
        wanted.check_measurements(msgspec.structs.replace(REPORT, measurements=tuple(values)), [rim("driver RIM", 7, 21)])
    assert (caught.value.check, caught.value.got) == ("device.measurements", "1 other than NVIDIA's: 7")


def test_a_measurement_that_was_not_made() -> None:
    with pytest.raises(EvidenceRefused) as caught:
        wanted.check_measurements(msgspec.structs.replace(REPORT, measurements=REPORT.measurements[:31]), [rim("driver RIM", 31, 40)])
    assert caught.value.got == "2 other than NVIDIA's: 31, 40"
