"""Services whose machine signs with a dstack key: NEAR AI's model endpoints and gateway, and dstack's vLLM proxy (Phala, RedPill).

GET /v1/attestation/report?…nonce=      the report, on the connection that prompts follow on
GET /v1/signature/{id}?signing_algo=    the machine's signature over an answer, on the connection that it answered on: the machine keeps
                                        signatures itself, for some minutes, and another one knows nothing of them
"""

import asyncio
import re

from ollm.attest.services import signed_answers
from ollm.attest.services.dstack_signer.appraise import NRAS, gpu_payload
from ollm.attest.services.evidence import Bound
from ollm.errors import UpstreamError
from ollm.net.connection import Connection
from ollm.upstream import nras
from ollm.upstream.asking import Heads
from ollm.upstream.provider import Tools, Transcript, Vouched

MAX_REPORT = 4 * 1024 * 1024
_CHAT_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_PAUSES = (0.0, 0.1, 0.25, 0.5)  # seconds before each time it is asked: signatures are stored a moment after the answer's end
_TIMEOUT = 5.0  # seconds


async def judged_devices(tools: Tools, report: bytes, model: str | None) -> dict[str, bytes]:
    """NVIDIA's word about the GPUs in `report`, where the policy wants that. Raises: UpstreamError."""
    payload = gpu_payload(report, model) if nras.is_asked(tools.policy) else None
    return {} if payload is None else {NRAS: await nras.judged(tools, payload)}


async def signature(heads: Heads, connection: Connection, bound: Bound, transcript: Transcript, model: str | None, query: str) -> Vouched | None:
    """The machine's signature over `transcript`, verified; None where its evidence binds no key for that.

    Raises: UpstreamError when there is none to be had, EvidenceRefused for one that does not hold.
    """
    signer = bound.signer
    if signer is None:
        return None
    reply = await _reply(heads, connection, f"/v1/signature/{_named(transcript.chat_id)}?{query}")
    if signed_answers.is_missing(reply):
        raise UpstreamError("close", "the machine says that it did not sign")
    found = signed_answers.check(reply, signer, model=model, request=transcript.request_hash, response=transcript.response_hash)
    return Vouched(found.text, found.signature, signer.algorithm, signer.address, found.kind)


def _named(chat_id: str) -> str:
    if not _CHAT_ID.fullmatch(chat_id):
        raise UpstreamError("close", "the answer has no id to ask for its signature by")
    return chat_id


async def _reply(heads: Heads, connection: Connection, target: str) -> bytes:
    for pause in _PAUSES:
        await asyncio.sleep(pause)
        if not connection.finished():
            raise UpstreamError("close", "the connection that was answered on is gone")
        response = await connection.exchange(heads.get(target, credential=True), b"", headers_timeout=_TIMEOUT, total_timeout=_TIMEOUT)
        body = await response.read_all(signed_answers.MAX_REPLY, _TIMEOUT)
        if response.status == 200:
            return body
        if response.status != 404:
            raise UpstreamError("close", f"the signature endpoint answered {response.status}", status=response.status)
    raise UpstreamError("close", "the machine has no signature over this answer", status=404)
