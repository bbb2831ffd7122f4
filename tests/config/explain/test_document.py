"""The explanation as a whole: every field of every policy has its say, the worst comes first, and it reads well."""

import msgspec
import pytest

from ollm.config.explain.document import explain
from ollm.config.explain.points import Severity
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, Grace, TdxPolicy, TdxReferenceValues
from tests.config import samples
from tests.config.samples import LATER, REGISTER, ROOT, TODAY

FIELDS = {".".join(map(str, path)): (path, field) for path, _, field in samples.leaves(samples.full())}


def everything(policy: AttestationPolicy) -> str:
    return "\n".join(explain(policy, TODAY).lines())


@pytest.mark.parametrize("name", FIELDS)
def test_every_field_changes_what_is_said(name: str) -> None:
    """A field that could be changed without a word changing would be a rule that nobody is told of."""
    path, field = FIELDS[name]
    one, other = samples.two_values(field)
    told = {everything(samples.changed(samples.full(), path, value)) for value in (one, other)}
    if field.default is not msgspec.NODEFAULT:
        told.add(everything(samples.changed(samples.full(), path, field.default)))
        assert len(told) == len({msgspec.json.encode(value) for value in (one, other, field.default)})
    assert len(told) >= 2, f"{name}: no sentence says which of {one!r} and {other!r} it is"


ACME = AttestationPolicy(
    name="acme",
    level=Level.TEE,
    reviewed="R. Okafor, 2026-11-23: rebuilt from tag v1.4",
    tdx=TdxPolicy(
        grace=(Grace(status="OutOfDate", until=LATER, reason="TCB-R 20"),),
        min_tcb_evaluation_data_number=20,
        rejected_advisories=("INTEL-SA-00837",),
        allow_smt=False,
        platforms=("0f" * 16,),
        reference_values=(
            TdxReferenceValues(name="1.4", source="rebuilt", mrtd=REGISTER, rtmr0=REGISTER, rtmr1=REGISTER, rtmr2=REGISTER, compose_hashes=(ROOT,)),
            TdxReferenceValues(name="1.5", source="rebuilt", mrtd=REGISTER, rtmr1=REGISTER, rtmr2=REGISTER, compose_hashes=(ROOT,)),
        ),
    ),
)

TRANSCRIPT = """\
Policy "acme" accepts a machine when all of this holds:
  - meeting it is worth level tee: hardware evidence under the vendors' own roots
  - these rules were reviewed: "R. Okafor, 2026-11-23: rebuilt from tag v1.4"
  - the CPU is of the kind Intel TDX
  - an Intel TDX quote, verified to Intel's root, which is compiled in
  - Intel's judgement of the platform's TCB is UpToDate
  - Intel's TCB information has at least evaluation number 20
  - no platform to which one of these advisories applies: INTEL-SA-00837
  - hyper-threading is off, says the platform's certificate
  - the machine is one of 1 known ones, by PPID: 0f0f0f0f0f0f…
  - TDX build "1.4", TDX build "1.5": its values come from: "rebuilt"
  - TDX build "1.4", TDX build "1.5": MRTD is 1a1a1a1a1a1a1a1a…: the virtual firmware
  - TDX build "1.4": RTMR0 is 1a1a1a1a1a1a1a1a…: what the host hands to the firmware: ACPI tables (which can run code in
    the guest), devices, boot variables
  - TDX build "1.4", TDX build "1.5": RTMR1 is 1a1a1a1a1a1a1a1a…: the kernel, or the boot loader that chose it
  - TDX build "1.4", TDX build "1.5": RTMR2 is 1a1a1a1a1a1a1a1a…: the kernel's command line and initrd
  - TDX build "1.4", TDX build "1.5": the application is one of 1 app-compose files, by SHA-256: abababababababab…
  - a TDX guest's event log is there, and replays to what its registers RTMR0 to RTMR3 hold
  - a TDX guest's app-compose file is there, is the one that was measured, and is listed below
  - a service's evidence is over a nonce of ours
  - keys of a service that prompts are sealed to are held by the verified machine alone, or every machine to which a key
    service gives an application's keys
  - a machine behind the provider's own gateway is refused
  - a service behind a Contrast coordinator (Privatemode) is refused: no manifest is pinned
  - a service that agrees with us on a secret (Privatemode) is refused: none is named
  - where keys belong to an application, the connection ends at a key that was attested
  - keys that the machine states are valid for at most 90 days

Left open, and lets the host or whoever runs the machine read prompts:
  - TCB status OutOfDate is accepted until 2027-01-01, in spite of the flaws that Intel lists (TCB-R 20)
  - TDX build "1.5": RTMR0 is not compared. It measures what the host hands to the firmware: ACPI tables (which can run
    code in the guest), devices, boot variables
  - GPUs are not looked at: a guest may hand prompts to a GPU whose memory the host can read (add a table nvidia)

Left open, to know:
"""


def test_a_transcript() -> None:
    assert everything(ACME).startswith(TRANSCRIPT)


def test_the_worst_comes_first_and_the_unreachable_last() -> None:
    text = everything(msgspec.structs.replace(ACME, tdx=msgspec.structs.replace(ACME.tdx, allow_smt=True, accepted_tcb_status=(), grace=())))
    headings = [line for line in text.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == [
        'Policy "acme" accepts a machine when all of this holds:',
        "It accepts nothing, because:",
        "Left open, and lets the host or whoever runs the machine read prompts:",
        "Left open, and helps a known attack or hides a rollback:",
        "Left open, to know:",
        "Outside what any policy can reach:",
    ]


def test_a_period_of_grace_ends_by_the_day() -> None:
    before, after = explain(ACME, TODAY), explain(ACME, LATER)
    assert any("OutOfDate is accepted until 2027-01-01" in text for text in before.of(Severity.EXPOSES))
    assert not any("OutOfDate" in text for text in after.of(Severity.EXPOSES))
    assert any("ended on 2027-01-01 and has no effect any more" in text for text in after.of(None))


def test_the_document_for_programs_says_the_same() -> None:
    explanation = explain(ACME, TODAY)
    document = explanation.document()
    assert document["policy"] == "acme"
    assert document["level"] == "tee"
    assert {"field": "reviewed", "text": 'these rules were reviewed: "R. Okafor, 2026-11-23: rebuilt from tag v1.4"'} in document["accepts"]
    severities = [point["severity"] for point in document["open"]]
    assert severities == sorted(severities, key=["nothing", "exposes", "weakens", "note"].index)
    assert {point["field"] for point in document["open"] if point["severity"] == "exposes"} == {"tdx.grace", "tdx.reference_values.rtmr0", "nvidia"}
    (rtmr0,) = [point for point in document["open"] if point["field"] == "tdx.reference_values.rtmr0"]
    assert rtmr0["of"] == 'TDX build "1.5"'
    assert document["outside"] == list(explanation.outside)
    assert msgspec.json.encode(document)


def test_lines_are_short_enough_to_read() -> None:
    assert max(len(line) for line in everything(samples.full()).splitlines()) <= 120
