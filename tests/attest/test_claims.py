"""Claims assert what was proven and nothing else."""

import pytest

from ollm.attest import claims
from ollm.attest.tdx.genuine import PlatformClaims
from ollm.attest.tdx.layout import TdReport, parse_quote
from ollm.sim.machine import SimulatedMachine
from ollm.values.checks import UNKNOWN, Claim, Claims
from ollm.values.policy import TdxReferenceValues

PLATFORM = PlatformClaims("UpToDate", (), 20, "00A06D080000", "True", "False", "True")
OUTDATED = PlatformClaims("OutOfDate", ("SA-1", "SA-2"), 20, "00A06D080000", "True", "False", "True")
REGISTER = "00" * 48
COMPLETE = TdxReferenceValues(name="build 7", source="", mrtd=REGISTER, rtmr0=REGISTER, rtmr1=REGISTER, rtmr2=REGISTER)
PARTIAL = TdxReferenceValues(name="kernel only", source="", mrtd=REGISTER, rtmr1=REGISTER, rtmr2=REGISTER)


@pytest.fixture(scope="module")
def report(machine: SimulatedMachine) -> TdReport:
    return parse_quote(machine.quote(bytes(64))).td_report


def test_hardware_is_proven_by_hardware(report: TdReport) -> None:
    found = claims.quote_claims(report, PLATFORM, simulated=False)

    assert (found.tee_attested.status, found.tee_attested.source) == ("asserted", "hardware_proven")
    assert found.tcb_up_to_date == Claim("asserted", "hardware_proven", "UpToDate")
    assert found.gpu_attested == found.os_known_good == found.serving_software_known_good == found.model_weights_provenance == UNKNOWN
    assert found.extra["fmspc"] == "00A06D080000"
    assert found.extra["rtmr3"] == report.rtmr3.hex()
    assert "ppid" not in found.extra


def test_a_tcb_that_is_accepted_but_old_is_refuted_with_its_advisories(report: TdReport) -> None:
    found = claims.quote_claims(report, OUTDATED, simulated=False)

    assert found.tcb_up_to_date == Claim("refuted", "hardware_proven", "OutOfDate SA-1 SA-2")
    assert found.extra["advisories"] == "SA-1,SA-2"


def test_simulated_hardware_proves_nothing_about_hardware(report: TdReport) -> None:
    found = claims.quote_claims(report, PLATFORM, simulated=True)

    assert found.tee_attested == Claim("refuted", "verifier_derived", "simulated")
    assert found.tcb_up_to_date == UNKNOWN


def test_a_known_os_makes_known_software() -> None:
    found = claims.service_claims(Claims(), (PARTIAL, COMPLETE), "11" * 32, COMPLETE, simulated=False)

    assert found.os_known_good == Claim("asserted", "verifier_derived", "measurements equal the reference values: build 7")
    assert found.serving_software_known_good == Claim("asserted", "verifier_derived", "app-compose listed in the reference values: build 7")
    assert found.extra == {"compose_hash": "11" * 32}


def test_a_register_left_out_leaves_os_and_software_unknown() -> None:
    found = claims.service_claims(Claims(), (PARTIAL,), "11" * 32, PARTIAL, simulated=False)

    assert found.os_known_good == found.serving_software_known_good == UNKNOWN


def test_without_a_compose_file_the_software_is_unknown() -> None:
    found = claims.service_claims(Claims(), (COMPLETE,), None, None, simulated=True)

    assert found.os_known_good.reason == "measurements equal the reference values (on simulated hardware): build 7"
    assert found.serving_software_known_good == UNKNOWN
    assert found.extra == {}
