"""A client that keeps what it hears byte for byte, and checks receipts as a third party would."""

import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx2

from ollm.app.build import endorser_of
from ollm.client.verify import check_receipt, verify_gateway
from ollm.config.load import load
from ollm.net.clock import SystemClock
from ollm.net.fetch import HttpFetch
from tests.system.installation import Installation

DONE = b"data: [DONE]\n\n"
TIMEOUT = httpx2.Timeout(30.0)


@dataclass
class Heard:
    """One exchange as its client saw it."""

    sent: bytes
    streamed: bool
    status: int = 0
    request_id: str = ""  # of the ledger: without req_
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False  # HTTP says that this was all

    @property
    def complete(self) -> bool:
        """An application would use this answer."""
        return self.status == 200 and self.ended and (not self.streamed or self.body.endswith(DONE))


def body_of(model: str, *, stream: bool = False, words: str = "hello", **members: Any) -> bytes:
    return json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": words}], **members}).encode()


async def ask(client: httpx2.AsyncClient, key: str, model: str, *, stream: bool = False, **members: Any) -> Heard:
    """Ask, and keep what came until the answer or the connection ended. `client` has the gateway as its base URL."""
    heard = Heard(body_of(model, stream=stream, words=secrets.token_hex(8), **members), stream)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    try:
        async with client.stream("POST", "/v1/chat/completions", content=heard.sent, headers=headers) as response:
            heard.status = response.status_code
            heard.request_id = response.headers["x-request-id"].removeprefix("req_")
            async for piece in response.aiter_raw():
                heard.body += piece
            heard.ended = True
    except httpx2.HTTPError:
        pass  # what came before stays
    return heard


def connected(installation: Installation) -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=256, max_keepalive_connections=256)
    return httpx2.AsyncClient(base_url=installation.url, timeout=TIMEOUT, limits=limits, trust_env=False)


class Auditor:
    """Judges receipts under the keyset that the gateway's own evidence establishes, trusting nothing it says."""

    def __init__(self, installation: Installation, key: str) -> None:
        self._installation = installation
        self._authorization = f"Bearer {key}"

    async def unproven(self, exchanges: list[Heard]) -> list[str]:
        """Request ids of `exchanges` whose receipt is missing, or does not prove the bytes that were sent and heard."""
        loaded = load(self._installation.config)
        fetch, clock = HttpFetch(), SystemClock()
        try:
            endorser = endorser_of(loaded, "simulated", fetch, clock)
            verdict = await verify_gateway(fetch, endorser, clock, self._installation.url, loaded.settings.policies["simulated"])
            assert verdict.keyset is not None and verdict.keyset_digest is not None, verdict.appraisal.failure
            bad = []
            for heard in exchanges:
                url = f"{self._installation.url}/v1/aci/receipts/rcpt_{heard.request_id}"
                answer = await fetch.get(url, authorization=self._authorization)
                receipt, _ = check_receipt(
                    answer.body, verdict.keyset, verdict.keyset_digest, request=heard.sent, response=bytes(heard.body), sessions={}
                )
                if answer.status != 200 or receipt is None:
                    bad.append(heard.request_id)
            return bad
        finally:
            await fetch.close()
