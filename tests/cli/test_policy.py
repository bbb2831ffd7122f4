"""`ollm policy`: explain, draft, pin; the way from evidence to a configuration, as a person goes it."""

import json
import tomllib
from pathlib import Path

import pytest

from ollm.config.load import load
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from tests.cli.conftest import Ollm
from tests.config.samples import REGISTER, ROOT
from tests.sim.hardware import NOW, FrozenClock, aci_evidence

POLICY = f"""\
level = "tee"
reviewed = "R. Okafor, 2026-11-23"

[[tdx.grace]]
status = "OutOfDate"
until = 2026-12-15
reason = "TCB-R 20"

[[tdx.reference_values]]
name = "acme 1.4"
source = "rebuilt from tag v1.4"
mrtd = "{REGISTER}"
compose_hashes = ["{ROOT}"]
"""


@pytest.fixture
def near(tmp_path: Path) -> Path:
    path = tmp_path / "near.toml"
    path.write_text(POLICY)
    return path


@pytest.fixture(scope="module")
def report() -> bytes:
    return aci_evidence(SimulatedMachine(create_pki(NOW), FrozenClock())).report


def test_explained_in_words(ollm: Ollm, near: Path) -> None:
    lines = ollm("policy", "explain", near, "--at", "2026-11-23").stdout.splitlines()
    assert lines[0] == 'Policy "near" accepts a machine when all of this holds:'
    assert '  - these rules were reviewed: "R. Okafor, 2026-11-23"' in lines
    worst = lines.index("Left open, and lets the host or whoever runs the machine read prompts:")
    assert lines[worst + 1] == "  - TCB status OutOfDate is accepted until 2026-12-15, in spite of the flaws that Intel lists (TCB-R 20)"
    assert "Outside what any policy can reach:" in lines[worst:]


@pytest.mark.parametrize(("at", "open_"), [("2026-12-14", True), ("2026-12-15", False), ("2026-12-14T23:59:59Z", True), ("1797292800", False)])
def test_as_of_a_day(ollm: Ollm, near: Path, at: str, open_: bool) -> None:
    assert ("is accepted until 2026-12-15" in ollm("policy", "explain", near, "--at", at).stdout) is open_


def test_explained_for_programs(ollm: Ollm, near: Path) -> None:
    document = json.loads(ollm("policy", "explain", near, "--json").stdout)
    assert set(document) == {"policy", "level", "accepts", "open", "outside", "digest", "draft"}
    assert (document["policy"], document["draft"]) == ("near", False)
    assert document["digest"].startswith("sha256:")


def test_markup_in_a_policy_is_text(ollm: Ollm, near: Path) -> None:
    near.write_text(POLICY.replace("R. Okafor", "[red]R[/] \\u001b[31m"))
    assert "[red]R[/]" in ollm("policy", "explain", near).stdout


def test_a_policy_of_a_configuration(ollm: Ollm, tmp_path: Path) -> None:
    config = tmp_path / "ollm.toml"
    config.write_text('[policies.one]\nlevel = "tee"\n')
    assert ollm("policy", "explain", config).stdout.startswith('Policy "one" accepts')
    config.write_text('[policies.one]\nlevel = "tee"\n[policies.two]\nlevel = "tee"\n')
    assert ollm("policy", "explain", config, "--policy", "two").stdout.startswith('Policy "two" accepts')
    assert f"{config} has several policies — choose with --policy: one, two" in ollm("policy", "explain", config, exits=2).stderr
    assert "has no policy 'three' — configured: one, two" in ollm("policy", "explain", config, "--policy", "three", exits=2).stderr
    config.write_text("[policies]\n")
    assert "has no policy None — configured: none" in ollm("policy", "explain", config, exits=2).stderr


def test_what_can_not_be_explained(ollm: Ollm, near: Path, tmp_path: Path) -> None:
    assert "there is no file" in ollm("policy", "explain", tmp_path / "gone", exits=2).stderr
    assert "is not a configuration" in ollm("policy", "explain", near, "--policy", "near", exits=2).stderr
    assert "'soon' is no time" in ollm("policy", "explain", near, "--at", "soon", exits=2).stderr
    assert "beyond the calendar" in ollm("policy", "explain", near, "--at", "999999999999", exits=2).stderr
    near.write_text("level = 3")
    assert "near.toml: Expected `str`, got `int` - at `level`" in ollm("policy", "explain", near, exits=2).stderr


