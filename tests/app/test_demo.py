"""The demo's stage: the product itself, with hardware that is played."""

import json
from pathlib import Path

import httpx2

from ollm.app.demo import BROKEN_MODEL, MODEL, stage
from ollm.config.load import load
from ollm.config.settings import Timeouts
from ollm.values.level import Level

MESSAGES = [{"role": "user", "content": "Hello there"}]


async def test_everything_on_it_is_real_but_the_hardware(socket_dir: Path) -> None:
    async with (
        stage(socket_dir) as play,
        httpx2.AsyncClient(base_url=play.url, headers={"authorization": f"Bearer {play.api_key}"}, timeout=60) as http,
    ):
        assert play.loaded.settings.gateway.floor is Level.SIMULATED
        assert play.loaded.settings.gateway.timeouts.verify > Timeouts().verify, "a busy machine takes its time"
        assert load(socket_dir / "ollm.toml").digest == play.gateway.config_digest

        served = await http.post("/v1/chat/completions", json={"model": MODEL, "messages": MESSAGES})
        assert served.status_code == 200
        assert served.headers["x-ollm-execution"] == "simulated"
        assert play.enclave.counters.prompt_requests == 1

        refused = await http.post("/v1/chat/completions", json={"model": BROKEN_MODEL, "messages": MESSAGES})
        assert refused.status_code == 503
        assert "(quote.debug: " in json.loads(refused.content)["error"]["message"]
        assert play.broken.counters.prompt_bytes == 0

        report = await http.get("/v1/aci/attestation")
        assert report.json()["attestation"]["evidence"]["quote"]


async def test_its_end_leaves_no_socket_behind(socket_dir: Path) -> None:
    async with stage(socket_dir):
        assert (socket_dir / "dstack.sock").exists()
    assert not (socket_dir / "dstack.sock").exists()
