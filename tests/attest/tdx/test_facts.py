"""Facts of a quote assert what was proven and nothing else."""

import datetime
import hashlib

import msgspec
import pytest

from ollm.attest.dstack.eventlog import RuntimeEvent
from ollm.attest.facts import CpuFacts
from ollm.attest.tdx import ccel, facts
from ollm.attest.tdx.collateral import ModuleLevel, parse
from ollm.attest.tdx.genuine import PlatformClaims
from ollm.attest.tdx.layout import TdxQuote, parse_quote
from ollm.sim.machine import SimulatedMachine
from ollm.values.checks import UNKNOWN, Claim
from ollm.values.policy import Grace
from tests.attest.tdx.claimed import PLATFORM

OUTDATED = msgspec.structs.replace(PLATFORM, tcb_status="OutOfDate", advisories=("SA-1", "SA-2"))


@pytest.fixture(scope="module")
def quote(machine: SimulatedMachine) -> TdxQuote:
    return parse_quote(machine.quote(bytes(range(64))))


def found(
    quote: TdxQuote, platform: PlatformClaims = PLATFORM, *, module: ModuleLevel | None = None, grace: Grace | None = None, simulated: bool = False
) -> CpuFacts:
    return facts.cpu_facts(quote, platform, module, grace, valid_until=7, simulated=simulated)


def test_hardware_is_proven_by_hardware(quote: TdxQuote) -> None:
    result = found(quote)

    assert (result.attested.status, result.attested.source) == ("asserted", "hardware_proven")
    assert result.tcb == Claim("asserted", "hardware_proven", "UpToDate")
    assert (result.technology, result.identity, result.report_data, result.valid_until) == ("tdx", quote.identity, bytes(range(64)), 7)
    assert result.warnings == ()


def test_what_was_measured_and_judged_is_told(machine: SimulatedMachine, quote: TdxQuote) -> None:
    module = parse(machine.collateral()).module_level(quote.td_report.tee_tcb_svn)
    told = found(quote, msgspec.structs.replace(PLATFORM, current_tcb_status="UpToDate"), module=module).facts

    assert told["fmspc"] == "00A06D080000"
    assert told["rtmr3"] == quote.td_report.rtmr3.hex()
    assert told["xfam"] == "e702060000000000"
    assert told["mr_config_id"] == quote.td_report.mr_config_id.hex()
    assert told["tcb_date"] == told["qe_tcb_date"] == told["tdx_module_tcb_date"] == "2026-08-12T00:00:00Z"
    assert told["current_tcb_status"] == told["qe_tcb_status"] == told["tdx_module_tcb_status"] == "UpToDate"
    assert (told["dynamic_platform"], told["cached_keys"], told["smt"]) == ("True", "False", "True")


def test_what_is_zero_or_unknown_is_left_out(quote: TdxQuote) -> None:
    told = found(quote).facts

    assert not {"mr_owner", "mr_owner_config", "tee_tcb_svn_2", "current_tcb_status", "tdx_module_tcb_status"} & told.keys()


def test_the_ppid_is_for_allow_lists_and_its_digest_for_everybody(quote: TdxQuote) -> None:
    result = found(quote)

    assert result.hardware_id == PLATFORM.ppid
    assert result.facts["device_id"] == hashlib.sha256(bytes.fromhex(PLATFORM.ppid)).hexdigest()
    assert PLATFORM.ppid not in result.facts.values()


def test_a_tcb_that_is_accepted_but_old_is_refuted_with_its_advisories(quote: TdxQuote) -> None:
    result = found(quote, OUTDATED)

    assert result.tcb == Claim("refuted", "hardware_proven", "OutOfDate SA-1 SA-2")
    assert result.facts["advisories"] == "SA-1,SA-2"
    assert result.warnings == ("TCB status OutOfDate (SA-1, SA-2) is accepted by the policy",)


def test_grace_is_a_warning_that_says_until_when_and_why(quote: TdxQuote) -> None:
    grace = Grace(status="OutOfDate", until=datetime.date(2027, 2, 1), reason="the provider updates its firmware in January")

    assert found(quote, msgspec.structs.replace(OUTDATED, advisories=()), grace=grace).warnings == (
        "TCB status OutOfDate is accepted until 2027-02-01: the provider updates its firmware in January",
    )
    assert found(quote, OUTDATED, grace=grace).tcb.status == "refuted"


def test_simulated_hardware_proves_nothing_about_hardware(quote: TdxQuote) -> None:
    result = found(quote, simulated=True)

    assert result.attested == Claim("refuted", "verifier_derived", "simulated")
    assert result.tcb == UNKNOWN


def test_a_firmware_log_tells_of_secure_boot(machine: SimulatedMachine) -> None:
    measured = ccel.parse(machine.ccel)
    without = tuple(event for event in measured if b"S\x00e\x00c\x00u\x00r\x00e" not in event.data)
    off = tuple(msgspec.structs.replace(event, data=event.data[:-1] + b"\x00") if event not in without else event for event in measured)

    assert facts.firmware_facts(measured) == {"secure_boot": "on"}
    assert facts.firmware_facts(off) == {"secure_boot": "off"}
    assert facts.firmware_facts(without) == {}


def test_a_boot_log_tells_of_application_and_image() -> None:
    ready, app, image = RuntimeEvent("system-ready", b""), RuntimeEvent("app-id", b"\x0a"), RuntimeEvent("os-image-hash", b"\x0b")

    assert facts.boot_facts((app, image, ready)) == {"app_id": "0a", "os_image_hash": "0b"}
    assert facts.boot_facts((app, image, image, ready)) == {"app_id": "0a"}
    assert facts.boot_facts((app, ready, image)) == {"app_id": "0a"}
    assert facts.boot_facts((app, image)) == {}
