"""Chutes: a model on many instances, reached through one API that can't read what is sealed to them.

    GET  /e2e/instances/{chute}           instances with their ML-KEM keys, and nonces that are good for one request each, for a minute
    GET  /chutes/{chute}/evidence?nonce=  each instance's evidence
    POST /e2e/invoke                      a sealed body for one instance, with one nonce

Nothing attests the API's own key: its certificate is a public CA's. What it could do with its position, give out another key, is what the
evidence answers: an instance's quote names its key and our nonce. Requests go to the one instance whose evidence was accepted.

The chute is named by its id in the configuration: which model is behind which chute is the API's word.
"""

import asyncio
import collections
import hashlib
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from ollm.attest.services.chutes import appraise, report
from ollm.attest.services.chutes.appraise import nras_role
from ollm.attest.services.chutes.report import INSTANCES
from ollm.attest.services.evidence import Bound, Demand, ServiceEvidence
from ollm.attest.services.shapes import MAX_REPORT, REPORT
from ollm.config.settings import UpstreamSettings
from ollm.errors import ChannelRefused, EvidenceRefused, SealError, UpstreamError
from ollm.net.connection import Connection, certified_tls
from ollm.seal.chutes import ChutesCipher
from ollm.seal.cipher import Cipher
from ollm.upstream import nras
from ollm.upstream.asking import Heads
from ollm.upstream.catalogue import Listing, Source
from ollm.upstream.provider import Gathered, Tools, Transcript, Vouched
from ollm.values.hexes import Hex32
from ollm.values.secret import Sealed
from ollm.values.structs import resolved
from ollm.wire.catalogue import Form, Rates

_API, _LISTS = "https://api.", "https://llm."  # hosts of one domain; elsewhere the configured host answers for both
LIST = Source(Form(serves="chute_id", rates=(Rates("million", "pricing.prompt", "pricing.completion", "pricing.input_cache_read"),)))

_PATIENCE = 60.0  # seconds; evidence of all instances was recorded to take up to 20
_MAX_LISTING = 1024 * 1024
_NONCE_SECONDS = 55.0  # of the 60 that they are good for when they are handed out
_MARGIN_SECONDS = 5.0
_REMEMBERED = 4096  # nonces that were used: none is taken again, whoever offers it


class _Listed(msgspec.Struct, frozen=True):
    instance_id: str
    e2e_pubkey: bytes  # base64 in JSON
    nonces: tuple[str, ...] = ()


@resolved
class _Listing(msgspec.Struct, frozen=True):
    instances: tuple[_Listed, ...]
    nonce_expires_in: float = 0.0  # seconds


