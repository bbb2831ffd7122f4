"""Attributes, TCB and measurements: each rule alone, with the value next to it."""

import datetime

import msgspec
import pytest

from ollm.attest.tdx import wanted
from ollm.attest.tdx.genuine import PlatformClaims
from ollm.attest.tdx.layout import Header, TdReport, parse_quote
from ollm.errors import EvidenceRefused
from ollm.sim.machine import SimulatedMachine
from ollm.sim.reference import reference_values
from ollm.values.policy import Grace, TdxPolicy, TdxReferenceValues
from tests.attest.tdx.claimed import PLATFORM
from tests.sim.hardware import NOW

SEPT_VE_DISABLE = 1 << 28
REGISTERS = ("mrtd", "rtmr0", "rtmr1", "rtmr2", "rtmr3", "mr_seam", "mr_config_id", "mr_owner", "mr_owner_config")


@pytest.fixture(scope="module")
def report(machine: SimulatedMachine) -> TdReport:
    return parse_quote(machine.quote(bytes(64))).td_report


def with_bits(report: TdReport, bits: int) -> TdReport:
    return msgspec.structs.replace(report, td_attributes=bits.to_bytes(8, "little"))


def claims(**members: object) -> PlatformClaims:
    return msgspec.structs.replace(PLATFORM, cached_keys="False", smt="Undefined", **members)


def refused(check: str) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, check=lambda error: error.check == check)


def test_intels_quoting_enclave_and_zero_reserved_bytes() -> None:
    header = Header(4, 2, 0x81, bytes(4), wanted.INTEL_QE_VENDOR, bytes(20))

    wanted.check_header(header)
    for changes in ({"qe_vendor_id": bytes(16)}, {"reserved": b"\x00\x01\x00\x00"}):
        with refused("quote.header"):
            wanted.check_header(msgspec.structs.replace(header, **changes))


@pytest.mark.parametrize("bit", range(64))
def test_each_attribute_bit_is_allowed_or_refused_by_its_own_check(report: TdReport, bit: int) -> None:
    checks = (wanted.check_debug, wanted.check_sept_ve_disable, wanted.check_reserved_attributes, wanted.check_migratable)
    bits = with_bits(report, SEPT_VE_DISABLE | 1 << bit)
    refusals = []
    for check in checks:
        try:
            check(bits)
        except EvidenceRefused as error:
            refusals.append(error.check)

    allowed = {27: [], 28: [], 30: [], 31: [], 63: [], 0: ["quote.debug"], 29: ["quote.migratable"]}
    assert refusals == allowed.get(bit, ["quote.reserved_attributes"])


@pytest.mark.parametrize(
    "xfam", ["e702060000000000", "0702000000000000", "e718060000000000", "e742060000000000", "0300000000000000", "e7db060000000000"]
)
def test_cpu_state_that_is_known_is_fine(report: TdReport, xfam: str) -> None:
    wanted.check_xfam(msgspec.structs.replace(report, xfam=bytes.fromhex(xfam)))


XFAMS = {
    "no x87": 0x2,
    "no SSE": 0x1,
    "MPX": 0x3 | 1 << 3,
    "PASID": 0x3 | 1 << 10,
    "HDC": 0x3 | 1 << 13,
    "unknown": 0x3 | 1 << 63,
    "AVX-512 without AVX": 0x3 | 0b111 << 5,
    "half of AVX-512": 0x7 | 1 << 5,
    "half of CET": 0x3 | 1 << 11,
    "half of AMX": 0x3 | 1 << 18,
}


@pytest.mark.parametrize("what", XFAMS)
def test_cpu_state_that_is_unknown_or_torn_apart_is_refused(report: TdReport, what: str) -> None:
    with refused("quote.xfam"):
        wanted.check_xfam(msgspec.structs.replace(report, xfam=XFAMS[what].to_bytes(8, "little")))


SVN = bytes.fromhex("06010300000000000000000000000000")


