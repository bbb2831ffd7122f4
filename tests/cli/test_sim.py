"""`ollm sim enclave` as a process: it tells how to admit it, and ends when asked."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from ollm.config.load import load
from ollm.sim.breaks import BREAKS
from tests.cli.conftest import Ollm
from tests.cli.test_serve import announced

MODEL = '[models.m]\nupstreams = ["simulated"]\n'


def enclave(*options: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-m", "ollm", "sim", "enclave", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.process
def test_it_announces_what_admits_it_and_ends_when_asked(ollm: Ollm, tmp_path: Path) -> None:
    with enclave("--state", str(tmp_path / "sim"), "--json") as process:
        document = announced(process)
        assert set(document) == {"url", "pcs_url", "root_crl_url", "policy"}
        assert httpx2.get(document["root_crl_url"]).status_code == 200
        upstream = f'[upstreams.s]\nurl = "{document["url"]}"\npcs_url = "{document["pcs_url"]}"\nroot_crl_url = "{document["root_crl_url"]}"\n'
        (tmp_path / "ollm.toml").write_text(document["policy"] + upstream + 'policy = "simulated"\n')
        assert json.loads(ollm("verify", "provider", "s", "--json", "-c", tmp_path / "ollm.toml").stdout)["accepted"] is True
        process.send_signal(signal.SIGTERM)
        rest, told = process.communicate(timeout=30)
        assert (process.returncode, rest, told) == (0, "", "")


@pytest.mark.process
@pytest.mark.slow
def test_what_it_tells_people_is_a_configuration(ollm: Ollm, tmp_path: Path) -> None:
    with enclave("--break", "tcb-out-of-date") as process:
        assert process.stdout is not None
        text = process.stdout.readline()
        assert re.match(r"Simulated enclave at https://127\.0\.0\.1:\d+; collateral at http://127\.0\.0\.1:\d+\. For ollm\.toml:", text)
        lines: list[str] = []
        while not (lines and lines[-1].startswith("root_crl_url")):
            lines.append(process.stdout.readline())
        (tmp_path / "ollm.toml").write_text("".join(lines) + MODEL)
        assert load(tmp_path / "ollm.toml").settings.upstreams["simulated"].policy == "simulated"
        assert "tcb.status" in ollm("verify", "provider", "simulated", "-c", tmp_path / "ollm.toml", exits=1).stdout
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_a_way_to_be_broken_that_there_is_not(ollm: Ollm) -> None:
    result = ollm("sim", "enclave", "--break", "everything", exits=2)
    assert result.stderr.startswith("ollm: there is no way to be broken called 'everything' — one of: ")
    assert "debug-bit" in result.stderr


def test_options_that_contradict_each_other(ollm: Ollm) -> None:
    assert "attest-only" in ollm("sim", "enclave", "--attest-only", exits=2).stderr


def test_help_lists_every_way_to_be_broken(ollm: Ollm) -> None:
    shown = ollm("sim", "enclave", "--help").stdout
    assert not [kind for kind in BREAKS if f"{kind}:" not in shown]
