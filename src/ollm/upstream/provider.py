"""What a provider's file gives to the one session that all of them share. A new provider is one such file and one line in the registry.

    demand      data: the shapes of evidence that it understands, and what they must bind
    gather      network: evidence over our nonce, on a connection that is kept where the provider lets evidence be bound to it
    cipher      how a body is sealed to what was attested, None where the attested channel alone protects it; it may fetch what a single
                request needs for that (a nonce that may be used once)
    path, head  pure: where a request goes and its headers; nothing of the client's own headers goes on
    listing     pure: where the provider lists its models, and how the list reads
    vouch       network: the machine's own signature over what it answered, or nothing

What is judged, and by which rule, is in `attest.services`; a provider's file never decides whether evidence is good.
"""

import ssl
from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from ollm.attest.services.evidence import Bound, Demand, ServiceEvidence
from ollm.net.connection import Connection, Origin
from ollm.ports import Fetch
from ollm.seal.cipher import Cipher
from ollm.upstream.asking import Asking
from ollm.upstream.catalogue import Listing
from ollm.values.hexes import Hex32, Sha256
from ollm.values.policy import AttestationPolicy


class Tools(NamedTuple):
    """What a provider's file is given to reach the world with: a recorder or a replayer can stand in front of each."""

    asking: Asking  # connections to the provider itself
    fetch: Fetch  # other services that evidence is fetched from or appraised by (a release, NVIDIA's service)
    nras_url: str  # NVIDIA's attestation service
    policy: AttestationPolicy | None  # what will be demanded: evidence that isn't need not be fetched


class Gathered(msgspec.Struct, frozen=True):
    """Evidence, and the connection that it came over where prompts may follow on it."""

    evidence: ServiceEvidence
    connection: Connection | None
    origin: Origin  # where prompts go
    statements: tuple[bytes, ...] = ()  # Sigstore bundles and signed reference values, to be verified by us


class Transcript(msgspec.Struct, frozen=True):
    """What went over the wire in one request, for a machine that signs its answers."""

    chat_id: str  # as the provider named the answer
    request_hash: Sha256  # of the body as it was sent, sealed or not
    response_hash: Sha256  # of the body as it came


class Vouched(msgspec.Struct, frozen=True):
    """A machine's signature over a transcript, verified under a key that its evidence binds."""

    text: str
    signature: str
    algorithm: str
    address: str
    kind: str  # model or gateway: who signed


class Requests(Protocol):
    """How requests to a provider look. Contract: nothing here waits."""

    @property
    def tls(self) -> ssl.SSLContext: ...  # certified_tls where nothing attests the peer's key

    @property
    def statuses(self) -> Mapping[int, int]: ...  # of its error answers those that mean something else than elsewhere, and what

    @property
    def stale_key_status(self) -> frozenset[int]: ...  # of error answers that say: I don't hold the key that you sealed to

    # Where those mean other things too: words that the error answer has only then. None: the status says enough.
    @property
    def stale_key_words(self) -> bytes | None: ...

    def path(self, endpoint: str) -> str: ...

    def head(self, path: str, length: int, content_type: str, extra: Mapping[str, str]) -> bytes: ...

    def listing(self) -> Listing: ...


class OpenProvider(Requests, Protocol):
    """A provider without evidence."""

    # A body for the endpoint of that name, as the contract demands; raises ApiError for a request that it doesn't cover.
    def rewrite(self, endpoint: str, body: bytes) -> bytes: ...


@runtime_checkable
class Rewriting(Protocol):
    """What a provider with evidence may have: its protocol demands something of every request."""

    # A body for the endpoint of that name, before it is hashed and sealed; raises ApiError for one that can't be sent.
    def rewrite(self, endpoint: str, body: bytes) -> bytes: ...


class Provider(Requests, Protocol):
    """A provider with evidence. Contract: `gather`, `cipher` and `vouch` raise UpstreamError, and close what they opened."""

    @property
    def demand(self) -> Demand: ...

    async def gather(self, nonce: Hex32) -> Gathered: ...

    async def cipher(self, bound: Bound) -> Cipher | None: ...

    async def vouch(self, connection: Connection, bound: Bound, transcript: Transcript) -> Vouched | None: ...


class Discovery(Protocol):
    """Where the machines of one upstream are. Contract: URLs below the configured one's domain alone; raises UpstreamError, WireError."""

    async def urls(self) -> tuple[str, ...]: ...
