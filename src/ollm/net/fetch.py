"""Plain fetching of public things (collateral, reports): no redirects, capped in size and time."""

from urllib.parse import urlsplit

import httpx2

from ollm.errors import UpstreamError
from ollm.ports import Fetched

_MAX_BODY = 4 * 1024 * 1024  # the largest collateral seen is some 100 kB


class HttpFetch:
    """`ports.Fetch` over httpx2. http is allowed to loopback only; the environment's proxies are not used."""

    def __init__(self, *, timeout: float = 15.0, max_body: int = _MAX_BODY) -> None:
        self._client = httpx2.AsyncClient(timeout=timeout, follow_redirects=False, trust_env=False)
        self._max_body = max_body

    async def get(self, url: str, *, authorization: str | None = None) -> Fetched:
        """GET `url`. Raises: UpstreamError, whose text never holds the URL's query or the credential."""
        split = urlsplit(url)
        if split.scheme != "https" and not (split.scheme == "http" and split.hostname in ("127.0.0.1", "::1", "localhost")):
            raise UpstreamError("connect", "only https is fetched from other machines")
        try:
            headers = {"authorization": authorization} if authorization else {}
            async with self._client.stream("GET", url, headers=headers) as response:
                parts = []
                size = 0
                async for part in response.aiter_bytes():
                    size += len(part)
                    if size > self._max_body:
                        raise UpstreamError("stream", "answer too large")
                    parts.append(part)
                answered = {name.lower(): value for name, value in response.headers.items()}
                return Fetched(response.status_code, answered, b"".join(parts))
        except httpx2.HTTPError as problem:
            raise UpstreamError("connect", type(problem).__name__) from None

    async def close(self) -> None:
        await self._client.aclose()
