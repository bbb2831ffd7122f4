"""Random damage to quotes, reports and logs: refused, and with no other exception. Seeded, so that a finding repeats."""

import json
import os
import random
from pathlib import Path

import pytest

from ollm.attest.appraise import appraise_quote
from ollm.attest.tdx.layout import parse_quote
from ollm.sim.machine import SimulatedMachine
from ollm.values.policy import AttestationPolicy
from tests.attest import recorded
from tests.attest.service import evidence, judged
from tests.sim.hardware import NOW, REPORT_DATA

pytestmark = pytest.mark.filterwarnings(
    "ignore::cryptography.utils.CryptographyDeprecationWarning"  # damage can make a serial number negative
)


def damaged(data: bytes, rng: random.Random) -> bytes:
    """`data` with one to four edits: a bit, a byte, a cut, a repeated or foreign piece."""
    result = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(result) or 1)
        kind = rng.randrange(6)
        if kind == 0 and result:
            result[at] ^= 1 << rng.randrange(8)
        elif kind == 1 and result:
            result[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif kind == 2:
            del result[at : at + rng.randint(1, 64)]
        elif kind == 3:
            result[at:at] = result[at : at + rng.randint(1, 64)]
        elif kind == 4:
            result[at:at] = rng.randbytes(rng.randint(1, 16))
        else:
            result[at : at + 4] = rng.choice((bytes(4), b"\xff" * 4, rng.randbytes(4)))
    return bytes(result)


def _refused_or_harmless(quote: bytes, original: bytes) -> bool:
    """Padding may grow or shrink; then the quote says and proves the very same."""
    return quote.rstrip(b"\x00") == original.rstrip(b"\x00") and parse_quote(quote).identity == parse_quote(original).identity


def _mutate_quotes(machine: SimulatedMachine, policy: AttestationPolicy, count: int, seed: int) -> None:
    rng, collateral, quote = random.Random(seed), machine.collateral(), machine.quote(REPORT_DATA)
    for turn in range(count):
        bent = damaged(quote, rng)
        if appraise_quote(bent, collateral, policy, NOW).accepted:
            assert _refused_or_harmless(bent, quote), (seed, turn)


def _mutate_reports(machine: SimulatedMachine, policy: AttestationPolicy, count: int, seed: int) -> None:
    rng, fetched = random.Random(seed), evidence(machine)
    text = fetched.report.decode()
    for turn in range(count):
        bent = evidence(machine, report=damaged(text.encode(), rng))
        appraisal, binding = judged(machine, policy, bent)
        if appraisal.accepted:  # damage to members that nobody reads, such as vm_config
            assert binding == judged(machine, policy, fetched)[1], (seed, turn)


def _mutate_logs(machine: SimulatedMachine, policy: AttestationPolicy, count: int, seed: int) -> None:
    rng = random.Random(seed)
    log = machine.event_log_json
    for turn in range(count):
        bent = damaged(log.encode(), rng).decode("utf-8", "replace")
        fetched = evidence(machine, change=lambda document, bent=bent: document["attestation"]["evidence"].update(event_log=bent))  # type: ignore[misc]
        if judged(machine, policy, fetched)[0].accepted:  # damage to a payload below RTMR3, which proves nothing, or to spaces
            assert _proven(bent) == _proven(log), (seed, turn)


def _proven(log: str) -> list[tuple[object, ...]]:
    """What of a log its digests prove."""
    return [(event["imr"], event["digest"], *((event["event"], event["event_payload"]) if event["imr"] == 3 else ())) for event in json.loads(log)]


@pytest.mark.parametrize("mutate", [_mutate_quotes, _mutate_reports, _mutate_logs])
def test_some_damage(machine: SimulatedMachine, policy: AttestationPolicy, mutate: object) -> None:
    mutate(machine, policy, 300, 1)  # type: ignore[operator]


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("mutate", "count"), [(_mutate_quotes, 14_000), (_mutate_reports, 3_000), (_mutate_logs, 3_000)])
def test_much_damage(machine: SimulatedMachine, policy: AttestationPolicy, mutate: object, count: int) -> None:
    """20,000 in all."""
    mutate(machine, policy, count, 2)  # type: ignore[operator]


def _every(machine: SimulatedMachine, policy: AttestationPolicy, mask: int, stride: int) -> None:
    quote, collateral = machine.quote(REPORT_DATA), machine.collateral()
    assert appraise_quote(quote, collateral, policy, NOW).accepted
    for at in range(0, len(quote), stride):
        changed = bytearray(quote)
        changed[at] ^= mask
        assert not appraise_quote(bytes(changed), collateral, policy, NOW).accepted, at


masks = pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF], ids=lambda mask: f"{mask:02x}")


@masks
def test_no_changed_byte_of_a_minted_quote_is_accepted(machine: SimulatedMachine, policy: AttestationPolicy, mask: int) -> None:
    _every(machine, policy, mask, 29)


@masks
@pytest.mark.exhaustive
@pytest.mark.timeout(300)
def test_no_change_to_any_byte_of_a_minted_quote_is_accepted(machine: SimulatedMachine, policy: AttestationPolicy, mask: int) -> None:
    _every(machine, policy, mask, 1)


@pytest.mark.skipif(not os.environ.get("OLLM_EVIDENCE_DIR"), reason="OLLM_EVIDENCE_DIR is not set: no recorded evidence")
def test_damage_to_a_real_quote() -> None:
    folder = Path(os.environ["OLLM_EVIDENCE_DIR"])
    case = recorded.find(folder, "tdx/q_v4_dcapqvl_near.dat")
    quote, collateral = recorded.evidence(folder, case).quote, recorded.collateral(folder, case)
    assert collateral is not None
    rng = random.Random(3)
    for turn in range(500):
        bent = damaged(quote, rng)
        if appraise_quote(bent, collateral, recorded.HARDWARE, recorded.seconds(case), compare_measurements=False).accepted:
            assert _refused_or_harmless(bent, quote), turn