@pytest.mark.parametrize("current", [None, SVN.hex(), "07010300" + "00" * 12, "00020300" + "00" * 12, "06010400" + "00" * 12])
def test_a_module_may_be_exchanged_for_a_newer_one(report: TdReport, current: str | None) -> None:
    svn_2 = bytes.fromhex(current) if current is not None else None
    wanted.check_current_module(msgspec.structs.replace(report, tee_tcb_svn=SVN, tee_tcb_svn_2=svn_2))


@pytest.mark.parametrize("current", ["05010300" + "00" * 12, "07000300" + "00" * 12, "06010200" + "00" * 12, "00" * 16])
def test_a_module_that_was_exchanged_for_an_older_one_is_refused(report: TdReport, current: str) -> None:
    with refused("quote.current_module"):
        wanted.check_current_module(msgspec.structs.replace(report, tee_tcb_svn=SVN, tee_tcb_svn_2=bytes.fromhex(current)))


def test_exceptions_by_the_host_must_be_disabled(report: TdReport) -> None:
    with refused("quote.sept_ve_disable"):
        wanted.check_sept_ve_disable(with_bits(report, 0))


def test_a_service_td_exists_only_in_reports_of_1_5(report: TdReport) -> None:
    wanted.check_service_td(report)
    wanted.check_service_td(msgspec.structs.replace(report, mr_service_td=bytes(48)))
    with refused("quote.service_td"):
        wanted.check_service_td(msgspec.structs.replace(report, mr_service_td=bytes(47) + b"\x01"))


@pytest.mark.parametrize("changes", [{"mr_signer_seam": bytes(47) + b"\x01"}, {"seam_attributes": b"\x01" + bytes(7)}])
def test_the_module_is_intels(report: TdReport, changes: dict[str, bytes]) -> None:
    wanted.check_seam_signer(report)
    with refused("quote.seam_signer"):
        wanted.check_seam_signer(msgspec.structs.replace(report, **changes))


def test_a_status_must_be_listed() -> None:
    lenient = TdxPolicy(accepted_tcb_status=("UpToDate", "SWHardeningNeeded"))

    assert wanted.check_tcb_status(claims(tcb_status="SWHardeningNeeded"), lenient, NOW) is None
    with pytest.raises(EvidenceRefused, match=r"got OutOfDate \(SA-1, SA-2\), want UpToDate or SWHardeningNeeded"):
        wanted.check_tcb_status(claims(tcb_status="OutOfDate", advisories=("SA-1", "SA-2")), lenient, NOW)
    with pytest.raises(EvidenceRefused, match="want none"):
        wanted.check_tcb_status(claims(), TdxPolicy(accepted_tcb_status=()), NOW)


def test_grace_ends_at_midnight_utc_of_its_day() -> None:
    grace = Grace(status="OutOfDate", until=datetime.date(2027, 1, 16), reason="the provider updates on the 15th")
    policy = TdxPolicy(grace=(Grace(status="SWHardeningNeeded", until=datetime.date(2030, 1, 1), reason="another"), grace))
    outdated = claims(tcb_status="OutOfDate", advisories=("SA-1",))
    end = int(datetime.datetime(2027, 1, 16, tzinfo=datetime.UTC).timestamp())

    assert wanted.grace_end(grace) == end
    assert wanted.check_tcb_status(outdated, policy, end - 1) is grace
    assert wanted.check_tcb_status(claims(), policy, end) is None
    with pytest.raises(EvidenceRefused, match=r"tcb\.status: got OutOfDate \(SA-1\), whose grace ended on 2027-01-16, want UpToDate"):
        wanted.check_tcb_status(outdated, policy, end)


def test_a_grace_is_for_its_own_status_only() -> None:
    policy = TdxPolicy(grace=(Grace(status="SWHardeningNeeded", until=datetime.date(2030, 1, 1), reason="another"),))

    with pytest.raises(EvidenceRefused, match=r"got OutOfDate, want UpToDate"):
        wanted.check_tcb_status(claims(tcb_status="OutOfDate"), policy, NOW)


