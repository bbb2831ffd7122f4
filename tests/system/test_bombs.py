"""What bombs cost a gateway in memory: a real process, looked at from outside."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from ollm.app.initialise import initialise
from ollm.config.load import load
from ollm.values.level import Level
from tests.bombs import BOMBS, FORM
from tests.stage import MODEL, new_key, toml
from tests.system.processes import COMMAND, Process, clean_environment, free_ports

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc/PID/status"),
]


@pytest.fixture(scope="module")
def gateway(short_dir: Path) -> Iterator[tuple[Process, httpx2.Client]]:
    """A gateway with one route that nobody serves: bombs are refused before that matters."""
    folder = short_dir / "bombed"
    listen, dead = free_ports(2)
    upstream = {"url": f"https://127.0.0.1:{dead}", "adapter": "openai-compatible"}
    tree = {"gateway": {"listen": f"127.0.0.1:{listen}"}, "upstreams": {"nobody": upstream}, "models": {MODEL: {"upstreams": ["nobody"]}}}
    config = initialise(folder, toml(tree))
    key = asyncio.run(new_key(load(config), require=Level.ZDR))
    process = Process("gateway", [*COMMAND, "serve", "--config", str(config), "--json"], folder, clean_environment(folder / "home"))
    try:
        process.announced()
        with httpx2.Client(base_url=f"http://127.0.0.1:{listen}", headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=30) as http:
            yield process, http
    finally:
        process.end()


def memory(process: Process, what: str) -> int:
    """KiB of `what` in the process' status: VmRSS now, VmHWM at most since `forget`."""
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what + ":"))


def forget(process: Process) -> None:
    """Begin to look for the highest memory anew (proc(5), clear_refs 5)."""
    Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def test_no_bomb_doubles_the_memory_of_the_gateway(gateway: tuple[Process, httpx2.Client]) -> None:
    process, http = gateway
    assert http.get("/v1/models").status_code == 200
    baseline = memory(process, "VmRSS")
    for name, bomb in BOMBS.items():
        forget(process)
        path = "/v1/audio/transcriptions" if bomb.content_type == FORM else "/v1/chat/completions"
        response = http.post(path, content=bomb.made(), headers={"content-type": bomb.content_type})
        assert response.status_code == bomb.status, name
        assert memory(process, "VmHWM") < 2 * baseline, name
    assert memory(process, "VmRSS") < 2 * baseline, "what was taken for a bomb is given back, or used again"
