"""Recorded ways of making two servers read one request differently: however they are read here, one prompt in is at most one out.

The vectors are others' (OLLM_EVIDENCE_DIR, http-smuggling); our own, written from RFC 9112, are in tests/serving/test_framing.py. Each is armed:
its requests go to the inference endpoint with a valid key, and behind it stands one whole prompt, which a wrong reading would let through
twice, or as a part of something else.
"""

import asyncio
import codecs
import contextlib
import json
import re
from pathlib import Path

from tests.scripted_enclave import ScriptedEnclave, answer, scripted_enclave
from tests.stage import CHAT, MODEL, Stage, configuration, opened

SECONDS = 4.0  # for a server that waits for more: longer than it lingers after a refusal
AT_ONCE = 20
_REQUEST = re.compile(rb"(?:GET|POST|HEAD|PUT) /\S* HTTP/1\.1\r\n")
ANSWER = json.dumps(
    {"id": "x", "model": "m", "object": "chat.completion", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}
).encode()


def vectors(folder: Path) -> dict[str, bytes]:
    """Payloads by section and number."""
    entries = json.loads((folder / "http-smuggling/http-garden-trophies.json").read_bytes())
    return {
        f"{entry['section']} {entry['n']}.{index}": codecs.escape_decode(text)[0]  # the record has its own escapes
        for entry in entries
        for index, text in enumerate(entry["payload_escaped"])
    }


def armed(payload: bytes, name: str, key: str) -> tuple[bytes, int]:
    """`payload` with a key and the inference endpoint in its requests, one prompt behind it, and how many requests that are."""
    head = f"POST {CHAT} HTTP/1.1\r\nAuthorization: Bearer {key}\r\n".encode()
    body = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": f"<{name}>"}]}).encode()
    last = head + b"Host: gateway\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    made, count = _REQUEST.subn(lambda _: head, payload)
    return made + last, count + 1


async def heard(port: int, data: bytes) -> bytes:
    """What the server says until it closes, or waits."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    try:
        writer.write(data)
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(SECONDS):
                while piece := await reader.read(65536):
                    said += piece
    finally:
        writer.transport.abort()
    return said


async def test_one_prompt_in_is_at_most_one_prompt_out(evidence_dir: Path, socket_dir: Path) -> None:
    cases = vectors(evidence_dir)
    assert len(cases) > 70
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(stage: Stage, enclave: ScriptedEnclave, name: str, payload: bytes) -> None:
        data, requests = armed(payload, name, stage.api_key)
        async with turns:
            said = await heard(stage.server.port, data)
        statuses = [int(status) for status in re.findall(rb"HTTP/1\.1 ([0-9]{3}) [A-Z]", said)]
        prompts = [asked.body for asked in enclave.asked if f"<{name}>".encode() in asked.body]
        assert len(statuses) <= requests, name
        assert len(prompts) == statuses.count(200) <= 1, name
        assert all(body.startswith(b'{"model":"') and json.loads(body)["messages"] for body in prompts), name
        assert not any(status >= 500 and status not in (501, 505) for status in statuses), name

    async with scripted_enclave(answer(ANSWER)) as enclave, opened(socket_dir, configuration({"enclave": enclave})) as stage:
        await stage.gateway.keepers["enclave"].session(5)
        await asyncio.gather(*(one(stage, enclave, name, payload) for name, payload in cases.items()))
        before = len(enclave.asked)
        assert (await stage.chat()).status_code == 200, "and it serves as before"
        assert len(enclave.asked) == before + 1
        assert stage.under_way == 0
