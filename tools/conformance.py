"""`make conformance`: suites that others wrote, run against a real gateway. Ends 0 only if every difference is one that is explained.

    llm-comply          chat completions, Responses and Anthropic's messages, whole and streamed, against a gateway before a simulated enclave:
                        attested and sealed; the two newer APIs reach its chat endpoint in translation
    openai-python       its own tests of the endpoints that are served, twice: against Steady, which answers by OpenAI's OpenAPI document and
                        refuses what that doesn't allow; and with the gateway between. The same must pass and fail.

docs/reference/conformance.md has a table of every difference, with its reason; this compares it with what happened. `OPENAI_OPENAPI` may name
a newer document for Steady than the one that llm-comply brings.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx2
import yaml

from ollm.net.clock import SystemClock
from ollm.serving.http import Receive, Scope, Send, read_body
from ollm.sim.service import SimOptions
from ollm.testing.providers.every_endpoint import EVENTS
from ollm.testing.providers.served import Served, answer, headers_of
from ollm.testing.providers.tls import certified
from ollm.wire.answer import DONE
from ollm.wire.endpoints import ENDPOINTS, Endpoint
from ollm.wire.sse import data_event
from tests.stage import Stage, configuration, eventually, opened, staged
from tests.system.processes import free_ports

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs/reference/conformance.md"
_ROW = re.compile(r"^\| `([^`]+)` \| `([^`]+)` \|", re.MULTILINE)

FORMATS = {"openai-chat": "/v1", "open-responses": "/v1", "anthropic": "/v1"}
_ANTHROPIC = ("--auth-header", "x-api-key", "--no-bearer", "-H", "anthropic-version:2023-06-01")
RESOURCES = (
    "test_completions.py",
    "test_embeddings.py",
    "test_images.py",
    "test_moderations.py",
    "audio/test_speech.py",
    "audio/test_transcriptions.py",
    "audio/test_translations.py",
    "chat/test_completions.py",
    "test_responses.py",
)
_STEADY = ("query-array-format", "form-array-format", "query-object-format", "form-object-format")
_STREAMED = re.compile(rb'"stream": ?true|name="stream"\r\n(?:[^\r\n]+\r\n)*\r\ntrue|"stream_format": ?"sse"')
_MAX_BODY = 16 * 1024 * 1024
_MODEL = re.compile(r'model="([^"]+)"')


class Difference(NamedTuple):
    """One test of a suite that ended otherwise than it should."""

    suite: str
    test: str


def explained(page: Path = PAGE) -> set[Difference]:
    """The differences that the page has a reason for. A test's name may end with `*`."""
    return {Difference(*found) for found in _ROW.findall(page.read_text())}


def unexplained(found: set[Difference], known: set[Difference]) -> tuple[set[Difference], set[Difference]]:
    """What the page does not name, and what it names without need."""

    def covers(row: Difference, one: Difference) -> bool:
        return row.suite == one.suite and (row.test == one.test or (row.test.endswith("*") and one.test.startswith(row.test[:-1])))

    new = {one for one in found if not any(covers(row, one) for row in known)}
    return new, {row for row in known if not any(covers(row, one) for one in found)}


