"""The server that plays a provider without evidence."""

import json

import pytest

from ollm.net.connection import Origin, certified_tls, open_connection
from ollm.testing.providers.zdr import ZdrServer

CHAT = b'{"model":"m","messages":[]'


async def ask(server: ZdrServer, body: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
    connection = await open_connection(Origin("127.0.0.1", int(server.url.rpartition(":")[2])), certified_tls(server.ca), timeout=5, pinned=None)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    response = await connection.exchange(head, body, headers_timeout=5)
    data = await response.read_all(1 << 20, 5)
    connection.abort("close", "done")
    return response.status, response.headers, data


async def test_it_answers_whole_and_streamed_and_keeps_what_came() -> None:
    async with ZdrServer() as server:
        status, _, data = await ask(server, CHAT + b"}")
        assert (status, json.loads(data)["model"]) == (200, "m")
        server.comments = True
        _, headers, data = await ask(server, CHAT + b',"stream":true}')
        assert headers[b"content-type"] == b"text/event-stream"
        assert data.startswith(b": PROCESSING\n\ndata: ") and data.endswith(b"data: [DONE]\n\n")
        assert [asked.body for asked in server.asked] == [CHAT + b"}", CHAT + b',"stream":true}']


@pytest.mark.parametrize("status", [401, 529])
async def test_it_fails_as_told(status: int) -> None:
    async with ZdrServer() as server:
        server.status = status
        assert (await ask(server, CHAT + b"}"))[0] == status
        server.elsewhere = "https://elsewhere.example/"
        status, headers, _ = await ask(server, CHAT + b"}")
        assert (status, headers[b"location"]) == (307, b"https://elsewhere.example/")
