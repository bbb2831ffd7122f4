"""The only objects that can seal and send a prompt, and the only place that makes them.

`establish` (by way of `examine`) asks the machine for evidence over a fresh nonce, has it appraised, and only when every check passed makes a
`VerifiedSession` from what the evidence binds. Nobody else can: the constructor wants a token that stays in this module.
`UnattestedRoute` is for routes of level zdr: it says of itself that nothing was verified, and receipts repeat it.
"""

import asyncio
import hashlib
import math
import secrets
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from ollm.attest.evidence import MachineCollateral, MachineEvidence
from ollm.attest.services import door
from ollm.attest.services.evidence import Bound, Judged, SealingKey
from ollm.attest.services.question import Question
from ollm.config.settings import Timeouts, UpstreamSettings
from ollm.errors import ChannelRefused, EvidenceRefused, SealError, UpstreamError
from ollm.net.connection import Connection, Origin, Response
from ollm.net.pool import Pool
from ollm.ports import Clock
from ollm.receipts.session import build_session
from ollm.seal.cipher import JSON
from ollm.upstream.answer import Answer, SealedRequest
from ollm.upstream.bundle import MEDIA_TYPE, encode
from ollm.upstream.catalogue import Catalogue, fetched
from ollm.upstream.credentials import Credentials
from ollm.upstream.provider import Gathered, OpenProvider, Provider, Requests, Rewriting, Transcript, Vouched
from ollm.upstream.statements import verified_statements
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32, hex32, sha256_of
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy

VERIFIER_ID = "ollm/1"
_TOKEN = object()
_MAX_ERROR = 64 * 1024  # bytes of an error answer that are looked at for words


class Endorser(Protocol):
    async def collateral(self, evidence: MachineEvidence) -> MachineCollateral: ...


class Unverified(Exception):
    """No session: the appraisal says which check failed. Not an error of ours, so not in the tree of errors."""

    def __init__(self, appraisal: Appraisal) -> None:
        super().__init__("evidence refused")
        self.appraisal = appraisal

    @property
    def reason(self) -> str:
        failure = self.appraisal.failure
        return f"{failure.name}: got {failure.got}, want {failure.want}" if failure else "no check was made"


