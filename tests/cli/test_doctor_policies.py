"""What `ollm doctor` notes about policies."""

import datetime

import msgspec

from ollm.cli.doctor_policies import policy_notes
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, NvidiaPolicy
from tests.config import samples
from tests.config.samples import LATER, REGISTER, ROOT, TODAY, changed

PINNED = changed(samples.full(), ("tdx", "reference_values", 0, "rtmr0"), REGISTER)


def noted(policy: AttestationPolicy, today: datetime.date = TODAY) -> list[str]:
    return [what for what, mend in policy_notes(policy, today) if mend]


def test_each_technology_without_reference_values() -> None:
    bare = AttestationPolicy(name="p", level=Level.TEE, cpu=("tdx", "sev-snp", "nitro"))
    for technology in bare.cpu:
        assert f"policy p has no reference values for {technology}, so it accepts nothing of it" in noted(bare)
    mends = [mend for what, mend in policy_notes(bare, TODAY) if "sev-snp" in what]
    assert mends == ["add [[policies.p.snp.reference_values]]"]
    assert not any("reference values" in what for what in noted(samples.full()))
    vouched = msgspec.structs.replace(bare, provenance=samples.full().provenance)
    assert not any("reference values" in what for what in noted(vouched))


def test_graces_that_run_and_that_are_over() -> None:
    before, last, after = noted(PINNED), noted(PINNED, LATER - datetime.timedelta(days=1)), noted(PINNED, LATER)
    assert "policy full accepts OutOfDate for 39 more days, in spite of known flaws" in before
    assert "policy full accepts Turin for 1 more day, in spite of known flaws" in last
    assert "policy full has a grace for OutOfDate that ended on 2027-01-01" in after


def test_compose_files_are_of_tdx() -> None:
    blind = msgspec.structs.replace(samples.full(), require_compose=False)
    assert "policy full does not look at the software's compose file" in noted(blind)
    assert not any("compose" in what for what in noted(msgspec.structs.replace(blind, cpu=("nitro",))))


def test_what_is_left_open_is_counted_unless_all_is() -> None:
    closed = AttestationPolicy(name="p", level=Level.TEE, nvidia=NvidiaPolicy())
    assert not any("leaves" in what for what in noted(closed))
    assert "policy p leaves 1 point open by which the host could read prompts" in noted(msgspec.structs.replace(closed, nvidia=None))
    simulated = changed(msgspec.structs.replace(closed, level=Level.SIMULATED, nvidia=None), ("tdx", "simulated_root_sha256"), ROOT)
    assert noted(simulated)[0] == "policy p admits simulated hardware, which proves nothing about privacy"
    assert not any("leaves" in what for what in noted(simulated))
