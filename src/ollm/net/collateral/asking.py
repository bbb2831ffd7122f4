"""How a vendor's service is asked: one request, one good answer, or a CollateralError that says for how long not to ask again."""

import asyncio
import email.utils
import re
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from ollm.errors import CollateralError, UpstreamError
from ollm.ports import Clock, Fetch, Fetched

_DIGITS = re.compile(r"\d{1,6}", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,159}")
_T = TypeVar("_T")


class Asker:
    """Asks services. Neither follows redirects, and takes nothing but status 200."""

    def __init__(self, fetch: Fetch, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock

    async def get(self, url: str) -> Fetched:
        """GET `url`. Raises: UpstreamError."""
        return self._good(await self._fetch.get(url))

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
        """POST `body` to `url`. Raises: UpstreamError."""
        return self._good(await self._fetch.post(url, body, media_type))

    def _good(self, answer: Fetched) -> Fetched:
        if answer.status != 200:
            reason = f"collateral service answered {answer.status}"
            raise CollateralError("headers", reason, status=answer.status, retry_after=self._retry_after(answer.headers.get("retry-after")))
        return answer

    def _retry_after(self, value: str | None) -> float | None:
        """RFC 9110 §10.2.3: seconds or a date. None for what is neither."""
        if value is None:
            return None
        if _DIGITS.fullmatch(value):
            return float(value)
        try:
            return max(email.utils.parsedate_to_datetime(value).timestamp() - self._clock.now(), 0.0)
        except (ValueError, TypeError, OverflowError):
            return None


def path_segment(text: str, what: str) -> str:
    """`text`, which comes out of evidence, as one segment of a path. Raises: UpstreamError for what can't be one."""
    if not _SEGMENT.fullmatch(text):
        raise UpstreamError("send", f"the evidence names {what} that can't exist")
    return text


async def all_of(parts: Iterable[Coroutine[Any, Any, _T]]) -> list[_T]:
    """Every part's result, had at once. Raises: what the first of them raised, when all are done, so that none runs on by itself."""
    results = await asyncio.gather(*parts, return_exceptions=True)
    found = []
    for result in results:
        if isinstance(result, BaseException):
            raise result
        found.append(result)
    return found