def test_rejected_advisories_are_named() -> None:
    policy = TdxPolicy(rejected_advisories=("SA-2", "SA-3"))

    wanted.check_advisories(claims(advisories=("SA-1",)), policy)
    with pytest.raises(EvidenceRefused, match=r"tcb\.advisories: got SA-2,"):
        wanted.check_advisories(claims(advisories=("SA-1", "SA-2")), policy)


def test_collateral_may_not_be_older_than_the_floor() -> None:
    wanted.check_evaluation_number(claims(), TdxPolicy(min_tcb_evaluation_data_number=20))
    with refused("tcb.evaluation_number"):
        wanted.check_evaluation_number(claims(), TdxPolicy(min_tcb_evaluation_data_number=21))


def test_a_configuration_that_is_not_denied_is_not_denied_by_silence() -> None:
    wanted.check_configuration(claims(), TdxPolicy())
    wanted.check_configuration(claims(), TdxPolicy(allow_cached_keys=False))
    for policy, name in ((TdxPolicy(allow_dynamic_platform=False), "dynamic platform: True"), (TdxPolicy(allow_smt=False), "SMT: Undefined")):
        with pytest.raises(EvidenceRefused, match=name):
            wanted.check_configuration(claims(), policy)


def test_only_listed_machines_are_accepted() -> None:
    wanted.check_platform(claims(ppid="ab" * 16), ("cd" * 16, "ab" * 16))
    for listed in ((), ("cd" * 16,)):
        with pytest.raises(EvidenceRefused, match=rf"platform\.listed: got PPID abab.*one of the {len(listed)} "):
            wanted.check_platform(claims(ppid="ab" * 16), listed)


@pytest.mark.parametrize("register", REGISTERS)
def test_every_stated_measurement_must_be_equal(machine: SimulatedMachine, report: TdReport, register: str) -> None:
    values = msgspec.structs.replace(reference_values(machine), **{register: getattr(report, register).hex()})
    other = msgspec.structs.replace(values, **{register: "07" * 48})

    assert wanted.matching_reference_values(report, (values,)) == (values,)
    with pytest.raises(EvidenceRefused, match=f"got {register.replace('_', '').upper()} other than"):
        wanted.matching_reference_values(report, (other,))
    unstated = msgspec.structs.replace(values, **{register: None}) if register != "mrtd" else values
    assert wanted.matching_reference_values(report, (other, unstated)) == (unstated,)


def test_a_list_of_images_wants_one_of_them_proven(machine: SimulatedMachine, report: TdReport) -> None:
    values = msgspec.structs.replace(reference_values(machine), os_image_hashes=("11" * 32, "22" * 32))

    assert wanted.matching_reference_values(report, (values,), "22" * 32) == (values,)
    for image in ("33" * 32, None):
        with pytest.raises(EvidenceRefused, match="got OS image other than"):
            wanted.matching_reference_values(report, (values,), image)
    with refused("measurement.reference_values"):
        wanted.matching_reference_values(report, (msgspec.structs.replace(values, os_image_hashes=()),), "22" * 32)


def test_the_nearest_reference_values_explain_the_refusal(machine: SimulatedMachine, report: TdReport) -> None:
    near = msgspec.structs.replace(reference_values(machine), name="near", rtmr2="00" * 48)
    far = TdxReferenceValues(name="far", source="nowhere", mrtd="00" * 48, rtmr1="00" * 48)

    with pytest.raises(EvidenceRefused, match="got RTMR2 other than in near"):
        wanted.matching_reference_values(report, (far, near))
    image = "11" * 32  # the right one counts as equal, so that only what differs is told
    other = msgspec.structs.replace(near, os_image_hashes=(image,))
    with pytest.raises(EvidenceRefused, match="got RTMR2 other than in near"):
        wanted.matching_reference_values(report, (other,), image)


def test_an_empty_list_accepts_nothing(report: TdReport) -> None:
    with pytest.raises(EvidenceRefused, match="no reference values"):
        wanted.matching_reference_values(report, ())
