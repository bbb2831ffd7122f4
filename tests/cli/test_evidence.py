"""`ollm verify evidence`: files in, a verdict that explains itself out."""

import json
from pathlib import Path
from typing import Any

import pytest

from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.mint import nitro
from tests.cli.conftest import Ollm
from tests.sim.hardware import NOW, FrozenClock

NONCE = bytes(range(32))
KEY = bytes([7]) * 32
POLICY = """\
level = "simulated"
cpu = ["nitro"]
[nitro]
simulated_root_sha256 = "{root}"
[[nitro.reference_values]]
name = "image 1.4"
source = "minted for a test"
pcr0 = "{pcr0}"
"""


class Case:
    """A folder with a Nitro document and the policy that accepts it."""

    def __init__(self, folder: Path) -> None:
        hypervisor = nitro.create_hypervisor(NOW)
        self.document = folder / "document.bin"
        self.policy = folder / "enclaves.toml"
        self.document.write_bytes(hypervisor.document(NOW, user_data=KEY + NONCE, nonce=NONCE))
        self.policy.write_text(POLICY.format(root=hypervisor.root.sha256, pcr0=nitro.PCRS[0].hex()))

    @property
    def arguments(self) -> list[object]:
        return ["verify", "evidence", self.document, "--policy", self.policy, "--at", NOW]


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    return Case(tmp_path_factory.mktemp("case"))


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration lies where the command is run."""
    monkeypatch.chdir(tmp_path)


def outcomes(document: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["outcome"] for check in document["checks"]}


def test_trusted_evidence_says_what_it_proves_and_what_not(ollm: Ollm, case: Case) -> None:
    told = ollm(*case.arguments, "--nonce", NONCE.hex(), "--report-data", KEY.hex()).stdout

    assert "✓ nitro.signature" in told
    assert "✓ binding.nonce" in told
    assert "Not proven: which weights the model has." in told
    assert told.endswith("Accepted as simulated: software plays the hardware here, and nothing is proven about privacy.\n")


def test_what_was_not_asked_is_said(ollm: Ollm, case: Case) -> None:
    told = ollm(*case.arguments).stdout

    assert "No nonce was given: the evidence may be of any time that its collateral allows." in told
    assert "No report data was given: nothing says which channel ends at this machine." in told
    assert "binding." not in told


def test_one_document_for_programs(ollm: Ollm, case: Case) -> None:
    document = json.loads(ollm(*case.arguments, "--nonce", NONCE.hex(), "--json").stdout)

    assert (document["accepted"], document["policy"], document["level"], document["at"]) == (True, "enclaves", "simulated", NOW)
    assert set(outcomes(document).values()) == {"passed"}
    signature = next(check for check in document["checks"] if check["name"] == "nitro.signature")
    assert signature["proves"]
    assert signature["source"]
    assert document["claims"]["serving_software_known_good"]["status"] == "asserted"
    assert document["ear"]["submods"]["cpu"]["ear_status"] == "contraindicated"  # simulated
    assert document["ear"]["eat_nonce"] == NONCE.hex()


@pytest.mark.parametrize(
    ("more", "check", "mend"),
    [
        (["--nonce", KEY.hex()], "binding.nonce", "ask the machine anew"),
        (["--report-data", NONCE.hex()], "binding.statement", "ask the machine anew"),
        (["--at", NOW + 3 * 3600], "nitro.validity", "ask for a new document"),
        (["--at", NOW - 3 * 3600], "nitro.validity", "ask for a new document"),
    ],
)
def test_a_refusal_names_the_check_and_the_mend(ollm: Ollm, case: Case, more: list[object], check: str, mend: str) -> None:
    told = ollm(*case.arguments, *more, exits=1).stdout
    assert f"✗ {check}" in told
    assert f"To mend it: {mend}" in told
    assert "Refused. Nothing would be sent to this machine.\n" in told

    document = json.loads(ollm(*case.arguments, *more, "--json", exits=1).stdout)
    assert document["accepted"] is False
    (failed,) = [found for found in document["checks"] if found["outcome"] == "failed"]
    assert failed["name"] == check
    assert failed["mend"].startswith(mend)


def test_one_flipped_bit_is_refused(ollm: Ollm, case: Case, tmp_path: Path) -> None:
    data = bytearray(case.document.read_bytes())
    data[-1] ^= 1
    changed = tmp_path / "changed.bin"
    changed.write_bytes(data)

    told = ollm("verify", "evidence", changed, "--policy", case.policy, "--at", NOW, exits=1).stdout
    assert "✗ nitro.signature" in told


def test_hex_is_read_too(ollm: Ollm, case: Case, tmp_path: Path) -> None:
    text = tmp_path / "document.hex"
    text.write_text(case.document.read_bytes().hex() + "\n")

    ollm("verify", "evidence", text, "--policy", case.policy, "--at", NOW)


def test_evidence_of_another_technology_is_refused(ollm: Ollm, case: Case, tmp_path: Path) -> None:
    quote = tmp_path / "quote.bin"
    quote.write_bytes(SimulatedMachine(create_pki(NOW), FrozenClock()).quote(KEY + NONCE))
    closed = tmp_path / "collateral"
    closed.mkdir()

    told = ollm("verify", "evidence", quote, "--policy", case.policy, "--at", NOW, "--collateral", closed, exits=1).stdout
    assert "✗ machine.technology" in told


def test_what_this_release_does_not_judge_is_refused_by_name(ollm: Ollm, case: Case, tmp_path: Path) -> None:
    wrapped = tmp_path / "hcl.bin"
    wrapped.write_bytes(b"HCLA" + bytes(1000))

    told = ollm("verify", "evidence", wrapped, "--policy", case.policy, exits=1).stdout
    assert "✗ evidence.technology" in told
    assert "Azure's wrapped report" in told


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nothing.bin", "--policy", "POLICY"], "there is no file nothing.bin"),
        (["DOCUMENT", "--policy", "nobody"], "can't read ollm.toml"),
        (["DOCUMENT", "--policy", "POLICY", "--nonce", "xyz"], "--nonce is not hex of at most 512 bytes"),
        (["DOCUMENT", "--policy", "POLICY", "--nonce", ""], "--nonce is not hex"),
        (["DOCUMENT", "--policy", "POLICY", "--report-data", "00" * 65], "--report-data is not hex of at most 64 bytes"),
        (["DOCUMENT", "--policy", "POLICY", "--at", "soon"], "'soon' is no time"),
        (["DOCUMENT", "--policy", "POLICY", "--collateral", "nowhere.tar"], "can't read nowhere.tar"),
        (["POLICY", "--policy", "POLICY"], "holds nothing that is known as evidence"),
        (["DOCUMENT", "--policy", "POLICY", "--event-log", "DOCUMENT"], "is not UTF-8"),
        (["DOCUMENT", "--policy", "POLICY", "--app-compose", "POLICY"], "app_compose explain a TDX quote"),
    ],
)
def test_what_can_not_be_judged_is_no_verdict(ollm: Ollm, case: Case, arguments: list[str], told: str) -> None:
    places = {"POLICY": case.policy, "DOCUMENT": case.document}

    result = ollm("verify", "evidence", *(places.get(argument, argument) for argument in arguments), exits=2)

    assert told in result.stderr
    assert result.stderr.startswith("ollm: ")
    assert result.stderr.count("\n") == 1


def test_a_policy_of_the_configuration_is_named(ollm: Ollm, case: Case, config: Path) -> None:
    text = (
        config.read_text()
        + "[policies.enclaves]\n"
        + case.policy.read_text().replace("[nitro]", "[policies.enclaves.nitro]").replace("[[nitro.", "[[policies.enclaves.nitro.")
    )
    config.write_text(text)

    ollm("verify", "evidence", case.document, "--policy", "enclaves", "--at", NOW, "-c", config)
    told = ollm("verify", "evidence", case.document, "--policy", "others", "--at", NOW, "-c", config, exits=2).stderr
    assert "others is neither a file nor a policy of the configuration — configured: enclaves" in told


def test_a_signed_file_that_the_policy_does_not_admit_is_refused(ollm: Ollm, case: Case, tmp_path: Path) -> None:
    stranger = tmp_path / "values.json"
    stranger.write_text('{"payloadType": "application/vnd.in-toto+json", "payload": "e30=", "signatures": []}')

    told = ollm(*case.arguments, "--provenance", stranger, exits=1).stdout
    assert "✗ provenance." in told
