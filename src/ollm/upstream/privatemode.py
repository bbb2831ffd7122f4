"""Privatemode: inference machines in a mesh that a Contrast coordinator keeps, reached through an API that can't read what is sealed for them.

    POST /privatemode/v1/attest   the coordinator's attestation, over our nonce
    POST /privatemode/v1/secret   an agreement on a secret, signed by the mesh's secret service
    POST /v1/chat/completions     members of the body sealed under that secret

Both are fetched for every verification and judged together, so that a session has one secret, made under the mesh CA that was attested for
it. Our half of an agreement stays here and nowhere else. The provider keeps a secret for an hour; a session is over after 45 minutes.

Nothing attests the API's own key: its certificate is a public CA's. The manifest isn't fetched: which one is believed is in the policy.

Of the headers that Privatemode's own client sends, those go that its servers read: the version of the API, the secret's id, the model
(by which the API routes; it stands in the clear in the body too), and which revocation states of GPUs are accepted, with a MAC under the
secret: good ones alone. Its inference machines also demand a `cache_salt` of every chat: a random one, so that no two requests share
cached prefixes, where the client sent none.

Source: edgelesssys/privatemode-public, internal/oss, inference-proxy (v1.40).
"""

import asyncio
import base64
import hashlib
import hmac
import os
import re
import ssl
from collections.abc import Mapping

import msgspec

from ollm.attest.services.evidence import Bound, Demand, ServiceEvidence
from ollm.attest.services.privatemode import mesh
from ollm.attest.services.shapes import MAX_REPORT, REPORT
from ollm.config.settings import UpstreamSettings
from ollm.errors import ApiError, ChannelRefused, SealError
from ollm.net.connection import Connection, certified_tls
from ollm.seal.cipher import AnswerOpener, Cipher, SealedBody
from ollm.seal.privatemode import PrivatemodeCipher
from ollm.seal.secret_exchange import SecretExchange
from ollm.upstream.asking import Heads
from ollm.upstream.catalogue import Listing, Source
from ollm.upstream.provider import Gathered, Tools, Transcript, Vouched
from ollm.values.hexes import Hex32
from ollm.values.secret import Sealed
from ollm.wire.catalogue import Form

ATTEST, SECRET = "/privatemode/v1/attest", "/privatemode/v1/secret"  # paths
VERSION = "v1.40.0"  # of Privatemode's clients whose API is spoken here
# Accepted states of GPUs' certificates and firmware: good ones. A revocation would be accepted from this time on: never (9999-12-31).
GPU_POLICY = "rules=allow-good; revocation-time-not-before=253402300799"

_MAX_AGREEMENT = 64 * 1024
_LIFE = 3600.0  # seconds for which the provider keeps a secret
_LEAST_SALT = 32  # characters
_MODEL = re.compile(r"[!-~]{1,256}")
_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_text = msgspec.json.Decoder(str).decode
_encode = msgspec.json.encode


_SALTED = frozenset({"chat.completions", "completions", "messages"})
LIST = Source(Form(), credential=True)


class _Agreement:
    """Our half of an agreement, and its answer. `until`: time of the event loop."""

    __slots__ = ("_documents", "_ours", "_secret", "until")

    def __init__(self, ours: SecretExchange, documents: Mapping[str, bytes], until: float) -> None:
        self._ours = ours
        self._documents = documents
        self._secret: bytes | None = None
        self.until = until

    def cipher(self, service_key: bytes) -> Cipher:
        """A cipher under the secret that the attested `service_key` (DER) signed. Raises: SealError."""
        if self._secret is None:
            found = mesh.read(self._documents)
            self._secret = self._ours.secret(found.encapsulated, found.signature, mesh.key_of(service_key))
        return _Addressed(self._secret, self._ours.secret_id)