class Route:
    """What both kinds share: a pool of connections, and how a request looks on them."""

    level: Level
    bound: Bound | None = None
    session_id: Hex32 | None = None
    credentials: Credentials | None = None  # None: the provider wants none
    require_signature = False  # by the policy: an answer that the machine did not sign is a failure

    def __init__(self, name: str, provider: Requests, pool: Pool, timeouts: Timeouts) -> None:
        self.upstream = name
        self._requests = provider
        self._pool = pool
        self._timeouts = timeouts
        self.unreached_at: float | None = None  # loop time at which the last request found no connection; None: it found one

    @property
    def in_progress(self) -> int:
        """How many requests it has now."""
        return self._pool.busy

    def outgoing(self, endpoint: str, body: bytes) -> bytes:
        """`body`, for the endpoint of that name, as this provider is to get it, before it is hashed and sealed.

        Raises: ApiError for one that it can't be sent.
        """
        return body

    async def seal(self, endpoint: str, body: bytes, headers: Mapping[str, str], *, streamed: bool, content_type: str = JSON) -> SealedRequest:
        """Seal `body` to the attested key, or leave it to the channel where the route says so. Raises: SealError, UpstreamError."""
        return self._unsealed(endpoint, body, headers, content_type, streamed=streamed)

    def _unsealed(self, endpoint: str, body: bytes, headers: Mapping[str, str], content_type: str, *, streamed: bool) -> SealedRequest:
        head, key = self._head(self._requests.path(endpoint), len(body), content_type, headers)
        return SealedRequest(head, body, None, None, key=key, streamed=streamed)

    def _head(self, path: str, length: int, content_type: str, headers: Mapping[str, str]) -> tuple[bytes, int]:
        """The head of a request, and the number of the credential in it."""
        key = self.credentials.choose(_now()) if self.credentials is not None else 0
        return self._requests.head(path, length, content_type, headers), key

    def told(self, answer: Answer, pause: float | None) -> bool:
        """Learn from `answer` what its credential is worth; `pause`: seconds that were asked for. Whether there is another to try now."""
        return self.credentials is not None and self.credentials.told(answer.key, answer.status, pause, _now())

    async def send(self, request: SealedRequest, within: float = math.inf) -> Answer:
        """Send `request` over a connection to the attested key; the answer ends `within` seconds.

        Raises: ChannelRefused, UpstreamError, SealError.
        """
        connection = self._pool.take() or await self._connected()
        self.unreached_at = None
        try:
            timeouts = self._timeouts
            response = await connection.exchange(
                request.head,
                request.body,
                headers_timeout=timeouts.headers,
                total_timeout=min(timeouts.total, within),
                first_timeout=timeouts.first_token if request.streamed else math.inf,
            )
            opener = request.opener
            if opener is not None and not opener.begin(response.status, response.headers):
                opener = None  # an error answer in the clear: only its status is believed
            signs = self.bound is not None and self.bound.signer is not None
            answer = Answer(self._pool, connection, response, opener, idle=timeouts.idle, hashed=signs)
            answer.key = request.key
            answer.status = self._requests.statuses.get(response.status, response.status)
            answer.sent_hash = sha256_of(request.body) if signs else None
            if request.sealed and opener is None:
                answer.key_refused = await self._key_refused(response)
            return answer
        except BaseException:
            connection.abort(connection.phase, "given up")
            self._pool.release(connection)
            raise

    async def _key_refused(self, response: Response) -> bool:
        """Whether an error answer says that the key that was sealed to isn't held. Its text is looked through here, and kept nowhere."""
        if response.status not in self._requests.stale_key_status:
            return False
        words = self._requests.stale_key_words
        return words is None or words in await response.read_all(_MAX_ERROR, self._timeouts.idle)

    async def _connected(self) -> Connection:
        try:
            connection = await self._pool.acquire()
        except ChannelRefused:
            raise  # somebody was reached, with another key
        except UpstreamError:
            self.unreached_at = asyncio.get_running_loop().time()
            raise
        return connection

    async def catalogue(self) -> Catalogue:
        """What the provider lists as its models, told over this route. Raises: ChannelRefused, UpstreamError, WireError for what is no list."""
        listing = self._requests.listing()
        if listing.heads.origin.text == self._pool.origin.text:
            return await fetched(listing, self._pool)
        pool = self._pool.beside(listing.heads.origin)
        try:
            return await fetched(listing, pool)
        finally:
            pool.close()

    async def vouch(self, answer: Answer, chat_id: str) -> Vouched | None:
        """The machine's signature over `answer`, read to its end, which the provider named `chat_id`; None where it signs nothing.

        Asked for on the connection that was answered on, so before the answer is closed. Raises: UpstreamError, EvidenceRefused.
        """
        return None

    def close(self) -> None:
        self._pool.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.upstream}>"


class UnattestedRoute(Route):
    """A provider without evidence: its contract alone promises that nothing is retained."""

    level = Level.ZDR

    def __init__(self, name: str, provider: OpenProvider, pool: Pool, timeouts: Timeouts) -> None:
        super().__init__(name, provider, pool, timeouts)
        self._provider = provider

    def outgoing(self, endpoint: str, body: bytes) -> bytes:
        return self._provider.rewrite(endpoint, body)


