"""`ollm verify provider --record` and `--replay`."""

import json
from pathlib import Path

from tests.cli.conftest import Ollm


def test_recorded_and_repeated(ollm: Ollm, play_config: Path, tmp_path: Path) -> None:
    tape = tmp_path / "tape"
    first = json.loads(ollm("verify", "provider", "enclave", "--record", tape, "--json", "-c", play_config).stdout)
    again = json.loads(ollm("verify", "provider", "enclave", "--replay", tape, "--json", "-c", play_config).stdout)
    assert (first.pop("recording"), again.pop("replayed")) == (str(tape), str(tape))
    assert first == again
    assert again["accepted"]
    assert again["nonce"] == json.loads((tape / "manifest.json").read_text())["nonce_hex"]
    told = ollm("verify", "provider", "enclave", "--replay", tape, "-c", play_config).stdout
    assert "judged at: 20" in told
    assert "nonce: " in told


def test_a_recorded_refusal_is_refused_again(ollm: Ollm, play_config: Path, tmp_path: Path) -> None:
    for way in ("--record", "--replay"):
        document = json.loads(ollm("verify", "provider", "debug-enclave", way, tmp_path / "tape", "--json", "-c", play_config, exits=1).stdout)
        assert [check["name"] for check in document["checks"] if check["outcome"] == "failed"] == ["quote.debug"]


def test_another_time_and_another_nonce(ollm: Ollm, play_config: Path, tmp_path: Path) -> None:
    tape = tmp_path / "tape"
    ollm("verify", "provider", "enclave", "--record", tape, "-c", play_config)
    late = ollm("verify", "provider", "enclave", "--replay", tape, "--at", "2036-01-01", "-c", play_config, exits=1).stdout
    assert "judged at: 2036-01-01 00:00:00 UTC" in late
    other = ollm("verify", "provider", "enclave", "--replay", tape, "--nonce", "00" * 32, "-c", play_config, exits=1).stdout
    assert "the recording has no answer to GET" in other


def test_what_contradicts_itself_is_no_verdict(ollm: Ollm, play_config: Path, tmp_path: Path) -> None:
    def told(*options: object) -> str:
        return ollm("verify", "provider", "enclave", *options, "-c", play_config, exits=2).stderr

    assert "contradict each other" in told("--record", tmp_path / "a", "--replay", tmp_path / "b")
    assert "--at and --nonce are for --replay" in told("--at", "2026-12-01")
    assert "--at and --nonce are for --replay" in told("--record", tmp_path / "a", "--nonce", "00" * 32)
    assert "--nonce is no nonce" in told("--replay", tmp_path, "--nonce", "xyz")
    assert "can't read" in told("--replay", tmp_path / "nowhere")
    (tmp_path / "mine").write_text("kept")
    assert "not empty" in told("--record", tmp_path)
