"""The first appraisals of a process, all at once: what a gateway with several upstreams does when it starts."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from ollm.sim.machine import SimulatedMachine
from ollm.upstream.bundle import encode
from ollm.values.policy import AttestationPolicy
from tests.attest.service import kept

FIRST_APPRAISALS = """
import sys, threading
from pathlib import Path
import msgspec
from ollm.upstream.bundle import decode
from ollm.upstream.session import judge
from ollm.values.policy import AttestationPolicy

folder = Path(sys.argv[1])
judged = decode((folder / "bundle.json").read_bytes())
policy = msgspec.json.decode((folder / "policy.json").read_bytes(), type=AttestationPolicy)
sys.setswitchinterval(1e-6)
together = threading.Barrier(8)
accepted = []

def first():
    together.wait()
    accepted.append(judge(judged, policy, None)[0].accepted)

threads = [threading.Thread(target=first) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(accepted)
"""


@pytest.mark.process
def test_first_appraisals_at_once_do_not_end_the_process(machine: SimulatedMachine, policy: AttestationPolicy, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_bytes(encode(kept(machine)))
    (tmp_path / "policy.json").write_bytes(msgspec.json.encode(policy))
    for _ in range(5):
        done = subprocess.run([sys.executable, "-c", FIRST_APPRAISALS, str(tmp_path)], env=os.environ, capture_output=True, text=True, timeout=50)
        assert (done.returncode, done.stdout.strip()) == (0, str([True] * 8)), done.stderr
