"""Unmodified npm clients through a whole gateway: `openai` at every endpoint, and Vercel's `ai`. The scripts of tests/js make the calls."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from ollm.testing.providers.every_endpoint import PICTURE, SPEECH
from ollm.testing.providers.openai_shaped import ANSWER
from tests.gateway.test_endpoints import CANARY, WAYS
from tests.stage import MODEL, SPECIAL_MODELS, Stage, staged

pytestmark = [pytest.mark.process, pytest.mark.asyncio]

SCRIPTS = Path(__file__).parents[1] / "js"
Found = dict[str, Any]


async def run(stage: Stage, node: str, script: str, package: str) -> Found:
    """What `script` saw of the gateway."""
    if not (SCRIPTS / "node_modules" / package).is_dir():
        pytest.skip("the npm packages of tests/js are not installed: make setup brings them")
    environment = {"PATH": "/usr/bin:/bin", "OLLM_BASE_URL": stage.url + "/v1", "OLLM_KEY": stage.api_key, "OLLM_WORDS": CANARY}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(node, script, cwd=SCRIPTS, env=environment, stdout=pipe, stderr=pipe)
    out, err = await asyncio.wait_for(process.communicate(), 50)
    assert process.returncode == 0, err.decode()
    found: Found = json.loads(out)
    return found


@pytest.mark.parametrize("way", WAYS)
async def test_openai_at_every_endpoint(way: str, node: str, socket_dir: Path) -> None:
    async with WAYS[way](socket_dir) as play:
        found = await run(play.stage, node, "endpoints.mjs", "openai")
    errors = found.pop("errors")
    assert found == {
        "embeddings": [[0.25, -0.5, 0.125]] * 2,
        "response": {"text": ANSWER, "model": MODEL},
        "responses": {"text": ANSWER, "last": "response.completed", "model": MODEL},
        "completion": ANSWER,
        "completions": ANSWER,
        "upload": ANSWER,
        "transcript": ANSWER,
        "speech": len(SPEECH),
        "image": PICTURE,
        "edit": PICTURE,
        "moderation": False,
    }
    assert errors == {
        "kept": {"kind": "BadRequestError", "status": 400, "code": "invalid_request", "param": "previous_response_id"},
        "unknownModel": {"kind": "NotFoundError", "status": 404, "code": "model_not_found", "param": "model"},
        "stranger": {"kind": "AuthenticationError", "status": 401, "code": "invalid_api_key", "param": None},
    }


async def test_vercels_ai(node: str, socket_dir: Path) -> None:
    models = {MODEL: {"upstreams": ["enclave"], "upstream_model": "sim-chat"}, "embed": {"upstreams": ["enclave"], "upstream_model": "sim-embed"}}
    async with staged(socket_dir, models={**models, **{name: {"upstreams": ["enclave"]} for name in SPECIAL_MODELS}}) as stage:
        found = await run(stage, node, "ai.mjs", "ai")
    assert "I read 1 message inside this simulated enclave" in found["whole"]
    assert found["usage"] > 0
    assert found["stream"]["text"] == found["whole"]
    assert found["stream"]["pieces"] > 10
    assert found["stream"]["usage"] == found["usage"]
    assert found["tool"]["call"] == {"city": "Reykjavík"}
    assert f"The tool said: “{found['tool']['result']}”." in found["tool"]["text"]
    assert found["streamedTool"] == [["get_weather", {"city": "Reykjavík"}]]
    assert set(found["structured"]) == {"city", "inhabitants"}
    assert found["embeddings"] == [256, 256]
    errors = found["errors"]
    assert errors["unknownModel"] == {"kind": "AI_APICallError", "status": 404, "retryable": False}
    assert errors["limited"] == {"kind": "AI_APICallError", "status": 429, "retryable": True}
    assert errors["brokenOff"]["pieces"] > 3 and errors["brokenOff"]["errors"] == 1