def test_pinned_lines_make_a_configuration(ollm: Ollm, near: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    lines = ollm("policy", "pin", "near.toml").stdout
    (tmp_path / "ollm.toml").write_text(lines)
    assert load(tmp_path / "ollm.toml").settings.policies["near"].tdx.reference_values[0].name == "acme 1.4"
    document = json.loads(ollm("policy", "pin", "near.toml", "--json").stdout)
    assert document == {"policy": "near", "file": "near.toml", "sha256": tomllib.loads(lines)["policies"]["near"]["sha256"]}


def test_what_a_gateway_would_refuse_is_not_pinned(ollm: Ollm, near: Path) -> None:
    near.write_text(POLICY.replace('"R. Okafor, 2026-11-23"', "false"))
    assert "near is a draft that nobody has reviewed" in ollm("policy", "pin", near, exits=2).stderr
    near.write_text(POLICY.replace(REGISTER, REGISTER.upper()))
    assert "write it in lowercase" in ollm("policy", "pin", near, exits=2).stderr


def test_from_evidence_to_a_policy(ollm: Ollm, report: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("report.json").write_bytes(report)
    # 1. Drafted: it can be explained, and no gateway takes it.
    Path("near.toml").write_text(ollm("policy", "from-evidence", "report.json", "--name", "near", "--at", "2026-11-23").stdout)
    assert Path("near.toml").read_text().startswith('# Policy "near", drafted on 2026-11-23')
    assert "A draft that nobody has reviewed" in ollm("policy", "explain", "near.toml").stdout
    assert json.loads(ollm("policy", "explain", "near.toml", "--json").stdout)["draft"] is True
    assert "is a draft" in ollm("policy", "pin", "near.toml", exits=2).stderr
    # 2. Signed off, with sources that nobody looked at.
    text = Path("near.toml").read_text().replace("reviewed = false", 'reviewed = "me"')
    Path("near.toml").write_text(text)
    assert "says that nobody reviewed them" in ollm("policy", "pin", "near.toml", exits=2).stderr
    # 3. Reviewed, and pinned.
    lines = ['source = "rebuilt"' if line.startswith("source = ") else line for line in text.splitlines()]
    Path("near.toml").write_text("\n".join(lines))
    Path("ollm.toml").write_text(ollm("policy", "pin", "near.toml").stdout)
    assert load(Path("ollm.toml")).settings.policies["near"].reviewed == "me"


def test_a_draft_for_programs(ollm: Ollm, report: bytes, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(report)
    document = json.loads(ollm("policy", "from-evidence", tmp_path / "report.json", "--json").stdout)
    assert document["policy"] == "draft"
    assert tomllib.loads(document["draft"])["reviewed"] is False


def test_evidence_that_is_none(ollm: Ollm, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\x00")
    assert "holds nothing that is known, from which no policy can be drafted" in ollm("policy", "from-evidence", tmp_path / "x", exits=2).stderr
    assert "there is no file" in ollm("policy", "from-evidence", tmp_path / "y", exits=2).stderr


def test_a_log_and_a_compose_file_in_files_of_their_own(ollm: Ollm, tmp_path: Path) -> None:
    machine = SimulatedMachine(create_pki(NOW), FrozenClock())
    quote, log, compose = tmp_path / "quote.bin", tmp_path / "log.json", tmp_path / "compose.json"
    quote.write_bytes(machine.quote(bytes(64)))
    log.write_text(machine.event_log_json)
    compose.write_text(machine.app_compose)
    bare = tomllib.loads(ollm("policy", "from-evidence", quote).stdout)
    assert bare["require_compose"] is False
    whole = tomllib.loads(ollm("policy", "from-evidence", quote, "--event-log", log, "--app-compose", compose).stdout)
    assert whole["tdx"]["reference_values"][0]["compose_hashes"] == [machine.compose_hash.hex()]
    compose.write_bytes(b"\xff")
    assert "compose.json is not UTF-8" in ollm("policy", "from-evidence", quote, "--app-compose", compose, exits=2).stderr