async def _run(*command: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env={**os.environ, **(env or {})}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode(errors="replace")


# llm-comply


async def comply(python: Path, folder: Path) -> set[Difference]:
    """All formats, against a gateway before an enclave."""
    found: set[Difference] = set()
    async with staged(folder, SimOptions()) as stage:
        await stage.gateway.keepers["enclave"].session(10)
        for name, base in FORMATS.items():
            more = _ANTHROPIC if name == "anthropic" else ()
            code, out = await _run(
                str(python), "-m", "llm_comply.cli", "--format", name, "-u", stage.url + base, "-k", stage.api_key, "-m", "demo", "--json", *more
            )
            results = json.loads(out[out.index("{") :] if "{" in out else "{}").get("results", [])
            if not results:
                raise SystemExit(f"llm-comply {name} ended {code} without a result:\n{out[-2000:]}")
            failed = [one for one in results if one["status"] not in ("passed", "skipped")]
            found |= {Difference(f"llm-comply {name}", one["id"]) for one in failed}
            print(f"llm-comply {name:<15} {len(results) - len(failed)} of {len(results)} passed")
            for one in failed:
                print(f"   {one['id']}: {'; '.join(map(str, one.get('errors') or []))[:300]}")
    return found


# openai-python's own tests


@contextlib.asynccontextmanager
async def steady(binary: Path, document: Path) -> AsyncIterator[int]:
    """Steady, on a port of loopback."""
    [port] = free_ports(1)
    flags = [f"--validator-{name}=brackets" for name in _STEADY]
    process = await asyncio.create_subprocess_exec(
        str(binary), "--host", "127.0.0.1", "-p", str(port), "-q", *flags, str(document), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await _listening(port)
        yield port
    finally:
        process.terminate()
        await process.wait()


async def _listening(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.1)
    raise SystemExit("Steady didn't start")


class Front(Served):
    """TLS before Steady, since a gateway sends to nobody without; and a stream of one event where one is asked for, since Steady has none."""

    def __init__(self, port: int) -> None:
        found = certified(SystemClock().now())
        self.ca = found.ca
        self._http = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}")
        super().__init__(found.identity)

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        await self._http.aclose()

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(scope, receive, _MAX_BODY)
        named = {name: value for name, value in headers_of(scope).items() if name not in ("host", "content-length")}
        response = await self._http.request(scope["method"], scope["path"], content=body, headers=named)
        data, kind = response.content, response.headers.get("content-type", "").encode()
        endpoint = next((one for one in ENDPOINTS.values() if one.path == scope["path"]), None)
        if endpoint is not None and response.status_code == 200 and _STREAMED.search(body):
            data, kind = streamed(endpoint, data), EVENTS
        await answer(send, response.status_code, data, kind)


def streamed(endpoint: Endpoint, whole: bytes) -> bytes:
    """The answer `whole` as a stream of one event, with the end mark of the endpoint."""
    inner = json.loads(whole) if whole.startswith(b"{") else {}
    if not endpoint.ends:
        return data_event(json.dumps(inner).encode()) + DONE
    event = {"type": endpoint.ends[0], "response": inner} if endpoint.nested else {**inner, "type": endpoint.ends[0]}
    return data_event(json.dumps(event).encode())


def based(document: Path, folder: Path) -> Path:
    """The document with its paths below /v1, where providers have them."""
    folder.mkdir(exist_ok=True)
    whole = yaml.safe_load(document.read_bytes()) if document.suffix != ".json" else json.loads(document.read_bytes())
    whole["paths"] = {"/v1" + path: operations for path, operations in whole["paths"].items()}
    target = folder / "openapi.json"
    target.write_text(json.dumps(whole, default=str))
    return target


async def sdk(source: Path, binary: Path, document: Path, folder: Path) -> set[Difference]:
    """openai-python's tests, without and with the gateway between: what ends otherwise."""
    names = {name for test in RESOURCES for name in _MODEL.findall((source / "tests/api_resources" / test).read_text())}
    async with steady(binary, based(document, folder)) as port, Front(port) as front:
        direct = await _outcomes(source, f"http://127.0.0.1:{port}/v1", "My API Key", folder)
        tree = configuration({}, gateway={"floor": "zdr"}, models={name: {"upstreams": ["steady"], "endpoints": sorted(ENDPOINTS)} for name in names})
        tree["defaults"] = {"moderations": "omni-moderation-2024-09-26", "images.generations": "gpt-image-1.5", "images.edits": "gpt-image-1.5"}
        tree["upstreams"] = {"steady": {"url": front.url, "adapter": "openai-compatible", "ca": front.ca}}
        async with opened(folder, tree) as stage:
            between = await _outcomes(source, stage.url + "/v1", stage.api_key, folder)
            await _quiet(stage)
    passed = sum(outcome == "passed" for outcome in direct.values())
    same = sum(between.get(test) == outcome for test, outcome in direct.items())
    print(f"openai-python            {same} of {len(direct)} end the same with the gateway between ({passed} pass without it)")
    return {Difference("openai-python", _plain(test)) for test, outcome in direct.items() if between.get(test) != outcome}


async def _quiet(stage: Stage) -> None:
    await eventually(lambda: stage.under_way == 0)


def _plain(test: str) -> str:
    """`test_responses.py::test_method_create` for all of its clients, sync and async, loose and strict."""
    file, _, name = test.partition("::")
    return f"{file.removeprefix('tests/api_resources/')}::{name.rpartition('::')[2].partition('[')[0]}"


async def _outcomes(source: Path, url: str, key: str, folder: Path) -> dict[str, str]:
    report = folder / "outcomes.json"
    env = {"PYTHONPATH": f"{source}:{ROOT}", "TEST_API_BASE_URL": url, "CONFORMANCE_KEY": key, "CONFORMANCE_REPORT": str(report)}
    tests = [f"tests/api_resources/{test}" for test in RESOURCES]
    command = (sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(source), "-o", "asyncio_mode=auto", "-p", "no:cacheprovider")
    code, out = await _run(*command, "-p", "tools.conformance_plugin", *tests, cwd=source, env=env)
    if not report.exists():
        raise SystemExit(f"pytest ended {code} without a report:\n{out[-2000:]}")
    outcomes: dict[str, str] = json.loads(report.read_bytes())
    report.unlink()
    return outcomes


async def _main(options: argparse.Namespace) -> int:
    found: set[Difference] = set()
    with tempfile.TemporaryDirectory(prefix="ollm-") as folder:
        document = Path(os.environ.get("OPENAI_OPENAPI") or options.document)
        found |= await sdk(options.source, options.steady, document, Path(folder, "a"))
        found |= await comply(options.python, Path(folder, "b"))
    new, stale = unexplained(found, explained())
    for one in sorted(new):
        print(f"no reason in {PAGE.name}: {one.suite}: {one.test}")
    for one in sorted(stale):
        print(f"{PAGE.name} explains what didn't happen: {one.suite}: {one.test}")
    print(f"{len(found)} differences, {len(found) - len(new)} explained")
    return 1 if new or stale else 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, text in (
        ("source", "unpacked source distribution of openai"),
        ("steady", "Steady's command"),
        ("document", "OpenAI's OpenAPI document"),
        ("python", "a Python that has llm-comply"),
    ):
        parser.add_argument(f"--{name}", type=Path, required=True, help=text)
    options = parser.parse_args(arguments)
    options.source = options.source.resolve()
    return asyncio.run(_main(options))


if __name__ == "__main__":
    sys.exit(main())
