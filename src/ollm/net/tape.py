"""Verifications as they were recorded: a folder with every exchange, byte for byte, that can be asked again without a network.

    manifest.json                      {provider, model, nonce_hex, captured_at, duration_ms}
    responses/0001_host_path.json      {method, url, status, proto, tls_version, peer_spki_der_base64, headers, duration_ms, req_body_base64}
    responses/0001_host_path.body      the answer's body

Requests' headers are not kept, so no credential is; an answer that repeats one is not recorded at all. Bodies are kept as they were read:
a compression of the transport's is undone, and its header left out. A tape answers a request only with what was answered to the very same
one: method, URL (query and its order included) and body, of which JSON is compared by its values. Two parameters of vendors' services that
have several spellings are compared by what they say. Asked again, it gives the next answer
that was recorded to that request, and the last one from then on.
"""

import base64
import datetime
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import msgspec

from ollm.errors import ConfigError, UpstreamError, WireError
from ollm.ports import Fetch, Fetched
from ollm.values.hexes import Hex32, hex32

MAX_EXCHANGES = 2048
MAX_FILE = 32 * 1024 * 1024  # bytes; the largest body of a recording seen has half a megabyte
_T = TypeVar("_T")
# Parameters that vendors' services take in more than one spelling, and clients write as they like: an FMSPC in hex (Intel PCS), decimal
# numbers of security versions (AMD KDS).
_SPELLED = re.compile(r"(?<=[?&])(?:fmspc=[0-9A-Fa-f]{12}|(?:bl|tee|snp|ucode|fmc)SPL=[0-9]{1,3})(?=&|$)")
_UNRECORDED = {"set-cookie", "content-encoding", "transfer-encoding"}
_UNSAFE = re.compile(r"[^a-z0-9.-]+")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What was verified, with which nonce, when."""

    provider: str
    nonce_hex: str
    captured_at: str  # RFC 3339
    model: str | None = None
    duration_ms: int = 0

    @property
    def nonce(self) -> Hex32:
        """Raises: ConfigError."""
        try:
            return hex32(self.nonce_hex)
        except WireError:
            raise ConfigError("the recording's nonce_hex is no nonce", "give 64 hexadecimal characters with --nonce") from None

    @property
    def moment(self) -> int:
        """`captured_at` in Unix seconds. Raises: ConfigError."""
        try:
            return int(datetime.datetime.fromisoformat(self.captured_at).timestamp())
        except (ValueError, OverflowError):
            raise ConfigError("the recording's captured_at is no time", "give the time with --at") from None


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One request and its answer, without the answer's body."""

    method: str
    url: str
    status: int
    headers: dict[str, list[str]] = {}
    proto: str = "HTTP/1.1"
    tls_version: str | None = None
    peer_spki_der_base64: str | None = None
    duration_ms: int = 0
    req_body_base64: str | None = None

    @property
    def sent(self) -> bytes:
        """The request's body. Raises: ValueError."""
        return base64.b64decode(self.req_body_base64 or "", validate=True)

    @property
    def peer_key(self) -> bytes | None:
        """SubjectPublicKeyInfo of the peer; None where it wasn't recorded. Raises: ValueError."""
        return base64.b64decode(self.peer_spki_der_base64, validate=True) if self.peer_spki_der_base64 else None

    @property
    def fields(self) -> dict[str, str]:
        """The answer's headers with lowercase names, repeated ones joined."""
        found: dict[str, list[str]] = {}
        for name, values in self.headers.items():
            found.setdefault(name.lower(), []).extend(values)
        return {name: ", ".join(values) for name, values in found.items()}


class Recorded(msgspec.Struct, frozen=True):
    exchange: Exchange
    body: bytes


class Recorder:
    """Collects exchanges; `save` writes them once the verification is over."""

    def __init__(self, secret: bytes | None = None) -> None:
        """`secret`: the credential that requests carry, which no answer may repeat into a recording."""
        self._secret = secret
        self._kept: list[Recorded] = []

    def keep(self, exchange: Exchange, body: bytes) -> None:
        """Note one exchange. Raises: UpstreamError when it holds the credential."""
        headers = {name: values for name, values in exchange.headers.items() if name.lower() not in _UNRECORDED}
        kept = msgspec.structs.replace(exchange, headers=headers)
        if self._secret and any(self._secret in data for data in (msgspec.json.encode(kept), kept.sent, body)):
            raise UpstreamError("stream", "the provider's answer repeats our credential, so it can't be recorded")
        self._kept.append(Recorded(kept, body))

    @staticmethod
    def check(folder: Path) -> None:
        """Whether a recording can be written into `folder`: it must not exist yet, or be empty. Raises: ConfigError."""
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise ConfigError(f"{folder} is not empty", "name a folder that doesn't exist yet: a recording is never mixed with another")

    def save(self, folder: Path, manifest: Manifest) -> None:
        """Write the recording into `folder`. Raises: ConfigError."""
        self.check(folder)
        try:
            responses = folder / "responses"
            responses.mkdir(parents=True)
            (folder / "manifest.json").write_bytes(_document(manifest))
            for number, each in enumerate(self._kept, 1):
                stem = _stem(number, each.exchange.url)
                (responses / f"{stem}.json").write_bytes(_document(each.exchange))
                (responses / f"{stem}.body").write_bytes(each.body)
        except OSError as problem:
            raise ConfigError(f"can't write {folder}: {problem.strerror}", "name a folder of ours") from None