class PrivatemodeProvider:
    """Profile, evidence source and request shape of one deployment."""

    # The inference machines answer 500 to everything that they can't do; these words stand there when they don't know the secret.
    statuses: Mapping[int, int] = {}
    stale_key_status = frozenset({500})
    stale_key_words = b"no secret for ID"

    def __init__(self, settings: UpstreamSettings, api_key: Sealed | None, tools: Tools) -> None:
        self._tools = tools
        self._heads = Heads(settings.url, api_key, more={"privatemode-version": VERSION})
        self._agreements: dict[str, _Agreement] = {}  # by the digest of our key, as sessions name them
        self.demand = Demand(shapes=("privatemode",), channel=False, seal=True)
        self.tls: ssl.SSLContext = certified_tls(settings.ca)

    async def gather(self, nonce: Hex32) -> Gathered:
        """Fetch the coordinator's attestation over `nonce`, and agree on a secret. Raises: UpstreamError."""
        ours, asked_at = SecretExchange(), asyncio.get_running_loop().time()
        async with self._tools.asking(self._heads, self.tls) as asker:
            report = await asker.post(ATTEST, _encode({"Nonce": bytes.fromhex(nonce)}), limit=MAX_REPORT)
            agreed = await asker.post(SECRET, _encode({"PublicKey": ours.public_key}), limit=_MAX_AGREEMENT, drawn=True)
            peer, connection = asker.peer_spki, asker.keep()
        documents = {mesh.ASKED: agreed.sent, mesh.ANSWERED: agreed.body}
        self._agreements = {digest: each for digest, each in self._agreements.items() if each.until > asked_at}
        self._agreements[hashlib.sha256(ours.public_key).hexdigest()] = _Agreement(ours, documents, asked_at + _LIFE)
        evidence = ServiceEvidence(documents={REPORT: report.body, **documents}, nonce=nonce, host=self._heads.origin.host, peer_spki_sha256=peer)
        return Gathered(evidence, connection, self._heads.origin)

    async def cipher(self, bound: Bound) -> Cipher | None:
        """A cipher under the session's own secret. Raises: ChannelRefused when its time is over, SealError."""
        found = self._agreements.get(bound.identity["secret_sha256"])
        if found is None or asyncio.get_running_loop().time() >= found.until:
            raise ChannelRefused("a secret whose time is over", "one that the provider keeps still")
        return found.cipher(bound.sealing[0].public_key)

    def rewrite(self, endpoint: str, body: bytes) -> bytes:
        """`body` with a salt for the provider's cache, unless it has one. Raises: ApiError 400 for one that the provider refuses."""
        if endpoint not in _SALTED:
            return body
        members = _members(body)
        if "cache_salt" not in members:
            return _encode({**members, "cache_salt": base64.b64encode(os.urandom(32)).decode()})
        try:
            good = len(_text(members["cache_salt"])) >= _LEAST_SALT
        except msgspec.MsgspecError:
            good = False
        if not good:
            message = f"cache_salt must be a text of at least {_LEAST_SALT} characters on this route; without it, each request gets one of its own."
            raise ApiError(400, "invalid_request_error", "invalid_request", message, param="cache_salt")
        return body

    def path(self, endpoint: str) -> str:
        return endpoint

    def head(self, path: str, length: int, content_type: str, extra: Mapping[str, str]) -> bytes:
        return self._heads.post(path, length, content_type, extra)

    def listing(self) -> Listing:
        """An inference machine's own list, passed on by the API: names without prices."""
        return Listing(self._heads, LIST)

    async def vouch(self, connection: Connection, bound: Bound, transcript: Transcript) -> Vouched | None:
        """Inference machines sign nothing: that an answer opens is all its proof."""
        return None


class _Addressed:
    """`PrivatemodeCipher`, with the headers that name the model and the states of GPUs that are accepted."""

    def __init__(self, secret: bytes, secret_id: str) -> None:
        self._cipher = PrivatemodeCipher(secret, secret_id, random=os.urandom)
        self._mac = hmac.new(secret, GPU_POLICY.encode(), hashlib.sha256).hexdigest()
        self.name = self._cipher.name

    def seal(self, path: str, body: bytes, *, streamed: bool) -> tuple[SealedBody, AnswerOpener]:
        """As the cipher does. Raises: SealError, also for a model that no header can name."""
        sealed, opener = self._cipher.seal(path, body, streamed=streamed)
        headers = (
            ("Privatemode-Target-Model", _model(body)),
            ("Privatemode-NVIDIA-OCSP-Policy", GPU_POLICY),
            ("Privatemode-NVIDIA-OCSP-Policy-MAC", self._mac),
        )
        return msgspec.structs.replace(sealed, headers=(*sealed.headers, *headers)), opener


def _model(body: bytes) -> str:
    try:
        model = _text(_members(body)["model"])
    except (msgspec.MsgspecError, KeyError):
        model = ""
    if not _MODEL.fullmatch(model):
        raise SealError("INVALID_INPUT", "the request names no model that a header can carry")
    return model
