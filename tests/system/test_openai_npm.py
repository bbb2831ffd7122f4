"""The unmodified `openai` npm client, changed in base URL and key alone. tests/js/chat.mjs makes the calls, this file judges them."""

import json
import subprocess
from typing import Any

import pytest

from tests.system.installation import Installation
from tests.system.processes import ROOT

pytestmark = pytest.mark.process

SCRIPTS = ROOT / "tests" / "js"
Found = dict[str, Any]


@pytest.fixture(scope="module")
def found(installation: Installation, api_key: str, strict_key: str, node: str) -> Found:
    """What the script saw, and how often the gateway was asked for the machine that is not verified."""
    if not (SCRIPTS / "node_modules" / "openai").is_dir():
        pytest.skip("the npm packages of tests/js are not installed: make setup brings them")
    before = len(installation.rows("model = 'unverified'"))
    environment = {"PATH": "/usr/bin:/bin", "OLLM_BASE_URL": installation.url + "/v1", "OLLM_KEY": api_key, "OLLM_STRICT_KEY": strict_key}
    done = subprocess.run([node, "chat.mjs"], cwd=SCRIPTS, env=environment, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0, done.stderr
    document: Found = json.loads(done.stdout)
    document["refusals"] = [row["status"] for row in installation.rows("model = 'unverified'")[before:]]
    return document


def test_a_whole_answer(found: Found) -> None:
    assert "I read 2 messages inside this simulated enclave" in found["whole"]["text"]
    assert found["whole"]["model"] == "chat"
    assert found["whole"]["usage"]["completion_tokens"] > 0


def test_a_streamed_answer_is_the_whole_one_in_pieces(found: Found) -> None:
    assert found["stream"]["text"] == found["whole"]["text"]
    assert found["stream"]["chunks"] > 10
    assert found["stream"]["finish"] == ["stop"]


def test_usage_comes_only_when_it_was_asked_for(found: Found) -> None:
    assert found["stream"]["usage"] == []
    assert len(found["streamWithUsage"]["usage"]) == 1


def test_two_choices(found: Found) -> None:
    assert found["choices"] == 2


@pytest.mark.parametrize("way", ["tool", "streamedTool"])
def test_a_tool_call(found: Found, way: str) -> None:
    assert found[way]["name"] == "get_weather"
    assert json.loads(found[way]["arguments"]) == {"city": "Reykjavík"}


def test_an_answer_that_follows_a_json_schema(found: Found) -> None:
    assert set(found["schema"]) == {"city", "inhabitants"}


def test_an_image_as_a_data_url(found: Found) -> None:
    assert "I read 1 message and 1 image" in found["image"]


def test_models_are_listed(found: Found) -> None:
    assert {"chat", "unverified"} <= set(found["models"])


@pytest.mark.parametrize(
    ("case", "kind", "status", "code"),
    [
        ("stranger", "AuthenticationError", 401, "invalid_api_key"),
        ("unknownModel", "NotFoundError", 404, "model_not_found"),
        ("malformed", "BadRequestError", 400, "invalid_request"),
        ("strict", "PermissionDeniedError", 403, "execution_level"),
        ("limited", "RateLimitError", 429, "upstream_rate_limited"),
        ("failing", "InternalServerError", 502, "upstream_error"),
        ("unverified", "InternalServerError", 503, "upstream_verification_failed"),
    ],
)
def test_an_error_is_of_its_class(found: Found, case: str, kind: str, status: int, code: str) -> None:
    assert found["errors"][case] == {"kind": kind, "isApiError": True, "status": status, "code": code}


def test_a_machine_that_is_not_verified_is_not_asked_again(found: Found) -> None:
    assert found["refusals"] == ["refused"]


def test_an_answer_that_breaks_off_is_an_error_in_the_middle_of_the_stream(found: Found) -> None:
    broken = found["errors"]["brokenOff"]
    assert broken["kind"] == "APIError"
    assert broken["chunks"] > 3
