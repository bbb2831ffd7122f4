"""A draft as a whole: not usable before a person has reviewed it, and never of two worlds."""

from pathlib import Path

import pytest

from ollm.attest.evidence import NitroEvidence, SnpEvidence, TdxEvidence
from ollm.config.policy_file import policy_of, read_document
from ollm.errors import ConfigError
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint import nitro, nvidia
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.snp_certificates import create_pki as create_snp_pki
from tests.config.draft.reviewing import drafted, reviewed, tree
from tests.sim.hardware import NOW, REPORT_DATA, FrozenClock


def tdx(machine: SimulatedMachine) -> TdxEvidence:
    return TdxEvidence(quote=machine.quote(REPORT_DATA), event_log=machine.event_log_json, app_compose=machine.app_compose)


HEAD = f"""\
# Policy "acme", drafted on 2026-11-23 by `ollm policy from-evidence`. NOT REVIEWED.
#
# It repeats what machines say of themselves in
#   0.bin (sha256 {"00" * 32})
# Nothing here was verified, and a hostile machine drafts the policy that admits it. So, before any gateway takes this
# file:
#   1. get each value below once more from where this machine can't write: the comment above it says how;
#   2. write where you have them from into `source`, for each set of reference values;
#   3. read what the policy leaves open: `ollm policy explain` with this file;
#   4. replace the next line by reviewed = "who, when, against what". As long as it says false, the file is refused;
#   5. `ollm verify evidence` under this policy must accept the evidence. Before, nobody knows that it is genuine.
reviewed = false

level = "simulated"
cpu = ["tdx"]

[tdx]
"""


def test_how_it_begins(machine: SimulatedMachine) -> None:
    assert drafted(tdx(machine)).startswith(HEAD)


def test_no_gateway_takes_it(machine: SimulatedMachine, tmp_path: Path) -> None:
    text = drafted(tdx(machine))
    with pytest.raises(ConfigError, match="is a draft that nobody has reviewed"):
        policy_of("acme", tree(text), tmp_path)
    path = tmp_path / "acme.toml"
    path.write_text(text)
    assert read_document(path).draft  # and it can be explained


def test_to_sign_it_off_is_not_enough_while_sources_say_that_nobody_looked(machine: SimulatedMachine, tmp_path: Path) -> None:
    rules = tree(drafted(tdx(machine))) | {"reviewed": "in a hurry"}
    with pytest.raises(ConfigError, match="says that nobody reviewed them"):
        policy_of("acme", rules, tmp_path)


def test_several_technologies(machine: SimulatedMachine) -> None:
    chip = SnpMachine(create_snp_pki("Genoa", NOW), NOW)
    hypervisor = nitro.create_hypervisor(NOW)
    text = drafted(tdx(machine), SnpEvidence(report=chip.report()), NitroEvidence(document=hypervisor.document(NOW)))
    policy = reviewed(text, snp={"simulated_root_sha256": chip.pki.root_sha256})
    assert policy.cpu == ("tdx", "sev-snp", "nitro")
    assert all(policy.simulated_roots)


def test_simulated_and_real_hardware_are_two_policies(machine: SimulatedMachine) -> None:
    unmarked = SimulatedMachine(machine.pki, machine.clock, marked=False)
    foreign = SimulatedMachine(create_pki(NOW), FrozenClock())
    for other in (unmarked, foreign):
        with pytest.raises(ConfigError, match="or of two simulated installations"):
            drafted(tdx(machine), tdx(other))
    with pytest.raises(ConfigError, match="of simulated and of real hardware"):
        drafted(tdx(machine), nvidia.create(NOW, marked=False).device().evidence(bytes(32)))


def test_gpus_alone_are_no_machine() -> None:
    with pytest.raises(ConfigError, match="no evidence of a CPU"):
        drafted(nvidia.create(NOW).device().evidence(bytes(32)))


def test_evidence_that_can_not_be_read_names_its_file(machine: SimulatedMachine) -> None:
    with pytest.raises(ConfigError) as refusal:
        drafted(tdx(machine), SnpEvidence(report=b"short"))
    assert refusal.value.cause == "1.bin: snp.format: got 5 bytes, want 1184"
    assert refusal.value.mend == "give evidence that can be read"


@pytest.mark.parametrize("name", ["", "a b", "x\nreviewed = true", "x" * 129])
def test_a_name_is_a_name(machine: SimulatedMachine, name: str) -> None:
    with pytest.raises(ConfigError, match="has characters that a name can't have"):
        drafted(tdx(machine), name=name)
