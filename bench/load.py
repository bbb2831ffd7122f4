"""What is asked of every gateway, the check that it answers rightly, and one measurement with wrk."""

import http.client
import json
import os
import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from bench.mock import ANSWER, CHUNKS, MODEL, WORD
from bench.procs import BenchError, Cores, Process

HERE = Path(__file__).parent
CONNECTIONS = 32
PATH = "/v1/chat/completions"
REPLY_SECONDS = 120  # a slow peer may queue all connections before it answers one


@dataclass(frozen=True)
class Workload:
    """One kind of request: the same bytes for each target."""

    name: str
    title: str
    stream: bool
    filler: int  # bytes added to the prompt
    least_seconds: float = 0.0  # of a measurement: 32 bodies at once must have come through

    def body(self) -> bytes:
        text = "Say hello to the world, and tell me something about the ocean. "
        text += ("lorem ipsum " * (self.filler // 12 + 1))[: self.filler]
        messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": text}]
        request: dict[str, object] = {"model": MODEL, "messages": messages, "max_tokens": 64}
        if self.stream:
            request["stream"] = True
        return json.dumps(request, separators=(",", ":")).encode()


WHOLE = Workload("whole", "small whole chats", stream=False, filler=0)
STREAM = Workload("stream", f"streams of {CHUNKS} chunks", stream=True, filler=0)
LARGE = Workload("large", "whole chats with a 64 KiB body", stream=False, filler=64 * 1024)
MEGABYTE = Workload("megabyte", "whole chats with a 1 MB body", stream=False, filler=1_000_000)
TEN_MEGABYTES = Workload("10mb", "whole chats with a 10 MB body", stream=False, filler=10_000_000, least_seconds=20.0)
WORKLOADS = (WHOLE, STREAM, LARGE, MEGABYTE, TEN_MEGABYTES)


@dataclass(frozen=True)
class Target:
    """Something that speaks the OpenAI API. `process` is None for the model server itself, asked without a gateway."""

    name: str
    origin: str
    key: str
    process: Process | None
    slow: bool = False  # answers so few that it gets fewer, longer measurements
    receipts: bool = False  # each answer must name its receipt


@dataclass(frozen=True)
class Sample:
    """One measurement. `p50` and `p99` in milliseconds; `cpu` in microseconds of the gateway's time per request; `memory` in bytes."""

    rate: float
    p50: float
    p99: float
    cpu: float | None
    busy: float | None  # share of its core that the gateway used
    memory: int | None
    requests: int


def ask(target: Target, path: str, body: bytes | None) -> tuple[int, dict[str, str], bytes]:
    """One request of our own, POST with a body, GET without: status, headers with lowercase names, body."""
    url = urlsplit(target.origin)
    connection: http.client.HTTPConnection
    if url.scheme == "https":
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # the model server asked directly, on loopback, for its ceiling only
        connection = http.client.HTTPSConnection("127.0.0.1", url.port, timeout=REPLY_SECONDS, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", url.port, timeout=REPLY_SECONDS)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {"content-type": "application/json", "authorization": f"Bearer {target.key}"})
        response = connection.getresponse()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
    finally:
        connection.close()


def check(target: Target, workload: Workload) -> int:
    """Asks once and reads the answer closely; returns the size of its body. Raises: BenchError saying what was wrong."""
    try:
        status, headers, body = ask(target, PATH, workload.body())
    except (OSError, http.client.HTTPException) as problem:
        raise BenchError(f"{target.name}: no answer to {workload.title}: {problem!r}") from problem
    if status != 200:
        raise BenchError(f"{target.name}: {workload.title} answered with status {status}: {body[:300]!r}")
    text = streamed_text(body) if workload.stream else whole_text(body)
    if text != (f"{WORD} " * CHUNKS if workload.stream else ANSWER):
        raise BenchError(f"{target.name}: {workload.title}: the answer is not the model server's")
    if target.receipts:
        _check_receipt(target, headers.get("x-receipt-id", ""))
    return len(body)


def _check_receipt(target: Target, receipt_id: str) -> None:
    """Fetches the receipt that an answer named: what the figures say is on must be seen to be on. Raises: BenchError."""
    status, _, body = ask(target, f"/v1/aci/receipts/{receipt_id}", None)
    if status != 200 or receipt_id.encode() not in body or b'"signature"' not in body:
        raise BenchError(f"{target.name}: no signed receipt {receipt_id!r} for an answer (status {status})")


def whole_text(body: bytes) -> str:
    try:
        return str(json.loads(body)["choices"][0]["message"]["content"])
    except (ValueError, LookupError, TypeError) as problem:
        raise BenchError("an answer is not a chat completion") from problem


def streamed_text(body: bytes) -> str:
    """The text of a stream. Raises: BenchError unless it ends with [DONE] and no event is an error."""
    events = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line.strip()]
    if not events or events[-1].strip() != b"[DONE]":
        raise BenchError("a stream does not end with [DONE]")
    try:
        choices = [choice for event in events[:-1] for choice in json.loads(event)["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)
    except (ValueError, LookupError, TypeError) as problem:
        raise BenchError("a stream holds something else than chunks") from problem


def drive(target: Target, workload: Workload, *, seconds: float, cores: Cores, directory: Path) -> dict[str, int]:
    """Runs wrk against `target` for `seconds` over 32 connections; returns what load.lua counted.

    Raises: BenchError when any answer had another status than 2xx or a socket failed.
    """
    body_file = directory / f"{workload.name}.json"
    body_file.write_bytes(workload.body())
    command = ["taskset", "-c", str(cores.load), "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "--timeout", f"{REPLY_SECONDS}s"]
    command += ["-s", str(HERE / "load.lua"), target.origin + PATH]
    environment = {**os.environ, "BENCH_BODY": str(body_file), "BENCH_KEY": target.key}
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=seconds + REPLY_SECONDS + 30)
    figures = parse(run.stdout)
    failed = {name: figures[name] for name in ("connect", "read", "write", "timeout", "status") if figures[name]}
    if failed:
        raise BenchError(f"{target.name}: {workload.title}: of {figures['requests']} requests failed: {failed}")
    return figures


def measure(target: Target, workload: Workload, size: int, *, seconds: float, cores: Cores, directory: Path) -> Sample:
    """One measurement of `seconds`. `size` is what `check` returned.

    Raises: BenchError when any request failed, or the answers were too short to be whole (a stream that breaks off still
    has status 200).
    """
    process = target.process
    if process is not None:
        process.must_live()
        process.reset_peak_memory()
    before = process.cpu_seconds() if process else 0.0
    figures = drive(target, workload, seconds=seconds, cores=cores, directory=directory)
    spent = process.cpu_seconds() - before if process else 0.0
    if not figures["requests"]:
        raise BenchError(f"{target.name}: {workload.title}: not one answer in {seconds:g} s")
    average = figures["bytes"] / figures["requests"]
    if average < 0.98 * size:
        raise BenchError(f"{target.name}: {workload.title}: answers of {average:.0f} bytes, not of {size}: some broke off")
    took = figures["microseconds"] / 1e6
    return Sample(
        rate=figures["requests"] / took,
        p50=figures["p50"] / 1e3,
        p99=figures["p99"] / 1e3,
        cpu=spent / figures["requests"] * 1e6 if process else None,
        busy=spent / took if process else None,
        memory=process.peak_memory() if process else None,
        requests=figures["requests"],
    )


def parse(output: str) -> dict[str, int]:
    """The line that load.lua prints. Raises: BenchError with wrk's output when there is none."""
    for line in output.splitlines():
        if line.startswith("BENCH "):
            figures: dict[str, int] = json.loads(line.removeprefix("BENCH "))
            return figures
    raise BenchError(f"wrk gave no figures:\n{output}")
