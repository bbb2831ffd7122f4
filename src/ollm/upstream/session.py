"""The only object that can seal and send a prompt, and the only place that makes one.

`establish` asks the machine for evidence over a fresh nonce, has it appraised, and only when every check passed makes a
`VerifiedSession` from what the evidence binds. Nobody else can: the constructor wants a token that stays in this module.
"""

import asyncio
import hashlib
import secrets
import ssl
from collections.abc import Mapping
from typing import Protocol

from ollm.attest.appraise import appraise, needed_collateral, refused
from ollm.attest.evidence import AciEvidence, Binding, CollateralNeed, TdxCollateral
from ollm.config.settings import Timeouts, UpstreamSettings
from ollm.errors import EvidenceRefused, SealError, UpstreamError
from ollm.net.connection import Connection, Origin, Response
from ollm.net.pool import Pool
from ollm.ports import Clock
from ollm.receipts.session import build_session
from ollm.seal.ehbp import RequestSealer, ResponseOpener
from ollm.upstream.bundle import MEDIA_TYPE, Bundle, encode
from ollm.values.aci import HPKE_ALGO
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32, hex32
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy

VERIFIER_ID = "ollm/1"
_MAX_ANSWER = 64 * 1024 * 1024
_TOKEN = object()


class Adapter(Protocol):
    """What a provider's file gives: where it is, how its evidence is fetched, how a request looks."""

    @property
    def origin(self) -> Origin: ...

    async def evidence(self, nonce: Hex32) -> tuple[AciEvidence, Connection]: ...

    def head(self, path: str, length: int, extra: Mapping[str, str]) -> bytes: ...


class Endorser(Protocol):
    async def get(self, need: CollateralNeed) -> TdxCollateral: ...


class Unverified(Exception):
    """No session: the appraisal says which check failed. Not an error of ours, so not in the tree of errors."""

    def __init__(self, appraisal: Appraisal) -> None:
        super().__init__("evidence refused")
        self.appraisal = appraisal

    @property
    def reason(self) -> str:
        failure = self.appraisal.failure
        return f"{failure.name}: got {failure.got}, want {failure.want}" if failure else "no check was made"


class SealedRequest:
    """A request that only the verified machine can read; made by `VerifiedSession.seal`."""

    __slots__ = ("_opener", "body", "head")

    def __init__(self, head: bytes, body: bytes, sealer: RequestSealer | None) -> None:
        self.head = head
        self.body = body
        self._opener = sealer

    def opener(self, nonce: str) -> ResponseOpener:
        if self._opener is None:
            raise SealError("INVALID_INPUT", "the request was not sealed")
        return self._opener.response_opener(nonce)

    @property
    def sealed(self) -> bool:
        return self._opener is not None

    def __repr__(self) -> str:
        return "<sealed request>"


class Answer:
    """A provider's answer, opened piece by piece. Call `close` when done, whatever happened."""

    __slots__ = ("_connection", "_idle", "_open", "_opener", "_pool", "_response", "key_refused", "retry_after", "status", "streamed")

    def __init__(self, pool: Pool, connection: Connection, response: Response, opener: ResponseOpener | None, idle: float) -> None:
        self._pool = pool
        self._connection = connection
        self._response = response
        self._opener = opener
        self._idle = idle
        self._open = True
        self.key_refused = False  # the machine says that it does not hold the key we sealed to (EHBP: 422)
        self.status = response.status
        self.streamed = response.headers.get(b"content-type", b"").startswith(b"text/event-stream")
        self.retry_after = response.headers.get(b"retry-after", b"")[:16].decode("latin-1")

    async def read(self) -> bytes:
        """Next plaintext, b"" at the end. Raises: UpstreamError for a cut answer, SealError for one that can't be opened."""
        while data := await self._response.read(self._idle):
            if self._opener is None:
                return data
            plain = self._opener.feed(data)
            if plain:
                return plain
        if self._opener is not None:
            self._opener.finish()
        return b""

    async def read_all(self) -> bytes:
        """The whole plaintext. Raises: as `read`."""
        data = await self._response.read_all(_MAX_ANSWER, self._idle)
        if self._opener is None:
            return data
        plain = self._opener.feed(data)
        self._opener.finish()
        return plain

    def close(self) -> None:
        """Give the connection back if the answer was read to its end, cut it otherwise."""
        if self._open:
            self._open = False
            self._pool.release(self._connection)


