"""Every parser of evidence against damage: nothing but our refusal escapes, no input takes 50 ms, no run 100 MB."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from fuzz.hammer import hammer
from fuzz.target import Target, once
from fuzz.targets import TARGETS

ROOT = Path(__file__).parent.parent.parent

each = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


@each
def test_what_is_damaged_was_good(target: Target) -> None:
    """Damage to what is refused anyway would find nothing."""
    assert [once(target, seed).check for seed in target.seeds()] == [None] * len(target.seeds())


@each
@pytest.mark.filterwarnings("ignore::UserWarning")  # cryptography warns of odd certificates: negative serial numbers, long names
def test_some_damage(target: Target) -> None:
    examples = min(settings().max_examples, 100)  # 20 in make test-fast; make fuzz has its own way
    outcome = hammer(target, examples // 2 if target.heavy else examples * 4, seed=1)

    assert not outcome.findings
    assert target.heavy or len(outcome.checks) > 1  # some of it was noticed, or the mutator does nothing


@each
@pytest.mark.exhaustive
@pytest.mark.process
@pytest.mark.timeout(900)
def test_much_damage(target: Target) -> None:
    """50,000 inputs (1,500 where each costs milliseconds of signatures), in a process of its own, whose memory can be told."""
    runs = "1500" if target.heavy else "50000"
    done = subprocess.run([sys.executable, "-m", "fuzz.hammer", target.name, "--runs", runs], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
    assert sum(json.loads(done.stdout)["checks"].values()) == int(runs)
