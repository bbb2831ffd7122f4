"""The ACI/1 report of the machine that serves: one quote for each nonce, at a pace that the quoting service can bear."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ollm.errors import ApiError, UpstreamError, WireError
from ollm.ports import QuoteSource
from ollm.receipts.report import Provenance, build_report
from ollm.values.aci import API_VERSION, Keyset, report_data
from ollm.values.hexes import Hex32, hex32

QUOTES_AT_ONCE = 2  # a TDX quote takes the machine's one quoting enclave some tens of milliseconds
MAX_WAITING = 32  # callers beyond these are turned away: fresh nonces must not become a way to hold the service up
CACHE_SECONDS = 5.0  # the report without a nonce proves no freshness, so the same one may be served again


class AttestationService:
    """Makes reports over `keyset`. `headers` belong on every response, errors too (ACI §4.3)."""

    def __init__(
        self,
        keyset: Keyset,
        quote_source: QuoteSource | None,
        *,
        serving: str,
        provenance: Provenance | Mapping[str, Any] | None = None,
        e2ee_versions: Sequence[str] = (),
        tee_type: str = "tdx",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self._digest = keyset.digest()
        self._source = quote_source
        self._build = partial(
            build_report, keyset, serving=serving, provenance=provenance, e2ee_versions=tuple(e2ee_versions), tee_type=tee_type, extra=extra
        )
        self._quoting = asyncio.Semaphore(QUOTES_AT_ONCE)
        self._running: dict[Hex32 | None, asyncio.Task[bytes]] = {}
        self._unchallenged: tuple[float, bytes] | None = None
        self.headers: Mapping[str, str] = {"x-aci-version": API_VERSION, "x-aci-keyset-digest": self._digest}

    async def report(self, nonce: str | None) -> bytes:
        """The report over `nonce`.

        Raises: ApiError 400 for a nonce that is not 64 lowercase hexadecimal characters, 503 when this machine has no quoting
        service, when it fails, or when too many wait for it.
        """
        wanted = _nonce(nonce)
        if self._source is None:
            raise ApiError(503, "api_error", "attestation_unavailable", "This gateway does not run on a machine that can attest itself.")
        loop = asyncio.get_running_loop()
        cached = self._unchallenged
        if wanted is None and cached is not None and loop.time() - cached[0] < CACHE_SECONDS:
            return cached[1]
        task = self._running.get(wanted)
        if task is None:
            if len(self._running) >= QUOTES_AT_ONCE + MAX_WAITING:
                message = "Too many attestations are asked for at once; try again shortly."
                raise ApiError(503, "api_error", "attestation_busy", message, headers={"retry-after": "1"})
            task = self._running[wanted] = loop.create_task(self._make(wanted, self._source))
            task.add_done_callback(lambda done: self._forget(wanted, done))
        return await asyncio.shield(task)  # one caller that leaves must not take the report from the others

    async def _make(self, nonce: Hex32 | None, source: QuoteSource) -> bytes:
        async with self._quoting:
            try:
                quote = await source.quote(report_data(self._digest, nonce))
                report = self._build(nonce, quote)
            except (UpstreamError, WireError):
                raise ApiError(503, "api_error", "attestation_unavailable", "This machine's quoting service failed.") from None
        if nonce is None:
            self._unchallenged = (asyncio.get_running_loop().time(), report)
        return report

    def _forget(self, nonce: Hex32 | None, task: asyncio.Task[bytes]) -> None:
        del self._running[nonce]
        if not task.cancelled():
            task.exception()  # seen here, should every caller have left


def _nonce(text: str | None) -> Hex32 | None:
    if text is None:
        return None
    try:
        return hex32(text)
    except WireError as error:
        raise ApiError(400, "invalid_request_error", "invalid_nonce", f"nonce: {error.reason}.", param="nonce") from None
