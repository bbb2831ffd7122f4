"""`make captures`, over recordings of a simulated enclave."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ollm.app.initialise import initialise
from ollm.app.recording import record
from ollm.config.load import load
from ollm.sim.service import SimEnclave, SimOptions
from tests.stage import configuration, toml
from tools.captures import ROOT, expectations, main, results

CHANGES = """\
[[change]]
what = "quote"
url = "/v1/aci/attestation"
path = ["attestation", "evidence", "quote"]
at = 640
check = ["quote.signature"]

[[change]]
what = "channel"
kind = "channel"
check = ["channel.spki"]
"""
PAGE = "| capture | verdict | check |\n|---|---|---|\n| `one` | accept | |\n| `one@other` | refuse | `compose.accepted` |\n"


def tree(enclave: SimEnclave) -> dict[str, Any]:
    """A configuration with two upstreams: one whose reference values are drafted, and one that admits another application."""
    made: dict[str, Any] = configuration({"enclave": enclave})
    rules = made["policies"].pop("enclave")
    other = json.loads(json.dumps(rules))
    other["tdx"]["reference_values"][0]["compose_hashes"] = ["00" * 32]
    rules["tdx"]["reference_values"] = []
    upstream = made["upstreams"].pop("enclave")
    made["policies"] = {"drafted": rules, "other": other}
    made["upstreams"] = {"first": {**upstream, "policy": "drafted"}, "other": {**upstream, "policy": "other"}}
    made["models"] = {}
    return made


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a configuration, and a folder of recordings beside it."""
    root, installed = tmp_path_factory.mktemp("captures"), tmp_path_factory.mktemp("installed")

    async def recording() -> None:
        async with SimEnclave(SimOptions()) as enclave:
            (root / "tests/captures/aci.toml").write_text(toml(tree(enclave)))
            loaded = load(initialise(installed, toml(tree(enclave))))
            await record(loaded, "other", root / "evidence/captures/one")

    (root / "tests/captures").mkdir(parents=True)
    (root / "docs/providers").mkdir(parents=True)
    (root / "tests/captures/aci.changes.toml").write_text(CHANGES)
    (root / "docs/providers/aci.md").write_text(PAGE)
    asyncio.run(recording())
    return root


def judged(root: Path) -> dict[str, tuple[bool, str]]:
    return {each.what: (each.agrees, each.got) for each in results(root / "evidence/captures", root)}


def test_recordings_and_their_changes_end_as_the_page_says(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert judged(recorded) == {
        "one": (True, "accept"),
        "one: quote changed": (True, "quote.signature"),
        "one: channel changed": (True, "channel.spki"),
        "one@other": (True, "compose.accepted"),
    }
    monkeypatch.setenv("OLLM_EVIDENCE_DIR", str(recorded / "evidence"))
    assert main(recorded) == 0


@pytest.fixture
def copied(recorded: Path, tmp_path: Path) -> Path:
    shutil.copytree(recorded, tmp_path / "root")
    return tmp_path / "root"


def test_a_page_that_is_wrong_differs(copied: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    page = copied / "docs/providers/aci.md"
    page.write_text(PAGE.replace("| `one` | accept | |", "| `one` | refuse | `quote.debug` |").replace("compose.accepted", "compose.hash"))
    found = judged(copied)
    assert [agrees for agrees, _ in (found["one"], found["one@other"])] == [False, False]
    monkeypatch.setenv("OLLM_EVIDENCE_DIR", str(copied / "evidence"))
    assert main(copied) == 1
    assert "DIFFERS one: accept" in capsys.readouterr().out


def test_nothing_is_left_out_on_either_side(copied: Path) -> None:
    shutil.copytree(copied / "evidence/captures/one", copied / "evidence/captures/two")
    (copied / "docs/providers/aci.md").write_text(PAGE + "| `three` | accept | |\n")
    found = judged(copied)
    assert found["two"] == (False, "none")
    assert found["aci.md: three"] == (False, "none")


def test_what_can_not_be_used_is_said(copied: Path) -> None:
    (copied / "docs/providers/aci.md").write_text(PAGE.replace("@other", "@nobody"))
    changes = copied / "tests/captures/aci.changes.toml"
    changes.write_text(CHANGES.replace('"quote"]', '"absent"]'))
    found = judged(copied)
    assert found["one@nobody"][1].startswith("unusable: aci.toml has no upstream")
    assert found["one: quote changed"][1].startswith("unusable: the answer has nothing at 'absent'")


def test_lines_of_another_verifier_need_a_check_or_a_word(copied: Path) -> None:
    report = copied / "evidence/captures/one/report.txt"
    report.write_text("  ✓ tee_debug_disabled  debug bit is 0  [ENFORCED]\n  ✓ e2ee_usable  decrypted  [ENFORCED]\n")
    assert judged(copied)["one: e2ee_usable"] == (False, "neither")
    (copied / "docs/providers/aci.md").write_text(PAGE + "\n`e2ee_usable` takes a chat.\n")
    assert "one: e2ee_usable" not in judged(copied)


def test_without_recordings_nothing_is_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("OLLM_EVIDENCE_DIR", raising=False)
    assert main() == 2
    assert "OLLM_EVIDENCE_DIR" in capsys.readouterr().err


def test_every_provider_with_a_page_of_recordings_has_a_configuration() -> None:
    configured = {file.name.partition(".")[0] for file in (ROOT / "tests/captures").glob("*.toml")}
    spoken_of = {row.folder for row in expectations(ROOT)}
    assert all(any(folder.startswith(name) for name in configured) for folder in spoken_of)


def test_real_recordings(evidence_dir: Path) -> None:
    differing = [each for each in results(evidence_dir / "captures", ROOT) if not each.agrees]
    assert differing == []
