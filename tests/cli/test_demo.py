"""`ollm demo`: the whole way, once; told to people and to programs."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx2
import pytest

from ollm.cli.demo import PROMPT
from ollm.upstream.keeper import Keeper
from ollm.upstream.session import VerifiedSession
from ollm.values.ledger import Status
from tests.cli.conftest import Ollm


@pytest.mark.timeout(180)
def test_for_programs_it_is_one_document(ollm: Ollm) -> None:
    result = ollm("demo", "--json")
    story = json.loads(result.stdout)
    assert set(story) == {"machine", "answer", "ledger", "receipt", "refusal"}
    assert (story["machine"]["accepted"], story["machine"]["level"]) == (True, "simulated")
    assert story["answer"]
    assert story["ledger"]["status"] == f"{Status.COMPLETED}, HTTP 200"
    assert story["receipt"]["verified"] is True
    assert [check["name"] for check in story["receipt"]["checks"]] == ["receipt.signature", "receipt.bodies", "receipt.session"]
    cited = [event["session_id"] for event in story["receipt"]["document"]["event_log"] if "session_id" in event]
    assert cited == [story["machine"]["session_id"]]
    assert (story["refusal"]["status"], story["refusal"]["prompt_bytes_at_enclave"]) == (503, 0)
    assert "quote.debug" in story["refusal"]["message"]
    assert result.stderr == ""


@pytest.mark.timeout(180)
def test_for_people_it_is_a_story_and_leaves_nothing(ollm: Ollm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    told = ollm("demo").stdout
    places = [told.index(f"{number}. ") for number in range(1, 7)]
    assert places == sorted(places)
    assert "simulated" in told
    assert "✓ receipt.signature" in told
    assert "✗ quote.debug" in told
    assert "Prompt bytes that reached the enclave: 0" in told
    assert f"Prompt: {PROMPT[:60]}" in told
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_is_not_there_is_one_line(ollm: Ollm) -> None:
    result = ollm("demo", "--upstream", "http://127.0.0.1:1/v1", exits=2)
    assert result.stderr.startswith("ollm: ")
    assert result.stderr.count("\n") == 1


def test_a_machine_that_is_not_verified_in_time_is_one_line(ollm: Ollm, monkeypatch: pytest.MonkeyPatch) -> None:
    async def session(self: Keeper, timeout: float, since: int = 0) -> VerifiedSession:
        raise TimeoutError

    monkeypatch.setattr(Keeper, "session", session)
    result = ollm("demo", exits=2)
    assert result.stderr.startswith("ollm: the demo's enclave was not verified in time")


# A process that starts and does all of the demo's work: what it needs is time, however much else the machine does.
@pytest.mark.process
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_kept_it_goes_on_serving_until_it_is_ended_and_leaves_nothing(tmp_path: Path, number: signal.Signals, status: int) -> None:
    command = [sys.executable, "-m", "ollm", "demo", "--keep"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            line = next(line for line in process.stdout if "OPENAI_BASE_URL" in line)
            url, key = line.split("OPENAI_BASE_URL=")[1].split()[0], line.split("OPENAI_API_KEY=")[1].split()[0]
            models = httpx2.get(f"{url}/models", headers={"authorization": f"Bearer {key}"}, timeout=60).json()
            assert [model["id"] for model in models["data"]] == ["demo", "demo-debug"]
            process.send_signal(number)
            _, told = process.communicate(timeout=120)
            assert process.returncode == status
            assert "Traceback" not in told
            assert list(tmp_path.iterdir()) == []
        finally:
            process.kill()