class VerifiedSession(Route):
    """One verification of one machine, for as long as it holds. Immutable but for its connections."""

    def __init__(self, token: object, name: str, provider: Provider, pool: Pool, timeouts: Timeouts) -> None:
        if token is not _TOKEN:
            raise TypeError("only upstream.session.establish makes a VerifiedSession")
        super().__init__(name, provider, pool, timeouts)
        self._provider = provider
        self._rewrite = provider.rewrite if isinstance(provider, Rewriting) else None  # asked once: a Protocol's isinstance costs 25 µs
        self.session_id: Hex32 = Hex32("")
        self.document = b""
        self.established_at = 0
        self.expires_at = 0
        self.appraisal: Appraisal
        self.bound: Bound

    @property
    def level(self) -> Level:  # type: ignore[override]  # an attribute of routes; here it is what the appraisal was worth
        return self.appraisal.level

    def outgoing(self, endpoint: str, body: bytes) -> bytes:
        return self._rewrite(endpoint, body) if self._rewrite is not None else body

    async def seal(self, endpoint: str, body: bytes, headers: Mapping[str, str], *, streamed: bool, content_type: str = JSON) -> SealedRequest:
        provider = self._provider
        cipher = await provider.cipher(self.bound)
        if cipher is None:
            if provider.demand.seal:  # appraisal demanded it; stated again because silence here would send plaintext
                raise SealError("INVALID_KEY_CONFIG", "the session binds no key to seal to")
            return self._unsealed(endpoint, body, headers, content_type, streamed=streamed)
        path = provider.path(endpoint)
        sealed, opener = cipher.seal(path, body, streamed=streamed)
        named = {**headers, **dict(sealed.headers)}
        head, key = self._head(sealed.path or path, len(sealed.body), sealed.content_type or content_type, named)
        return SealedRequest(head, sealed.body, opener, cipher.name, key=key, streamed=streamed)

    async def vouch(self, answer: Answer, chat_id: str) -> Vouched | None:
        if answer.sent_hash is None or answer.wire_hash is None:
            return None
        if self.credentials is not None:
            self.credentials.use(answer.key)  # what it signed may be told to nobody else
        return await self._provider.vouch(answer.connection, self.bound, Transcript(chat_id, answer.sent_hash, answer.wire_hash))

    def __repr__(self) -> str:
        return f"<VerifiedSession {self.upstream} {self.session_id[:12]}>"


class Examined(NamedTuple):
    """Evidence that was accepted, and what it binds. No way to the machine: only `establish` makes one of it."""

    gathered: Gathered
    judged: Judged
    appraisal: Appraisal
    bound: Bound


async def establish(
    name: str,
    settings: UpstreamSettings,
    policy: AttestationPolicy,
    provider: Provider,
    endorser: Endorser,
    *,
    clock: Clock,
    trust_root: bytes | None,
    timeouts: Timeouts,
    credentials: Credentials | None = None,
) -> VerifiedSession:
    """Verify the machine behind `provider` under `policy` and make the session that speaks to it.

    `trust_root` is Sigstore's, for policies with provenance. Raises: Unverified with the appraisal that says why not. Nothing but the
    nonce has been sent then.
    """
    nonce = hex32(secrets.token_hex(32))
    seconds = settings.verify_seconds or timeouts.verify  # a request gives up after the latter; the verification goes on for the next
    found = await examine(nonce, policy, provider, endorser, clock=clock, trust_root=trust_root, seconds=seconds)
    gathered, judged, appraisal, bound = found
    now = judged.appraised_at
    # 4. The session: bound to the key of that connection and, where sealing is asked for, to the attested key.
    pins = frozenset(bound.spkis) if provider.demand.channel else None
    pool = Pool(gathered.origin, pins, provider.tls, size=settings.max_connections, connect_timeout=timeouts.connect)
    if gathered.connection is not None:
        pool.adopt(gathered.connection)
    session = VerifiedSession(_TOKEN, name, provider, pool, timeouts)
    session.credentials = credentials
    session.appraisal = appraisal
    session.bound = bound
    session.require_signature = policy.service.require_signature
    session.established_at = now
    session.expires_at = min(now + settings.session_seconds, appraisal.valid_until)
    session.session_id, session.document = build_session(
        upstream_name=name,
        endpoint=gathered.origin.text,
        verifier_id=VERIFIER_ID,
        established_at=now,
        expires_at=session.expires_at,
        identity=stated_identity(bound),
        channel_binding=channel_bindings(name, gathered.origin, bound, channel=provider.demand.channel),
        claims=appraisal.claims,
        evidence=encode(judged),
        evidence_type=MEDIA_TYPE,
    )
    return session


