"""Tinfoil's enclaves, direct or behind its router: whichever the configured URL names, it is judged as what the policy says that it is.

    GET /.well-known/tinfoil-attestation?nonce=    the document, of whichever generation the machine speaks
    GET /.well-known/tinfoil-certificate           only of a machine that speaks v2: what its certificate says of it, for people

It is asked for on a connection whose key the document then has to name; prompts follow on it, sealed with EHBP to the key that the
document binds. `/.well-known/hpke-keys` is not asked: nothing authenticates it. Headers by which an answer tells of itself
(`Tinfoil-Enclave`, `Tinfoil-Pt`) are not believed, and usage in clear trailers is not read.

Reference values come as Sigstore bundles: in documents of v3; for the older forms, which carry none, of the latest release of each
repository that the policy admits builds of, through the mirrors of GitHub that Tinfoil runs. Whoever runs those can hold a release back:
only a witness in the policy notices. What builds are believed stands in the policy alone.
"""

import re
import ssl
from collections.abc import Mapping
from typing import TypeVar

import msgspec

from ollm.attest.services.evidence import Bound, Demand, ServiceEvidence, Shape
from ollm.attest.services.shapes import REPORT, shape_of
from ollm.attest.services.tinfoil import appraise, document_v3
from ollm.config.settings import UpstreamSettings
from ollm.errors import EvidenceRefused, UpstreamError
from ollm.net.connection import Connection, client_tls
from ollm.seal.cipher import Cipher
from ollm.seal.ehbp_cipher import EhbpCipher
from ollm.upstream import nras
from ollm.upstream.asking import Heads
from ollm.upstream.catalogue import Listing, Source
from ollm.upstream.provider import Gathered, Tools, Transcript, Vouched
from ollm.values.hexes import Hex32
from ollm.values.provenance import ProvenancePolicy
from ollm.values.secret import Sealed
from ollm.wire.catalogue import Form, Rates

SHAPES: tuple[Shape, ...] = ("tinfoil-v3", "tinfoil-v3-june", "tinfoil-v2")
ATTESTATION = "/.well-known/tinfoil-attestation"
CERTIFICATE = "/.well-known/tinfoil-certificate"
RELEASES = "https://api-github-proxy.tinfoil.sh"  # GitHub's API
DOWNLOADS = "https://github-proxy.tinfoil.sh"  # files of releases
BUNDLES = "https://gh-attestation-proxy.tinfoil.sh"  # GitHub's attestations API

_PRICES = Rates(
    "million",
    "pricing.inputTokenPricePer1M",
    "pricing.outputTokenPricePer1M",
    "pricing.cachedInputTokenPricePer1M",
    fees=(("per_request", "pricing.requestPrice"),),
)
LIST = Source(Form(context=("context_window", "max_model_len"), rates=(_PRICES,)))

_MAX_REPORT = 4 * 1024 * 1024
_MAX_CERTIFICATE = 64 * 1024
_MAX_REPOSITORIES = 8
_MAX_WITNESSES = 4  # of one release; the newest come first
_TAG = re.compile(r"[A-Za-z0-9._-]{1,128}")
_DIGEST = re.compile(r"[0-9a-f]{64}")

_T = TypeVar("_T")


class _Release(msgspec.Struct, frozen=True):
    tag_name: str


class _Attestation(msgspec.Struct, frozen=True):
    bundle: msgspec.Raw


class _Attestations(msgspec.Struct, frozen=True):
    attestations: tuple[_Attestation, ...]


