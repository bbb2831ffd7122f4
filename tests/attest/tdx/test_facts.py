"""Facts of a quote assert what was proven and nothing else."""

import pytest

from ollm.attest.tdx import facts
from ollm.attest.tdx.genuine import PlatformClaims
from ollm.attest.tdx.layout import TdxQuote, parse_quote
from ollm.sim.machine import SimulatedMachine
from ollm.values.checks import UNKNOWN, Claim

PLATFORM = PlatformClaims("UpToDate", (), 20, "00A06D080000", "True", "False", "True")
OUTDATED = PlatformClaims("OutOfDate", ("SA-1", "SA-2"), 20, "00A06D080000", "True", "False", "True")


@pytest.fixture(scope="module")
def quote(machine: SimulatedMachine) -> TdxQuote:
    return parse_quote(machine.quote(bytes(range(64))))


def test_hardware_is_proven_by_hardware(quote: TdxQuote) -> None:
    found = facts.cpu_facts(quote, PLATFORM, 7, simulated=False)

    assert (found.attested.status, found.attested.source) == ("asserted", "hardware_proven")
    assert found.tcb == Claim("asserted", "hardware_proven", "UpToDate")
    assert (found.technology, found.identity, found.report_data, found.valid_until) == ("tdx", quote.identity, bytes(range(64)), 7)
    assert found.facts["fmspc"] == "00A06D080000"
    assert found.facts["rtmr3"] == quote.td_report.rtmr3.hex()


def test_a_tcb_that_is_accepted_but_old_is_refuted_with_its_advisories(quote: TdxQuote) -> None:
    found = facts.cpu_facts(quote, OUTDATED, 7, simulated=False)

    assert found.tcb == Claim("refuted", "hardware_proven", "OutOfDate SA-1 SA-2")
    assert found.facts["advisories"] == "SA-1,SA-2"


def test_simulated_hardware_proves_nothing_about_hardware(quote: TdxQuote) -> None:
    found = facts.cpu_facts(quote, PLATFORM, 7, simulated=True)

    assert found.attested == Claim("refuted", "verifier_derived", "simulated")
    assert found.tcb == UNKNOWN
