"""Requests that schemathesis makes from the document, good ones and bad ones, against a running gateway whose provider answers all of them.

Never a 5xx; every answer is one that the document describes; errors are error objects, and repeat nothing of what was sent.
"""

import asyncio
import contextlib
import functools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.config import SchemathesisConfig

import ollm
from ollm.gateway.openapi.document import encoded
from ollm.gateway.openapi.operations import Operation, operations
from ollm.sim.agent import GuestAgent
from ollm.testing.providers import openai_shaped
from ollm.wire.endpoints import ENDPOINTS, NAMES, Endpoint
from tests.scripted_enclave import END, Asked, scripted_enclave
from tests.stage import MODEL, Stage, configuration, opened
from tests.standing import standing

# The gateway draws jitter from `random` in its own thread; hypothesis takes that for the strategy's doing.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

QUICK, MANY = 6, 80  # examples of each kind for each operation
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "ignored_auth",
)
_USAGE = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "prompt_tokens": 1, "completion_tokens": 1}
_WHOLE = {"id": "theirs", "model": "theirs", "usage": _USAGE}
OPERATIONS = list(operations())


# The provider


async def provider(asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Answers each endpoint in the form that was asked for."""
    path = asked.head.split(b" ")[1].decode()
    endpoint = next(each for each in ENDPOINTS.values() if each.path == path)
    if _streamed(endpoint, asked.body):
        writer.write(asked.start(kind="text/event-stream") + b"".join(map(asked.part, _events(endpoint))) + END)
    else:
        text = any(b'name="response_format"\r\n\r\n' + word.encode() + b"\r\n" in asked.body for word in endpoint.texts)
        kind = "audio/mpeg" if endpoint.binary else "text/plain" if text else "application/json"
        writer.write(asked.start(kind=kind) + asked.part(json.dumps(_WHOLE).encode()) + END)
    await writer.drain()
    return True


def _streamed(endpoint: Endpoint, body: bytes) -> bool:
    if endpoint.streams is None:
        return False
    if endpoint.form:
        return b'name="stream"\r\n\r\ntrue\r\n' in body
    name, value = endpoint.streams
    return bool(json.loads(body).get(name) == json.loads(value))


def _events(endpoint: Endpoint) -> list[bytes]:
    if not endpoint.ends:
        return list(openai_shaped.events("theirs"))
    last: dict[str, Any] = {"type": endpoint.ends[0], "response": _WHOLE} if endpoint.name == "responses" else {"type": endpoint.ends[0]}
    return [f"event: {endpoint.ends[0]}\ndata: {json.dumps(last)}\n\n".encode()]


# The gateway


@contextlib.asynccontextmanager
async def playing(folder: Path) -> AsyncIterator[Stage]:
    """A gateway that can attest itself, over the provider."""
    async with scripted_enclave(provider) as enclave:
        agent = GuestAgent(enclave.machine, folder / "dstack.sock")
        await agent.start()
        models = {MODEL: {"upstreams": ["enclave"], "endpoints": sorted(NAMES)}}
        tree = configuration({"enclave": enclave}, models=models, evidence={"quote_source": "dstack:dstack.sock"})
        try:
            async with opened(folder, tree) as stage:
                yield stage
        finally:
            await agent.stop()


@pytest.fixture(scope="module")
def gateway() -> Iterator[Stage]:
    """In a thread of its own: schemathesis' client waits for its answers."""
    folder = Path(tempfile.mkdtemp(prefix="ollm-"))
    try:
        with standing(playing(folder)) as stage:
            yield stage
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def described() -> Any:
    """The document, with the one model that is served. Keys are ours to send: with another beside them they are none."""
    found = json.loads(encoded())
    for methods in found["paths"].values():
        for operation in methods.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                content["schema"]["properties"]["model"] = {"const": MODEL}
    load_all_checks()
    config = SchemathesisConfig.from_dict({"generation": {"with-security-parameters": False}})
    return schemathesis.openapi.from_dict(found, config=config)


# The checks


@functools.cache
def ours() -> str:
    """The document and the source: hypothesis takes texts for its inputs from there, and one of those in an error is no echo."""
    return encoded().decode() + "".join(file.read_text() for file in sorted(Path(ollm.__file__).parent.rglob("*.py")))


def said(value: Any) -> Iterator[str]:
    """Every text in `value` that is none of ours, and long enough not to be in one by chance."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from said(name)
            yield from said(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from said(inner)
    elif isinstance(value, str) and len(value) > 5 and value not in ours():
        yield value


def judge(stage: Stage, case: Case[Any], seen: set[int]) -> None:
    headers = {"authorization": f"Bearer {stage.api_key}"}
    checks: list[Any] = [CHECKS.get_one(name) for name in _CHECKS]
    response = case.call(base_url=stage.url, headers=headers, timeout=20)
    case.validate_response(response, checks=checks, headers=headers)
    seen.add(response.status_code)
    if response.status_code >= 400:
        assert response.headers["content-type"] == ["application/json"]
        text = response.content.decode()
        values = [value.removeprefix("Bearer ") for value in (case.headers or {}).values()]  # our message tells how a key is sent
        sent = [*said(case.body), *said(dict(case.query or {})), *said(dict(case.path_parameters or {})), *said(values)]
        assert not [each for each in sent if each in text], "an error repeats what was sent"


def run(described: Any, stage: Stage, operation: Operation, mode: GenerationMode, examples: int) -> set[int]:
    """Statuses of the answers to so many examples."""
    seen: set[int] = set()
    strategy: st.SearchStrategy[Case[Any]] = described[operation.path][operation.method].as_strategy(generation_mode=mode)

    @settings(max_examples=examples, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck), deadline=None)
    @given(case=strategy)
    def every(case: Case[Any]) -> None:
        judge(stage, case, seen)

    every()
    return seen


def modes(operation: Operation) -> list[GenerationMode]:
    varied = operation.endpoint is not None or operation.query  # any text is a name, so no name is a bad one
    return [GenerationMode.POSITIVE, GenerationMode.NEGATIVE] if varied else [GenerationMode.POSITIVE]


CASES = [pytest.param(operation, mode, id=f"{operation.id}-{mode.value}") for operation in OPERATIONS for mode in modes(operation)]


@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_every_answer_is_as_described(operation: Operation, mode: GenerationMode, described: Any, gateway: Stage) -> None:
    seen = run(described, gateway, operation, mode, QUICK)
    assert 200 in seen or operation.named or mode is GenerationMode.NEGATIVE, "nothing but errors was looked at"


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "mode"), CASES)
def test_every_answer_is_as_described_many_times(operation: Operation, mode: GenerationMode, described: Any, gateway: Stage) -> None:
    seen = run(described, gateway, operation, mode, MANY)
    assert 200 in seen or operation.named or mode is GenerationMode.NEGATIVE, "nothing but errors was looked at"
