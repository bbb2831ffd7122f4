"""`ollm models`: each machine verified now."""

import json
from pathlib import Path

from ollm.app.demo import BROKEN_MODEL, MODEL, Stage
from tests.cli.conftest import Ollm


def test_each_model_with_its_machine_and_verdict(ollm: Ollm, play: Stage, play_config: Path) -> None:
    rows = {row["model"]: row for row in json.loads(ollm("models", "--json", "-c", play_config).stdout)}
    verified, refused = rows[MODEL], rows[BROKEN_MODEL]
    assert (verified["upstream"], verified["level"], verified["verified"], verified["reason"]) == ("enclave", "simulated", True, None)
    assert (verified["provider"], verified["price"]) == ("aci", {"input": "0.15", "output": "0.6"})
    assert verified["verified_at"] <= verified["expires_at"]
    assert len(verified["session_id"]) == 64
    assert verified["expires_at"] > play.gateway.started_at
    assert (refused["upstream"], refused["verified"], refused["session_id"], refused["expires_at"]) == ("debug-enclave", False, None, None)
    assert refused["reason"].startswith("quote.debug: ")


def test_a_line_for_each_model(ollm: Ollm, play_config: Path) -> None:
    verified, refused = ollm("models", "-c", play_config).stdout.splitlines()
    assert verified.split()[:6] == [MODEL, "enclave", "aci", "simulated", "0.15/0.6", "verified"]
    assert verified.endswith("UTC")
    assert refused.split()[:4] == [BROKEN_MODEL, "debug-enclave", "aci", "simulated"]
    assert "refused quote.debug: " in refused


def test_an_upstream_that_is_not_there_is_refused_not_an_error(ollm: Ollm, config: Path) -> None:
    config.write_text('[policies.p]\nlevel = "tee"\n[upstreams.u]\nurl = "https://127.0.0.1:1"\npolicy = "p"\n[models.m]\nupstreams = ["u"]\n')
    (row,) = json.loads(ollm("models", "--json", "-c", config).stdout)
    assert row["verified"] is False
    assert row["reason"].startswith("evidence.fetch: ")


def test_no_models_yet(ollm: Ollm, config: Path) -> None:
    assert ollm("models", "-c", config).stdout == 'No models yet. Add [models."NAME"] to the configuration.\n'
    assert json.loads(ollm("models", "--json", "-c", config).stdout) == []


def test_an_upstream_without_evidence_is_not_asked_for_any(ollm: Ollm, config: Path) -> None:
    config.write_text('[upstreams.u]\nadapter = "openai"\n[models.m]\nupstreams = ["u"]\n')
    (row,) = json.loads(ollm("models", "--json", "-c", config).stdout)
    assert (row["level"], row["verified"], row["session_id"], row["reason"]) == ("zdr", False, None, None)
    (line,) = ollm("models", "-c", config).stdout.splitlines()
    assert "not attested" in line and "refused" not in line
