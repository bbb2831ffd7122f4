"""Any ACI/1 service as a provider: other gateways, simulated enclaves, private-ai-gateway.

Evidence: `GET /v1/aci/attestation?nonce=` (ACI §4), and where bodies are sealed `GET /.well-known/hpke-keys` (EHBP §3),
both on one connection whose key then has to stand in the attested keyset. That connection carries prompts afterwards.
"""

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

from ollm.attest.evidence import AciEvidence
from ollm.config.settings import UpstreamSettings
from ollm.errors import UpstreamError
from ollm.net.connection import Connection, Origin, open_connection
from ollm.seal.ehbp import MEDIA_TYPE
from ollm.values.hexes import Hex32, hex32
from ollm.values.secret import Sealed

_MAX_REPORT = 4 * 1024 * 1024
_TIMEOUT = 10.0


class AciAdapter:
    """Profile, evidence source and request shape of one ACI/1 upstream."""

    def __init__(self, settings: UpstreamSettings, tls: ssl.SSLContext, api_key: Sealed | None) -> None:
        split = urlsplit(settings.url)
        self._origin = Origin(split.hostname or "", split.port or 443)
        self._tls = tls
        self._sealed = settings.seal == "ehbp"
        lines = f"host: {self._origin.authority}\r\nuser-agent: ollm\r\naccept: application/json, text/event-stream\r\n".encode()
        self._get_lines = lines
        authorization = b"authorization: Bearer " + api_key.expose() + b"\r\n" if api_key else b""
        self._post_lines = lines + authorization + b"content-type: application/json\r\n"

    @property
    def origin(self) -> Origin:
        return self._origin

    def head(self, path: str, length: int, extra: Mapping[str, str]) -> bytes:
        """Request line and headers. Nothing of the client's own headers goes on: they are a fingerprint."""
        more = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
        return f"POST {path} HTTP/1.1\r\n".encode() + self._post_lines + f"content-length: {length}\r\n{more}\r\n".encode()

    async def evidence(self, nonce: Hex32) -> tuple[AciEvidence, Connection]:
        """Fetch the report over `nonce`, and the key configuration where bodies are sealed. Raises: UpstreamError."""
        connection = await open_connection(self._origin, self._tls, timeout=_TIMEOUT, pinned=None)
        try:
            async with asyncio.timeout(_TIMEOUT):  # no pool sweeps this connection yet
                report, _ = await self._get(connection, f"/v1/aci/attestation?nonce={nonce}")
                key_config = None
                if self._sealed:
                    key_config, media_type = await self._get(connection, "/.well-known/hpke-keys")
                    if media_type != MEDIA_TYPE:
                        raise UpstreamError("headers", "the key configuration has another media type than EHBP's")
        except TimeoutError:
            connection.abort("headers", "timed out")
            raise UpstreamError("headers", "timed out") from None
        except BaseException:
            connection.abort(connection.phase, "evidence not had")
            raise
        return AciEvidence(report=report, nonce=nonce, peer_spki_sha256=hex32(connection.peer_spki), hpke_key_config=key_config), connection

    async def _get(self, connection: Connection, target: str) -> tuple[bytes, str]:
        response = await connection.exchange(f"GET {target} HTTP/1.1\r\n".encode() + self._get_lines + b"\r\n", b"", headers_timeout=_TIMEOUT)
        if response.status != 200:
            raise UpstreamError("headers", f"the attestation endpoint answered {response.status}", status=response.status)
        body = await response.read_all(_MAX_REPORT, _TIMEOUT)
        media_type = response.headers.get(b"content-type", b"").decode("latin-1")
        if not connection.finished():
            raise UpstreamError("close", "the provider closed the connection that its evidence is bound to")
        return body, media_type
