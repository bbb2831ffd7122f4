"""Client of a dstack guest agent: how a workload inside a TDX guest asks its machine for a quote.

HTTP/1.1 with JSON over a Unix socket, bytes as hex (dstack guest agent, GetQuote and Info).
"""

from pathlib import Path

import httpx2
import msgspec

from ollm.errors import UpstreamError
from ollm.ports import Quote

_TIMEOUT = 10.0


class _GetQuote(msgspec.Struct):
    quote: str
    event_log: str
    vm_config: str = ""


class _Info(msgspec.Struct):
    tcb_info: str | dict[str, object]


class _TcbInfo(msgspec.Struct):
    app_compose: str


class DstackAgent:
    """`ports.QuoteSource` over the agent's socket at `path`."""

    def __init__(self, path: Path) -> None:
        transport = httpx2.AsyncHTTPTransport(uds=str(path))
        self._client = httpx2.AsyncClient(transport=transport, timeout=_TIMEOUT, base_url="http://dstack", trust_env=False)

    async def quote(self, report_data: bytes) -> Quote:
        """A fresh quote over `report_data` (64 bytes). Raises: UpstreamError."""
        answer = await self._call("GetQuote", {"report_data": report_data.hex()})
        info = await self._call("Info", {})
        try:
            got = msgspec.json.decode(answer, type=_GetQuote)
            tcb = msgspec.json.decode(info, type=_Info).tcb_info
            compose = (msgspec.json.decode(tcb, type=_TcbInfo) if isinstance(tcb, str) else msgspec.convert(tcb, _TcbInfo)).app_compose
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamError("stream", "the guest agent's answer has not the expected members") from None
        return Quote(got.quote, got.event_log, got.vm_config, compose)

    async def _call(self, method: str, body: dict[str, str]) -> bytes:
        try:
            response = await self._client.post(f"/{method}", json=body)
        except httpx2.HTTPError as problem:
            raise UpstreamError("connect", f"guest agent: {type(problem).__name__}") from None
        if response.status_code != 200:
            raise UpstreamError("headers", f"guest agent answered {response.status_code}", status=response.status_code)
        return response.content

    async def close(self) -> None:
        await self._client.aclose()
