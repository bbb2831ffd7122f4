"""Plain fetching of public things (collateral, reports): no redirects, capped in size and time."""

import asyncio
import functools
import ssl
from urllib.parse import urlsplit

import httpx2

from ollm.errors import UpstreamError
from ollm.ports import Fetched

_MAX_BODY = 4 * 1024 * 1024  # the largest collateral seen is some 100 kB
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class HttpFetch:
    """`ports.Fetch` over httpx2. http is allowed to loopback only; the environment's proxies are not used.

    `timeout` (seconds) is for the whole of one fetch: a server that drips bytes must not hold a verification up.
    """

    def __init__(self, *, timeout: float = 15.0, max_body: int = _MAX_BODY) -> None:
        self._client = httpx2.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False, verify=_authorities())
        self._timeout = timeout
        self._max_body = max_body

    async def get(self, url: str, *, authorization: str | None = None) -> Fetched:
        """GET `url`. Raises: UpstreamError, whose text never holds the URL's query or the credential."""
        return await self._ask("GET", url, {"authorization": authorization} if authorization else {}, None)

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
        """POST `body` to `url`. Raises: UpstreamError, whose text never holds the URL's query or the body."""
        return await self._ask("POST", url, {"content-type": media_type}, body)

    async def _ask(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Fetched:
        if not _allowed(url):
            raise UpstreamError("connect", "only https is fetched from other machines")
        try:
            async with asyncio.timeout(self._timeout):
                return await self._answer(method, url, headers, body)
        except TimeoutError:
            raise UpstreamError("connect", "timed out") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as problem:
            raise UpstreamError("connect", type(problem).__name__) from None

    async def _answer(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Fetched:
        async with self._client.stream(method, url, headers=headers, content=body) as response:
            parts = []
            size = 0
            async for part in response.aiter_bytes():
                size += len(part)
                if size > self._max_body:
                    raise UpstreamError("stream", "answer too large")
                parts.append(part)
            answered = {name.lower(): value for name, value in response.headers.items()}
            return Fetched(response.status_code, answered, b"".join(parts))

    async def close(self) -> None:
        await self._client.aclose()


@functools.cache
def _authorities() -> ssl.SSLContext:
    """Trust in public authorities, for every fetch of the process: reading them takes longer than most fetches. The environment adds none."""
    return httpx2.create_ssl_context(trust_env=False)


def _allowed(url: str) -> bool:
    try:
        split = urlsplit(url)
    except ValueError:
        return False
    return bool(split.hostname) and (split.scheme == "https" or (split.scheme == "http" and split.hostname in _LOOPBACK))