class VerifiedSession:
    """One verification of one machine, for as long as it holds. Immutable but for its connections."""

    def __init__(self, token: object, *, name: str, adapter: Adapter, pool: Pool, sealed: bool, timeouts: Timeouts) -> None:
        if token is not _TOKEN:
            raise TypeError("only upstream.session.establish makes a VerifiedSession")
        self.upstream = name
        self._adapter = adapter
        self._pool = pool
        self._sealed = sealed
        self._timeouts = timeouts
        self.session_id = Hex32("")
        self.document = b""
        self.established_at = 0
        self.expires_at = 0
        self.appraisal: Appraisal
        self.binding: Binding

    @property
    def level(self) -> Level:
        return self.appraisal.level

    def seal(self, path: str, body: bytes, headers: Mapping[str, str]) -> SealedRequest:
        """Seal `body` to the attested key (or leave it to the attested channel where the route says so)."""
        if not self._sealed:
            return SealedRequest(self._adapter.head(path, len(body), headers), body, None)
        public_key = self.binding.hpke_public_key
        if public_key is None:  # appraisal demanded it; stated again because silence here would send plaintext
            raise SealError("INVALID_KEY_CONFIG", "the session binds no key to seal to")
        sealer = RequestSealer(public_key)
        sealed = sealer.seal(body)
        named = {**headers, "ehbp-encapsulated-key": sealer.encapsulated_key}
        return SealedRequest(self._adapter.head(path, len(sealed), named), sealed, sealer)

    async def send(self, request: SealedRequest) -> Answer:
        """Send `request` over a connection to the attested key. Raises: ChannelRefused, UpstreamError, SealError."""
        connection = await self._pool.acquire()
        try:
            timeouts = self._timeouts
            response = await connection.exchange(request.head, request.body, headers_timeout=timeouts.headers, total_timeout=timeouts.total)
            opener = None
            if request.sealed:
                nonce = response.headers.get(b"ehbp-response-nonce")
                if nonce is not None:
                    opener = request.opener(nonce.decode("latin-1"))
                elif response.status < 400:
                    raise SealError("MISSING_RESPONSE_NONCE", "the answer came in the clear")
            answer = Answer(self._pool, connection, response, opener, timeouts.idle)
            answer.key_refused = request.sealed and opener is None and response.status == 422
            return answer
        except BaseException:
            connection.abort(connection.phase, "given up")
            self._pool.release(connection)
            raise

    def close(self) -> None:
        self._pool.close()

    def __repr__(self) -> str:
        return f"<VerifiedSession {self.upstream} {self.session_id[:12]}>"


async def establish(
    name: str,
    settings: UpstreamSettings,
    policy: AttestationPolicy,
    adapter: Adapter,
    endorser: Endorser,
    *,
    clock: Clock,
    tls: ssl.SSLContext,
    timeouts: Timeouts,
) -> VerifiedSession:
    """Verify the machine behind `adapter` under `policy` and make the session that speaks to it.

    Raises: Unverified with the appraisal that says why not. Nothing but the nonce has been sent then.
    """
    nonce = hex32(secrets.token_hex(32))
    connection: Connection | None = None
    try:
        async with asyncio.timeout(timeouts.verify):
            # 1. Evidence, fetched with our nonce on a connection whose key we hold.
            evidence, connection = await adapter.evidence(nonce)
            # 2. Collateral that this evidence needs, fetched by us from where the configuration says.
            collateral = await endorser.get(needed_collateral(evidence))
        # 3. Appraisal, under the policy and nothing else.
        now = clock.now()
        appraisal, binding = await asyncio.to_thread(appraise, evidence, collateral, policy, now, require_hpke=settings.seal == "ehbp")
        if binding is None or binding.spki_sha256 is None or not appraisal.accepted:
            raise Unverified(appraisal)
    except EvidenceRefused as refusal:
        _drop(connection)
        raise Unverified(refused(policy, refusal)) from None
    except (UpstreamError, TimeoutError) as problem:
        _drop(connection)
        got = str(problem) or "no answer in time"
        raise Unverified(refused(policy, EvidenceRefused("evidence.fetch", got, "evidence and collateral in time"))) from None
    except BaseException:
        _drop(connection)
        raise
    # 4. The session: bound to the key of that connection and, where sealing is asked for, to the attested HPKE key.
    pool = Pool(adapter.origin, binding.spki_sha256, tls, size=settings.max_connections, connect_timeout=timeouts.connect)
    pool.adopt(connection)
    session = VerifiedSession(_TOKEN, name=name, adapter=adapter, pool=pool, sealed=settings.seal == "ehbp", timeouts=timeouts)
    session.appraisal = appraisal
    session.binding = binding
    session.established_at = now
    session.expires_at = min(now + settings.session_seconds, appraisal.valid_until)
    session.session_id, session.document = build_session(
        upstream_name=name,
        endpoint=adapter.origin.text,
        verifier_id=VERIFIER_ID,
        established_at=now,
        expires_at=session.expires_at,
        identity={"keyset_digest": binding.keyset_digest, "quote_identity": binding.quote_identity, "key_custody": "instance"},
        channel_binding=_channel_bindings(name, adapter.origin, binding, sealed=settings.seal == "ehbp"),
        claims=appraisal.claims,
        evidence=encode(Bundle(evidence, collateral, now)),
        evidence_type=MEDIA_TYPE,
    )
    return session


def _channel_bindings(name: str, origin: Origin, binding: Binding, *, sealed: bool) -> list[dict[str, str]]:
    bindings = [{"type": "tls_spki_sha256", "origin": origin.text, "spki_sha256": str(binding.spki_sha256)}]
    if sealed and binding.hpke_public_key is not None:
        bindings.append(e2ee_binding(name, binding.hpke_public_key))
    return bindings


def e2ee_binding(provider: str, public_key: bytes) -> dict[str, str]:
    """ACI §8.2's binding to a sealing key."""
    digest = hashlib.sha256(public_key).hexdigest()
    return {"type": "e2ee_public_key_sha256", "provider": provider, "algorithm": HPKE_ALGO, "public_key_sha256": digest}


def _drop(connection: Connection | None) -> None:
    if connection is not None:
        connection.abort("close", "evidence refused")