class ChutesProvider:
    """Profile, evidence source and request shape of one chute."""

    statuses: Mapping[int, int] = {}
    # 403: the nonce is not good any more; 404: the instance is unknown; 410: it is gone. All are mended by asking anew who is there.
    stale_key_status = frozenset({403, 404, 410})
    stale_key_words = None

    def __init__(self, settings: UpstreamSettings, api_key: Sealed | None, tools: Tools) -> None:
        self._chute = settings.model or ""  # its form is checked where the configuration is read
        self._tools = tools
        self._heads = Heads(settings.url, api_key)
        self._patient = Heads(settings.url, api_key, patience=settings.verify_seconds or _PATIENCE)
        self._lists = Heads(settings.url.replace(_API, _LISTS, 1), None)
        self._nonces = NoncePool()
        self.demand = Demand(shapes=("chutes",), channel=False, seal=True)
        self.tls: ssl.SSLContext = certified_tls(settings.ca)

    async def gather(self, nonce: Hex32) -> Gathered:
        """Fetch the list of instances, their evidence over `nonce`, and NVIDIA's word where it is asked for. Raises: UpstreamError."""
        self._nonces.drop()  # whatever led to this: those at hand may be the reason
        async with self._tools.asking(self._patient, self.tls) as asker:
            listing = await asker.get(f"/e2e/instances/{self._chute}", limit=_MAX_LISTING, credential=True)
            found = await asker.get(f"/chutes/{self._chute}/evidence?nonce={nonce}", limit=MAX_REPORT, credential=True)
            peer, connection = asker.peer_spki, asker.keep()
        documents = {INSTANCES: listing.body, REPORT: found.body}
        evidence = ServiceEvidence(documents=documents, nonce=nonce, host=self._heads.origin.host, peer_spki_sha256=peer, model=self._chute)
        try:
            if nras.is_asked(self._tools.policy):
                evidence = msgspec.structs.replace(evidence, documents=documents | await self._judged_devices(evidence))
        except EvidenceRefused:
            pass  # the reader says so again, in the appraisal
        except BaseException:
            if connection is not None:
                connection.abort("close", "evidence not had")
            raise
        return Gathered(evidence, connection, self._heads.origin)

    async def cipher(self, bound: Bound) -> Cipher | None:
        """A cipher for one request to the attested instance, with a nonce of its own.

        Raises: ChannelRefused where the API offers that instance no more, or with another key; UpstreamError.
        """
        key, instance_id = bound.sealing[0].public_key, bound.identity["instance_id"]
        token = await self._nonces.take(instance_id, lambda: self._offered(instance_id, key))
        return ChutesCipher(key, chute_id=self._chute, instance_id=instance_id, take_nonce=_Once(token), random=os.urandom)

    def path(self, endpoint: str) -> str:
        return endpoint

    def head(self, path: str, length: int, content_type: str, extra: Mapping[str, str]) -> bytes:
        return self._heads.post(path, length, content_type, extra)

    def listing(self) -> Listing:
        """Of all public chutes, at a host beside the API's, for everybody. Which chute has which model is its word."""
        return Listing(self._lists, LIST, self._chute)

    async def vouch(self, connection: Connection, bound: Bound, transcript: Transcript) -> Vouched | None:
        """An instance signs nothing: that its answer opens is its proof."""
        return None

    async def _offered(self, instance_id: str, key: bytes) -> tuple[tuple[str, ...], float]:
        """Nonces for the instance, and for how many seconds they are good."""
        async with self._tools.asking(self._heads, self.tls) as asker:
            told = await asker.get(f"/e2e/instances/{self._chute}", limit=_MAX_LISTING, credential=True)
        try:
            listing = msgspec.json.decode(told.body, type=_Listing)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise UpstreamError("connect", "the list of instances is not what Chutes' API defines") from None
        offered = next((each for each in listing.instances if each.instance_id == instance_id), None)
        want = f"{_digest(key)}, the attested key of instance {instance_id}"
        if offered is None:
            raise ChannelRefused("a list without that instance", want)
        if offered.e2e_pubkey != key:
            raise ChannelRefused(_digest(offered.e2e_pubkey), want)
        return offered.nonces, min(_NONCE_SECONDS, listing.nonce_expires_in - _MARGIN_SECONDS)

    async def _judged_devices(self, evidence: ServiceEvidence) -> dict[str, bytes]:
        """NVIDIA's word about the GPUs of each instance that will be judged. Raises: EvidenceRefused, UpstreamError."""
        found: dict[str, bytes] = {}
        for candidate in appraise.candidates(report.read(evidence), evidence):
            instance, devices = candidate.instance, candidate.instance.devices
            if devices:
                body = nras.request(devices, nonce=instance.statement.hex(), arch=instance.arch)
                found[nras_role(instance.instance_id)] = await nras.judged(self._tools, body)
        return found


class NoncePool:
    """Nonces that are good for one request each. One fetch at a time; nothing is given out twice, or after its time."""

    def __init__(self) -> None:
        self._instance = ""
        self._kept: list[str] = []
        self._until = 0.0  # time of the event loop
        self._used: collections.deque[str] = collections.deque(maxlen=_REMEMBERED)
        self._lock = asyncio.Lock()

    async def take(self, instance_id: str, fetch: Callable[[], Awaitable[tuple[Sequence[str], float]]]) -> str:
        """A nonce for `instance_id`; `fetch` brings a batch, and for how many seconds it is good, where none is left.

        Raises: whatever `fetch` raises; UpstreamError for a batch without any that is good.
        """
        async with self._lock:
            loop = asyncio.get_running_loop()
            if self._instance != instance_id or loop.time() >= self._until or not self._kept:
                asked = loop.time()  # their time runs from when the API made them, which is later
                nonces, seconds = await fetch()
                self._instance, self._until = instance_id, asked + seconds
                self._kept = [nonce for nonce in dict.fromkeys(nonces) if nonce not in self._used]
            if not self._kept or loop.time() >= self._until:
                self._kept = []
                raise UpstreamError("connect", "the provider hands out no nonces for the instance now")
            nonce = self._kept.pop()
            self._used.append(nonce)
            return nonce

    def drop(self) -> None:
        """Forget those that are left."""
        self._kept = []


class _Once:
    """Gives its nonce to one request."""

    def __init__(self, nonce: str) -> None:
        self._nonce: str | None = nonce

    def __call__(self) -> str:
        """Raises: SealError the second time."""
        nonce, self._nonce = self._nonce, None
        if nonce is None:
            raise SealError("INVALID_INPUT", "a nonce is good for one request")
        return nonce


def _digest(key: bytes) -> str:
    return hashlib.sha256(key).hexdigest()
