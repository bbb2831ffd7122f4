"""An OpenAI-compatible server behind the enclave (llama.cpp, vLLM, Ollama): its answers pass through byte for byte.

The engine belongs to the same machine, as it does in a real confidential VM, so plain HTTP to loopback is what is meant.
"""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec

from ollm.errors import ApiError, ConfigError, UpstreamError
from ollm.sim.engine import Operation, Reply

MAX_ERROR_BODY = 64 * 1024
# A large model may think for minutes before its first byte; a whole answer comes in one piece at the end.
_TIMEOUT = httpx2.Timeout(600.0, connect=5.0, pool=5.0)
_LIMITS = httpx2.Limits(max_connections=256, max_keepalive_connections=64)


class UpstreamEngine:
    """`Engine` over the server at `url`, which ends in /v1 as OpenAI's base URLs do."""

    def __init__(self, url: str, *, api_key: str | None = None, timeout: httpx2.Timeout = _TIMEOUT) -> None:
        self._url = url.rstrip("/")
        # identity: what arrives is relayed and hashed as it is, never unpacked
        headers = {"accept-encoding": "identity"} | ({"authorization": f"Bearer {api_key}"} if api_key is not None else {})
        self._client = httpx2.AsyncClient(headers=headers, timeout=timeout, limits=_LIMITS, trust_env=False)

    async def answer(self, operation: Operation, body: bytes) -> Reply:
        """The server's answer, its own errors included. Raises: ApiError when there is none that a client could use."""
        method = "GET" if operation is Operation.MODELS else "POST"
        headers = {"content-type": "application/json"} if body else None
        request = self._client.build_request(method, f"{self._url}/{operation.value}", content=body or None, headers=headers)
        try:
            response = await self._client.send(request, stream=True)
        except httpx2.TimeoutException:
            raise ApiError(504, "server_error", "upstream_timeout", "the model server did not answer in time") from None
        except httpx2.HTTPError:
            raise ApiError(502, "server_error", "upstream_unreachable", "the model server can't be reached") from None
        if not response.is_success:
            return await _failure(response)
        if "content-encoding" in response.headers:
            await response.aclose()
            raise ApiError(502, "server_error", "upstream_invalid", "the model server sent an encoded body that was not asked for")
        length = response.headers.get("content-length", "")
        return Reply(
            status=response.status_code,
            content_type=response.headers.get("content-type", "application/json").encode("latin-1"),
            length=int(length) if length.isdigit() else None,
            chunks=_relay(response),
            close=response.aclose,
        )

    async def close(self) -> None:
        await self._client.aclose()


class _Listed(msgspec.Struct):
    id: str


class _Listing(msgspec.Struct):
    data: list[_Listed]


async def first_model(url: str) -> str:
    """The model that the server at `url` lists first: what it answers to, where nobody chose. Raises: ConfigError."""
    engine = UpstreamEngine(url, timeout=httpx2.Timeout(5.0))
    try:
        reply = await engine.answer(Operation.MODELS, b"")
        body = b"".join([chunk async for chunk in reply.chunks])
        await reply.close()
        return msgspec.json.decode(body, type=_Listing).data[0].id
    except (ApiError, UpstreamError, httpx2.InvalidURL):
        raise ConfigError(
            f"no model server answers at {url}", "start it first, and give its base URL as clients use it: http://127.0.0.1:8000/v1"
        ) from None
    except (msgspec.DecodeError, IndexError):
        raise ConfigError(f"the server at {url} lists no models", "its /models must answer as OpenAI's does") from None
    finally:
        await engine.close()


async def _relay(response: httpx2.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in response.aiter_raw():
            yield chunk
    except httpx2.HTTPError as problem:
        raise UpstreamError("stream", type(problem).__name__) from None


async def _failure(response: httpx2.Response) -> Reply:
    """The server's error object if it sent one, else the status in words of ours. Raises: ApiError."""
    status = response.status_code
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > MAX_ERROR_BODY:
                break
    except httpx2.HTTPError:
        body.clear()
    finally:
        await response.aclose()
    if status >= 400 and _is_error_object(bytes(body)):
        return Reply(status=status, length=len(body), chunks=_once(bytes(body)))
    if 400 <= status < 500:
        raise ApiError(status, "invalid_request_error", None, f"the model server answered {status}")
    raise ApiError(502, "server_error", "upstream_failed", f"the model server answered {status}")


def _is_error_object(body: bytes) -> bool:
    try:
        document: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(document, dict) and isinstance(document.get("error"), dict)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body
