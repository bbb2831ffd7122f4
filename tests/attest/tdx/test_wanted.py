"""Attributes, TCB and measurements: each rule alone, with the value next to it."""

import msgspec
import pytest

from ollm.attest.tdx import wanted
from ollm.attest.tdx.genuine import PlatformClaims
from ollm.attest.tdx.layout import Header, TdReport, parse_quote
from ollm.errors import EvidenceRefused
from ollm.sim.machine import SimulatedMachine
from ollm.sim.reference import reference_values
from ollm.values.policy import TdxPolicy, TdxReferenceValues

SEPT_VE_DISABLE = 1 << 28


@pytest.fixture(scope="module")
def report(machine: SimulatedMachine) -> TdReport:
    return parse_quote(machine.quote(bytes(64))).td_report


def with_bits(report: TdReport, bits: int) -> TdReport:
    return msgspec.structs.replace(report, td_attributes=bits.to_bytes(8, "little"))


def claims(**members: object) -> PlatformClaims:
    base = PlatformClaims("UpToDate", (), 20, "000000000000", "True", "False", "Undefined")
    return msgspec.structs.replace(base, **members)


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

    wanted.check_tcb_status(claims(tcb_status="SWHardeningNeeded"), lenient)
    with pytest.raises(EvidenceRefused, match=r"got OutOfDate \(SA-1, SA-2\), want UpToDate or SWHardeningNeeded"):
        wanted.check_tcb_status(claims(tcb_status="OutOfDate", advisories=("SA-1", "SA-2")), lenient)
    with pytest.raises(EvidenceRefused, match="want none"):
        wanted.check_tcb_status(claims(), TdxPolicy(accepted_tcb_status=()))


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


def test_every_stated_measurement_must_be_equal(machine: SimulatedMachine, report: TdReport) -> None:
    values = reference_values(machine)

    assert wanted.matching_reference_values(report, (values,)) == (values,)
    for register in ("mrtd", "rtmr0", "rtmr1", "rtmr2", "mr_seam"):
        other = msgspec.structs.replace(values, **{register: "00" * 48})
        with pytest.raises(EvidenceRefused, match=register.replace("_", "").upper()):
            wanted.matching_reference_values(report, (other,))
        unstated = msgspec.structs.replace(values, **{register: None}) if register != "mrtd" else values
        assert wanted.matching_reference_values(report, (other, unstated)) == (unstated,)


def test_the_nearest_reference_values_explain_the_refusal(machine: SimulatedMachine, report: TdReport) -> None:
    near = msgspec.structs.replace(reference_values(machine), name="near", rtmr2="00" * 48)
    far = TdxReferenceValues(name="far", source="nowhere", mrtd="00" * 48, rtmr1="00" * 48)

    with pytest.raises(EvidenceRefused, match="got RTMR2 other than in near"):
        wanted.matching_reference_values(report, (far, near))


def test_an_empty_list_accepts_nothing(report: TdReport) -> None:
    with pytest.raises(EvidenceRefused, match="no reference values"):
        wanted.matching_reference_values(report, ())
