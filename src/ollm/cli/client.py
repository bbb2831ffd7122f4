"""The client of the demo: the OpenAI SDK where it is installed, plain HTTP otherwise. Keeps the exact bytes for the receipt."""

import json
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import httpx2
import msgspec

from ollm.errors import OllmError
from ollm.values.secret import Hidden

_SDK = find_spec("openai") is not None
CLIENT_NAME = "the unmodified OpenAI SDK" if _SDK else "plain HTTP (the OpenAI SDK is not installed here)"
_TIMEOUT = 300.0


class Chat(Hidden, frozen=True):
    """A finished chat. `request` and `response` are the bodies as they crossed the wire."""

    text: str
    receipt_id: str
    request: bytes
    response: bytes

    def __repr__(self) -> str:
        return "<chat>"


class Refusal(msgspec.Struct, frozen=True):
    status: int
    message: str
    receipt_id: str


class _Witness(httpx2.BaseTransport):
    """Passes everything on and keeps the bytes: what a client needs who wants to check a receipt later."""

    def __init__(self) -> None:
        self._inner = httpx2.HTTPTransport()
        self.request = b""
        self.pieces: list[bytes] = []
        self.headers: httpx2.Headers = httpx2.Headers()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self.request = request.read()
        response = self._inner.handle_request(request)
        self.headers = response.headers
        return httpx2.Response(response.status_code, headers=response.headers, stream=_Kept(response, self.pieces))

    def close(self) -> None:
        self._inner.close()


class _Kept(httpx2.SyncByteStream):
    def __init__(self, response: httpx2.Response, pieces: list[bytes]) -> None:
        self._response = response
        self._pieces = pieces

    def __iter__(self) -> Any:
        for piece in self._response.iter_raw():
            self._pieces.append(piece)
            yield piece

    def close(self) -> None:
        self._response.close()


def streamed_chat(url: str, api_key: str, model: str, prompt: str, show: Callable[[str], None]) -> Chat:
    """Stream one chat, giving each piece to `show`."""
    witness = _Witness()
    parts: list[str] = []
    with httpx2.Client(transport=witness, timeout=_TIMEOUT) as http:
        stream = _sdk_pieces if _SDK else _plain_pieces
        for piece in stream(http, url, api_key, model, prompt):
            parts.append(piece)
            show(piece)
    return Chat("".join(parts), witness.headers.get("x-receipt-id", ""), witness.request, b"".join(witness.pieces))


def _sdk_pieces(http: httpx2.Client, url: str, api_key: str, model: str, prompt: str) -> Any:
    import openai  # optional: what people use; the demo does without it too

    client = openai.OpenAI(base_url=url + "/v1", api_key=api_key, http_client=http)
    for chunk in client.chat.completions.create(model=model, messages=[{"role": "user", "content": prompt}], stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            yield chunk.choices[0].delta.content


def _plain_pieces(http: httpx2.Client, url: str, api_key: str, model: str, prompt: str) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": True}
    with http.stream("POST", url + "/v1/chat/completions", json=body, headers={"authorization": f"Bearer {api_key}"}) as response:
        if response.status_code != 200:
            raise OllmError(f"the gateway answered {response.status_code}")
        for line in response.iter_lines():
            if line.startswith("data: {"):
                choices = json.loads(line[6:])["choices"]
                if choices and choices[0]["delta"].get("content"):
                    yield choices[0]["delta"]["content"]


def refused_chat(url: str, api_key: str, model: str, prompt: str) -> Refusal:
    """One chat that has to be refused."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    with httpx2.Client(timeout=_TIMEOUT) as http:
        response = http.post(url + "/v1/chat/completions", json=body, headers={"authorization": f"Bearer {api_key}"})
    message = response.json()["error"]["message"] if response.status_code != 200 else "it was not refused"
    return Refusal(response.status_code, message, response.headers.get("x-receipt-id", ""))
