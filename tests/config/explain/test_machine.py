"""What is said of a policy as a whole, and what no policy can reach."""

import msgspec

from ollm.config.explain.document import explain
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, TdxPolicy, TdxReferenceValues
from tests.config.explain.saying import exposes, holds, notes, weakens
from tests.config.samples import REGISTER, TODAY

BASE = AttestationPolicy(name="p", level=Level.TEE)
SNP = AttestationPolicy(name="p", level=Level.TEE, cpu=("sev-snp",))


def test_simulated_hardware_is_read_by_whoever_runs_it() -> None:
    assert "reads every prompt" in exposes(msgspec.structs.replace(BASE, level=Level.SIMULATED), "level")
    assert "worth level tee" in holds(BASE, "level")


def test_who_reviewed_it() -> None:
    assert "nobody is named" in notes(BASE, "reviewed")
    assert holds(msgspec.structs.replace(BASE, reviewed="R. O."), "reviewed") == 'these rules were reviewed: "R. O."'


def test_only_what_is_in_use_is_told() -> None:
    fields = {said.field.partition(".")[0] for said in explain(SNP, TODAY).said}
    assert "snp" in fields
    assert not {"tdx", "nitro"} & fields
    assert "as strong as what it says of the weakest" in notes(msgspec.structs.replace(BASE, cpu=("tdx", "sev-snp")), "cpu")


def test_event_log_and_compose() -> None:
    assert "replays" in holds(BASE, "require_event_log")
    assert "listed below" in holds(BASE, "require_compose")
    demanded = msgspec.structs.replace(BASE, require_event_log=False)
    assert holds(demanded, "require_event_log").endswith("(require_compose demands it)")
    values = TdxReferenceValues(name="b", source="s", mrtd=REGISTER)
    loose = msgspec.structs.replace(demanded, require_compose=False, tdx=TdxPolicy(reference_values=(values,)))
    assert "no event log is demanded" in weakens(loose, "require_event_log")
    assert "any container may read the prompts" in exposes(loose, "require_compose")
    pinned = msgspec.structs.replace(loose, tdx=TdxPolicy(reference_values=(msgspec.structs.replace(values, rtmr3=REGISTER),)))
    assert not exposes(pinned, "require_compose")
    assert "the pinned RTMR3 alone speaks for the application" in notes(pinned, "require_compose")


def test_logs_and_compose_files_are_of_tdx() -> None:
    assert holds(SNP, "require_event_log") == "an event log is no matter on these CPUs"
    assert "must be in what they measure" in holds(SNP, "require_compose")


def test_what_no_policy_reaches() -> None:
    outside = " | ".join(explain(BASE, TODAY).outside)
    for part in ("weights", "free of flaws", "TEE.fail", "side channels", "Intel: their signing keys"):
        assert part in outside
    assert "Nitro" not in outside
    assert "AWS does not look itself" in " | ".join(explain(msgspec.structs.replace(BASE, cpu=("nitro",)), TODAY).outside)