async def examine(
    nonce: Hex32, policy: AttestationPolicy, provider: Provider, endorser: Endorser, *, clock: Clock, trust_root: bytes | None, seconds: float
) -> Examined:
    """Ask for evidence over `nonce` and judge it; gathering may take `seconds`. Raises: Unverified, which leaves no connection open.

    A command that repeats a recorded verification gives the recorded nonce. What comes back can't send anything, whatever the nonce was.
    """
    gathered: Gathered | None = None
    try:
        async with asyncio.timeout(seconds):
            # 1. Evidence, fetched with our nonce on a connection whose key we hold.
            gathered = await provider.gather(nonce)
            # 2. Collateral for each machine that it is of, fetched by us from where the configuration says.
            machines = tuple(_judged_parts(machine, policy) for machine in door.machines(gathered.evidence, provider.demand))
            collateral = await _endorsed(endorser, machines, alternatives=door.alternatives(gathered.evidence, provider.demand))
        # 3. Appraisal, under the policy and nothing else.
        now = clock.now()
        judged = Judged(evidence=gathered.evidence, collateral=collateral, statements=gathered.statements, demand=provider.demand, appraised_at=now)
        appraisal, bound = await asyncio.to_thread(judge, judged, policy, trust_root)
        if bound is None or not appraisal.accepted:
            raise Unverified(appraisal)
    except EvidenceRefused as refusal:
        _drop(gathered)
        raise Unverified(door.refused(policy, refusal, provider.demand)) from None
    except (UpstreamError, TimeoutError) as problem:
        _drop(gathered)
        got = str(problem) or "no answer in time"
        missing = EvidenceRefused("evidence.fetch", got, "evidence and collateral in time")
        raise Unverified(door.refused(policy, missing, provider.demand)) from None
    except BaseException:
        _drop(gathered)
        raise
    return Examined(gathered, judged, appraisal, bound)


async def _endorsed(endorser: Endorser, machines: Sequence[MachineEvidence], *, alternatives: bool) -> tuple[MachineCollateral, ...]:
    """Collateral of each. `alternatives`: one machine is enough, so one that has none is left without, which refuses that one alone.

    Raises: UpstreamError, EvidenceRefused.
    """
    if not alternatives:
        return tuple([await endorser.collateral(machine) for machine in machines])
    found = await asyncio.gather(*map(endorser.collateral, machines), return_exceptions=True)
    problems = [each for each in found if isinstance(each, BaseException)]
    fatal = next((each for each in problems if not isinstance(each, (UpstreamError, EvidenceRefused))), None)
    if fatal is not None or (problems and len(problems) == len(found)):
        raise fatal or problems[0]
    return tuple(MachineCollateral(cpu=None) if isinstance(each, BaseException) else each for each in found)


def _judged_parts(machine: MachineEvidence, policy: AttestationPolicy) -> MachineEvidence:
    """What of `machine` will be judged: nobody is asked about devices that the policy doesn't look at."""
    return machine if policy.nvidia is not None else msgspec.structs.replace(machine, devices=())


def judge(judged: Judged, policy: AttestationPolicy, trust_root: bytes | None) -> tuple[Appraisal, Bound | None]:
    """The verdict on what was gathered: the same for whoever judges it again. Bad evidence never raises."""
    try:
        statements = verified_statements(judged.statements, policy, trust_root)
    except EvidenceRefused as refusal:
        return door.refused(policy, refusal, judged.demand), None
    return door.appraise(Question(judged.evidence, judged.collateral, statements, policy, judged.appraised_at, judged.demand))


def stated_identity(bound: Bound) -> dict[str, str]:
    """What a session says of who it speaks to, and who holds the key that prompts are readable with."""
    return {**bound.identity, "key_custody": bound.sealing[0].custody if bound.sealing else bound.channel_custody}


def channel_bindings(name: str, origin: Origin, bound: Bound, *, channel: bool) -> list[dict[str, str]]:
    """What a session says it is bound to (ACI §8.2)."""
    tls = [{"type": "tls_spki_sha256", "origin": origin.text, "spki_sha256": str(spki)} for spki in bound.spkis] if channel else []
    return [*tls, *(e2ee_binding(name, key) for key in bound.sealing[:1])]


def e2ee_binding(provider: str, key: SealingKey) -> dict[str, str]:
    """ACI §8.2's binding to a sealing key."""
    digest = hashlib.sha256(key.public_key).hexdigest()
    return {"type": "e2ee_public_key_sha256", "provider": provider, "algorithm": key.algorithm, "public_key_sha256": digest}


def _now() -> float:
    return asyncio.get_running_loop().time()


def _drop(gathered: Gathered | None) -> None:
    if gathered is not None and gathered.connection is not None:
        gathered.connection.abort("close", "evidence refused")