class Tape:
    """A recording that answers. `manifest` says of what."""

    def __init__(self, manifest: Manifest, recorded: list[Recorded]) -> None:
        self.manifest = manifest
        self._answers: dict[tuple[str, str, bytes], list[Recorded]] = {}
        self._first: dict[tuple[str, str], bytes] = {}  # the body of the first request of a method to a URL
        self._keys: dict[str, bytes | None] = {}
        for each in recorded:
            exchange = each.exchange
            self._first.setdefault((exchange.method, _asked(exchange.url)), _same(exchange.sent))
            self._answers.setdefault((exchange.method, _asked(exchange.url), _same(exchange.sent)), []).append(each)
            self._keys.setdefault(_origin(exchange.url), exchange.peer_key)

    def answer(self, method: str, url: str, body: bytes | None = b"") -> Recorded:
        """What was answered to this request; `body` None: to the first one there, whatever its body. Raises: UpstreamError for one not recorded."""
        asked = _asked(url)
        answers = self._answers.get((method, asked, _same(body) if body is not None else self._first.get((method, asked), b"")))
        if not answers:
            raise UpstreamError("connect", f"the recording has no answer to {method} {url[:300]}")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    def first_key(self, origin: str) -> bytes | None:
        """The key that the peer at `origin` showed first; None where it wasn't recorded."""
        return self._keys.get(origin)


def open_tape(folder: Path) -> Tape:
    """The recording in `folder`. Raises: ConfigError."""
    return Tape(*recorded_in(folder))


def recorded_in(folder: Path) -> tuple[Manifest, list[Recorded]]:
    """What `folder` holds, in the order of recording. Raises: ConfigError."""
    manifest = _decoded(folder / "manifest.json", Manifest)
    try:
        files = sorted((folder / "responses").glob("*.json"))
    except OSError as problem:
        raise ConfigError(f"can't read {folder}: {problem.strerror}", "name the folder of a recording") from None
    if len(files) > MAX_EXCHANGES:
        raise ConfigError(f"{folder} has more than {MAX_EXCHANGES} exchanges", "name the folder of one recording")
    return manifest, [Recorded(_exchange(file), _bytes(file.with_suffix(".body"))) for file in files]


class RecordingFetch:
    """`ports.Fetch` that keeps what `fetch` fetched."""

    def __init__(self, fetch: Fetch, recorder: Recorder) -> None:
        self._fetch = fetch
        self._recorder = recorder

    async def get(self, url: str) -> Fetched:
        return self._kept("GET", url, None, await self._fetch.get(url))

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
        return self._kept("POST", url, body, await self._fetch.post(url, body, media_type))

    def _kept(self, method: str, url: str, sent: bytes | None, answer: Fetched) -> Fetched:
        self._recorder.keep(exchange_of(method, url, answer.status, answer.headers, sent=sent), answer.body)
        return answer


class ReplayingFetch:
    """`ports.Fetch` that knows nothing but `tape`."""

    def __init__(self, tape: Tape) -> None:
        self._tape = tape

    async def get(self, url: str) -> Fetched:
        return self._answer("GET", url, b"")

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
        return self._answer("POST", url, body)

    def _answer(self, method: str, url: str, body: bytes) -> Fetched:
        found = self._tape.answer(method, url, body)
        return Fetched(found.exchange.status, found.exchange.fields, found.body)


def exchange_of(
    method: str, url: str, status: int, headers: Mapping[str, str], *, sent: bytes | None = None, peer_key: bytes = b"", tls_version: str = ""
) -> Exchange:
    """An exchange as it is recorded; `sent` is the request's body, None for one without."""
    return Exchange(
        method=method,
        url=url,
        status=status,
        headers={name: [value] for name, value in headers.items()},
        tls_version=tls_version or None,
        peer_spki_der_base64=base64.b64encode(peer_key).decode() if peer_key else None,
        req_body_base64=base64.b64encode(sent).decode() if sent is not None else None,
    )


def _exchange(file: Path) -> Exchange:
    found = _decoded(file, Exchange)
    try:
        _ = found.sent, found.peer_key
    except ValueError:
        raise ConfigError(f"{file.name} holds base64 that is none", "record anew") from None
    if found.fields.get("content-encoding", "identity") != "identity":
        raise ConfigError(f"{file.name} was recorded compressed", "record bodies as they were read")
    return found


def _decoded(file: Path, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(_bytes(file), type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise ConfigError(f"{file} is not what a recording holds", "name the folder that --record wrote") from None


def _bytes(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_FILE:
            raise ConfigError(f"{file} is larger than anything that is recorded", "name the folder that --record wrote")
        return file.read_bytes()
    except OSError as problem:
        raise ConfigError(f"can't read {file}: {problem.strerror}", "name the folder of a recording") from None


def _document(value: msgspec.Struct) -> bytes:
    tree = {name: member for name, member in msgspec.to_builtins(value).items() if member is not None}
    return json.dumps(tree, indent=2).encode() + b"\n"


def _stem(number: int, url: str) -> str:
    split = urlsplit(url)
    return f"{number:04}_" + _UNSAFE.sub("_", f"{split.netloc}{split.path}".lower())[:80]


def _asked(url: str) -> str:
    """`url` in one spelling."""

    def spelled(found: re.Match[str]) -> str:
        name, _, value = found[0].partition("=")
        return f"{name}={value.lower() if name == 'fmspc' else int(value)}"

    return _SPELLED.sub(spelled, url)


def _same(body: bytes) -> bytes:
    """`body`, or what it says if it is JSON: the order of members and blanks are the writer's affair."""
    if body[:1] not in (b"{", b"["):
        return body
    try:
        return json.dumps(msgspec.json.decode(body), sort_keys=True).encode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return body


def _origin(url: str) -> str:
    split = urlsplit(url)
    return f"{split.scheme}://{split.netloc}"
