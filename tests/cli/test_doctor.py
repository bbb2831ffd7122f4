"""`ollm doctor`: what is well, what to know, what is unsafe."""

import json
import resource
import sys
import time
from pathlib import Path

import pytest

from ollm.app.demo import Stage
from ollm.net import clock
from ollm.net.collateral.artefact import artefact
from ollm.net.collateral.shelf import Shelf
from tests.cli.conftest import Ollm
from tests.net.collateral.vendor import crl, crl_key

WHOLE = '[policies.p]\nlevel = "tee"\nrequire_compose = false\n[upstreams.u]\nurl = "https://h"\npolicy = "p"\n[models.m]\nupstreams = ["u"]\n'


def found(ollm: Ollm, config: Path, *, exits: int = 0) -> dict[str, list[str]]:
    """Findings by severity, each with its mend."""
    findings = json.loads(ollm("doctor", "--json", "-c", config, exits=exits).stdout)
    by_severity: dict[str, list[str]] = {"ok": [], "note": [], "unsafe": []}
    for finding in findings:
        assert set(finding) == {"severity", "what", "mend"}
        assert finding["mend"] or finding["severity"] == "ok", f"no mend for: {finding['what']}"
        by_severity[finding["severity"]].append(finding["what"])
    return by_severity


def rewrite(config: Path, text: str) -> Path:
    config.write_text(text)
    return config


def some(whats: list[str], part: str) -> bool:
    return any(part in what for what in whats)


def test_a_fresh_installation_is_safe_and_told_what_it_lacks(ollm: Ollm, config: Path) -> None:
    findings = found(ollm, config)
    assert findings["unsafe"] == []
    for part in ("configuration sha256:", "pepper can be read", "row-key can be read", "receipt-key can be read", "trust floor is tee"):
        assert some(findings["ok"], part), part
    for part in ("it listens on 127.0.0.1:0", "the clock is after", "is ours alone"):
        assert some(findings["ok"], part), part
    for part in ("does not attest itself", "no models are configured"):
        assert some(findings["note"], part), part


def test_people_see_marks(ollm: Ollm, config: Path) -> None:
    (config.parent / "secrets" / "pepper").chmod(0o644)
    lines = ollm("doctor", "-c", config, exits=1).stdout.splitlines()
    assert lines[0].startswith("✓ configuration sha256:")
    assert f"✗ unsafe secret {config.parent / 'secrets' / 'pepper'} can be read by others — chmod 600 {config.parent / 'secrets' / 'pepper'}" in lines
    assert "! note no models are configured — add [models.…]" in lines


def test_simulated_hardware_is_noted(ollm: Ollm, play: Stage, play_config: Path) -> None:
    notes = found(ollm, play_config)["note"]
    assert some(notes, "the trust floor is simulated")
    assert some(notes, "policy enclave admits simulated hardware")
    assert not some(notes, "does not attest itself")
    assert not some(notes, "no models")


def test_a_policy_that_accepts_nothing_or_does_not_look_is_noted(ollm: Ollm, config: Path) -> None:
    notes = found(ollm, rewrite(config, WHOLE))["note"]
    assert some(notes, "policy p has no reference values for tdx, so it accepts nothing of it")
    assert some(notes, "policy p does not look at the software's compose file")


@pytest.mark.parametrize("listen", ["0.0.0.0:8400", "[::]:8400", "192.0.2.1:8400"])
def test_prompts_in_the_clear_are_unsafe(ollm: Ollm, config: Path, listen: str) -> None:
    findings = found(ollm, rewrite(config, f'[gateway]\nlisten = "{listen}"\n'), exits=1)
    assert some(findings["unsafe"], f"listens on {listen} without TLS")


def test_with_tls_it_may_listen_anywhere(ollm: Ollm, config: Path) -> None:
    findings = found(ollm, rewrite(config, '[gateway]\nlisten = "0.0.0.0:8400"\ntls_certificate = "c"\ntls_key = "k"\n'))
    assert some(findings["ok"], "it listens on 0.0.0.0:8400")


@pytest.mark.parametrize("name", ["pepper", "row-key", "receipt-key"])
def test_every_secret_is_looked_at(ollm: Ollm, config: Path, name: str) -> None:
    path = config.parent / "secrets" / name
    path.write_text("short")
    findings = found(ollm, config, exits=1)
    assert some(findings["unsafe"], f"secret at file:secrets/{name} is not hex")
    assert len(findings["unsafe"]) == 1


def test_a_configuration_that_can_not_be_read_is_the_one_finding(ollm: Ollm, tmp_path: Path) -> None:
    findings = found(ollm, tmp_path / "ollm.toml", exits=1)
    assert findings["ok"] == findings["note"] == []
    assert some(findings["unsafe"], "can't read")


def test_a_clock_before_this_release_is_unsafe(ollm: Ollm, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "BUILD_TIME", 2**40)
    assert some(found(ollm, config, exits=1)["unsafe"], "clock")


def test_a_data_directory_that_is_none_is_unsafe(ollm: Ollm, config: Path) -> None:
    (config.parent / "state").write_text("a file")
    assert some(found(ollm, config, exits=1)["unsafe"], "can't use data directory")


def test_what_surrounds_the_process_is_noted(ollm: Ollm, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    (packages / "stray.pth").write_text("import os\n")
    (packages / "_editable.pth").write_text("")
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    monkeypatch.setattr(resource, "getrlimit", lambda which: (1024, 1024))
    monkeypatch.setattr("os.geteuid", lambda: 0)
    notes = found(ollm, config)["note"]
    assert some(notes, "stray.pth")
    assert not some(notes, "_editable.pth")
    assert some(notes, "only 1024 open files")
    assert some(notes, "runs as root")


def test_a_user_of_its_own_with_many_files_is_fine(ollm: Ollm, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (65536, 65536))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    notes = found(ollm, config)["note"]
    assert not some(notes, "root")
    assert not some(notes, "open files")


def test_a_closed_machine_needs_collateral_that_holds(ollm: Ollm, config: Path) -> None:
    rewrite(config, "[collateral]\noffline = true\n" + config.read_text())
    assert some(found(ollm, config, exits=1)["unsafe"], "nothing stored holds")
    shelf, now = Shelf(config.parent / "state" / "collateral"), int(time.time())
    shelf.write(artefact(crl_key("one"), crl(issued=now - 60, end=now + 86_000), {}, now), now)
    assert some(found(ollm, config)["note"], "ends within 24 hours")
    shelf.write(artefact(crl_key("one"), crl(issued=now - 60, end=now + 10 * 86_400 + 100), {}, now), now)
    assert some(found(ollm, config)["ok"], "hold for at least 10 days")