class TinfoilProvider:
    """Profile, evidence source and request shape of one enclave or router."""

    statuses: Mapping[int, int] = {503: 429}  # overloaded, or the model not there just now, with the time after which to try again
    stale_key_status = frozenset({422})  # EHBP §4.3: the key configuration is not (or no longer) ours
    stale_key_words = None

    def __init__(self, settings: UpstreamSettings, api_key: Sealed | None, tools: Tools) -> None:
        self._tools = tools
        self._heads = Heads(settings.url, api_key)
        self.demand = Demand(shapes=SHAPES, channel=True, seal=settings.seal != "tls")
        self.tls: ssl.SSLContext = client_tls()

    async def gather(self, nonce: Hex32) -> Gathered:
        """Fetch the document over `nonce`, and what vouches for the software where the policy wants that. Raises: UpstreamError."""
        async with self._tools.asking(self._heads, self.tls) as asker:
            report = (await asker.get(f"{ATTESTATION}?nonce={nonce}", limit=_MAX_REPORT)).body
            peer, connection = asker.peer_spki, asker.keep()
        documents = {REPORT: report}
        try:
            documents |= await self._certificate(report)
            statements = await self._statements(report)
            if nras.is_asked(self._tools.policy):
                documents |= await self._judged_devices(report, nonce)
        except BaseException as problem:
            if connection is not None:
                connection.abort("close", "evidence not had")
            if isinstance(problem, EvidenceRefused):  # the reader says so again, in the appraisal
                return Gathered(self._evidence(documents, nonce, peer), None, self._heads.origin)
            raise
        return Gathered(self._evidence(documents, nonce, peer), connection, self._heads.origin, statements)

    async def cipher(self, bound: Bound) -> Cipher | None:
        """EHBP to the attested key; None where the route leaves bodies to the attested channel."""
        return EhbpCipher(bound.sealing[0].public_key) if bound.sealing and self.demand.seal else None

    def path(self, endpoint: str) -> str:
        return endpoint

    def head(self, path: str, length: int, content_type: str, extra: Mapping[str, str]) -> bytes:
        return self._heads.post(path, length, content_type, extra)

    def listing(self) -> Listing:
        """The router passes on what Tinfoil's control plane says; an enclave lists what its engine serves."""
        return Listing(self._heads, LIST)

    async def vouch(self, connection: Connection, bound: Bound, transcript: Transcript) -> Vouched | None:
        """Tinfoil's machines sign no answers."""
        return None

    def _evidence(self, documents: dict[str, bytes], nonce: Hex32, peer: Hex32 | None) -> ServiceEvidence:
        return ServiceEvidence(documents=documents, nonce=nonce, host=self._heads.origin.host, peer_spki_sha256=peer)

    async def _certificate(self, report: bytes) -> dict[str, bytes]:
        """The certificate of a machine that speaks v2, whose names say more; nothing where the policy refuses v2, or where it isn't had."""
        policy = self._tools.policy
        if policy is None or policy.service.freshness != "server" or shape_of({REPORT: report}) != "tinfoil-v2":
            return {}
        try:  # on a connection of its own: after a refusal the first one could carry no prompt
            async with self._tools.asking(self._heads, self.tls) as asker:
                return {appraise.CERTIFICATE: (await asker.get(CERTIFICATE, limit=_MAX_CERTIFICATE)).body}
        except UpstreamError:
            return {}

    async def _judged_devices(self, report: bytes, nonce: Hex32) -> dict[str, bytes]:
        """NVIDIA's word about the GPUs in the document; nothing where there are none. Raises: EvidenceRefused, UpstreamError."""
        found, arch = appraise.gpus(report)
        if not found:
            return {}
        return {appraise.NRAS: await nras.judged(self._tools, nras.request(found, nonce=nonce, arch=arch))}

    # What vouches for software

    async def _statements(self, report: bytes) -> tuple[bytes, ...]:
        """The bundles that the policy may rest on. Raises: EvidenceRefused for a document that can't be read, UpstreamError."""
        provenance = self._tools.policy.provenance if self._tools.policy is not None else None
        if provenance is None:
            return ()
        repositories = tuple(dict.fromkeys(build.repository for build in provenance.builds))
        if shape_of({REPORT: report}) == "tinfoil-v3":
            witness = () if provenance.witness is None else (provenance.witness.repository,)
            return document_v3.bundles(report, {*repositories, *witness})
        if len(repositories) > _MAX_REPOSITORIES:
            raise UpstreamError(
                "connect", f"the policy admits builds of {len(repositories)} repositories; {_MAX_REPOSITORIES} are asked about at most"
            )
        found: tuple[bytes, ...] = ()
        for repository in repositories:
            found += await self._released(repository, provenance)
        return found

    async def _released(self, repository: str, provenance: ProvenancePolicy) -> tuple[bytes, ...]:
        """The attestation of the latest release of `repository`, and its witnesses where the policy has one."""
        tag = _decoded(await self._fetched(f"{RELEASES}/repos/{repository}/releases/latest"), _Release).tag_name
        if not _TAG.fullmatch(tag):
            raise UpstreamError("headers", "a release with a tag that is none")
        digest = (await self._fetched(f"{DOWNLOADS}/{repository}/releases/download/{tag}/tinfoil.hash")).decode("latin-1").strip()
        if not _DIGEST.fullmatch(digest):
            raise UpstreamError("headers", "a release without the digest of what was attested")
        bundles = (await self._attested(repository, digest))[:1]
        if provenance.witness is not None:
            bundles += (await self._attested(provenance.witness.repository, digest))[:_MAX_WITNESSES]
        return bundles

    async def _attested(self, repository: str, digest: str) -> tuple[bytes, ...]:
        answer = _decoded(await self._fetched(f"{BUNDLES}/repos/{repository}/attestations/sha256:{digest}"), _Attestations)
        return tuple(bytes(attestation.bundle) for attestation in answer.attestations)

    async def _fetched(self, url: str) -> bytes:
        answer = await self._tools.fetch.get(url)
        if answer.status != 200:
            raise UpstreamError("headers", f"the mirror of GitHub answered {answer.status}", status=answer.status)
        return answer.body


def _decoded(body: bytes, form: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise UpstreamError("headers", "the mirror of GitHub answered something else than GitHub does") from None
