"""Children are pinned, measured, and ended with the run, whatever ends it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.procs import BenchError, Group, free_ports

pytestmark = [pytest.mark.process, pytest.mark.skipif(sys.platform != "linux", reason="the bench reads /proc")]
CORE = min(os.sched_getaffinity(0)) if sys.platform == "linux" else 0


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_free_ports_are_different() -> None:
    assert len(set(free_ports(8))) == 8


def test_leaving_the_group_ends_each_process_even_one_that_ignores_sigterm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.procs.STOP_SECONDS", 0.3)
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    with Group(tmp_path) as group:
        meek = group.start("meek", ["sleep", "60"], core=CORE)
        deaf = group.start("deaf", [sys.executable, "-c", stubborn], core=CORE)
        while "deaf" not in deaf.log.read_text():
            time.sleep(0.01)
    assert not alive(meek.pid)
    assert not alive(deaf.pid)


def test_ctrl_c_ends_them_too(tmp_path: Path) -> None:
    started: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        interrupted(tmp_path, started)
    assert not alive(started[0])


def interrupted(directory: Path, started: list[int]) -> None:
    with Group(directory) as group:
        started.append(group.start("child", ["sleep", "60"], core=CORE).pid)
        raise KeyboardInterrupt


def test_kill_9_of_the_harness_takes_its_children_with_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from bench.procs import Group\n"
        "with Group(Path(sys.argv[1])) as group:\n"
        "    print(group.start('child', ['sleep', '60'], core=int(sys.argv[2])).pid, flush=True); time.sleep(60)\n"
    )
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(CORE)], cwd=root, stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout is not None
        child = int(harness.stdout.readline())
        harness.send_signal(signal.SIGKILL)
        harness.wait()
    deadline = time.monotonic() + 5
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(child)


def test_a_process_that_ends_early_is_reported_with_its_log(tmp_path: Path) -> None:
    with Group(tmp_path) as group:
        process = group.start("brief", ["sh", "-c", "echo no such option; exit 3"], core=CORE)
        with pytest.raises(BenchError, match=r"brief ended with status 3.*\nno such option"):
            process.wait_for_port(free_ports(1)[0], 10)


def test_time_and_memory_are_those_of_the_process(tmp_path: Path) -> None:
    work = "held = bytearray(50_000_000)\nwhile True: sum(range(100_000))"
    with Group(tmp_path) as group:
        process = group.start("busy", [sys.executable, "-c", work], core=CORE)
        deadline = time.monotonic() + 20
        while (process.cpu_seconds() < 0.2 or process.peak_memory() < 50_000_000) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert process.cpu_seconds() >= 0.2
        assert 50_000_000 <= process.peak_memory() < 200_000_000
