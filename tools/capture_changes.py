"""One thing changed in a recorded verification, as somebody would who forges one."""

import base64
import binascii
import gzip
import json
from typing import Any, Literal

import msgspec

from ollm.errors import ConfigError
from ollm.net.tape import Manifest, Recorded


class Change(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`what` people call it; `check`: one of these must be the first to refuse.

    kind nonce    the same answers to another nonce
         channel  the peer showed another key
         member   one bit of byte `at` in the member at `path` of the JSON in the first answer whose URL has `url` in it ("*": every element)
         text     the first `find` in that answer's body becomes `replace`, of the same length
    """

    what: str
    check: tuple[str, ...]
    kind: Literal["nonce", "channel", "member", "text"] = "member"
    url: str = ""
    path: tuple[str | int, ...] = ()
    encoding: Literal["hex", "base64", "base64-gzip", "jwt"] = "hex"  # jwt: its signature
    at: int = 0
    find: str = ""
    replace: str = ""
    only: str = ""  # folders whose name begins with it
    upstream: str | None = None  # of the configuration; absent: the first

    def applies(self, folder: str, upstream: str | None) -> bool:
        return folder.startswith(self.only) and upstream == self.upstream


def changed(manifest: Manifest, recorded: list[Recorded], change: Change) -> tuple[Manifest, list[Recorded]]:
    """The recording with `change` made. Raises: ConfigError for one that finds nothing to change."""
    if change.kind == "nonce":
        return _other_nonce(manifest, recorded)
    found = next((number for number, each in enumerate(recorded) if change.url in each.exchange.url), None)
    if found is None:
        raise ConfigError(f"no answer has {change.url!a} in its URL", "name one that was recorded")
    if change.kind == "channel":
        return manifest, [_other_key(each, recorded[found].exchange.peer_key) for each in recorded]
    each = recorded[found]
    body = _member(each.body, change) if change.kind == "member" else _text(each.body, change)
    return manifest, [*recorded[:found], Recorded(each.exchange, body), *recorded[found + 1 :]]


def _other_nonce(manifest: Manifest, recorded: list[Recorded]) -> tuple[Manifest, list[Recorded]]:
    before = manifest.nonce_hex
    after = before[:-1] + format(int(before[-1], 16) ^ 1, "x")

    def asked(each: Recorded) -> Recorded:
        sent = each.exchange.sent.replace(before.encode(), after.encode())
        encoded = base64.b64encode(sent).decode() if each.exchange.req_body_base64 is not None else None
        return Recorded(msgspec.structs.replace(each.exchange, url=each.exchange.url.replace(before, after), req_body_base64=encoded), each.body)

    posted = [each for each in recorded if each.exchange.method == "POST"]  # some bodies repeat the nonce of a report, others ours
    return msgspec.structs.replace(manifest, nonce_hex=after), [*map(asked, recorded), *posted]


def _other_key(each: Recorded, key: bytes | None) -> Recorded:
    if key is None or each.exchange.peer_key != key:
        return each
    other = base64.b64encode(key[:-1] + bytes([key[-1] ^ 1])).decode()
    return Recorded(msgspec.structs.replace(each.exchange, peer_spki_der_base64=other), each.body)


def _text(body: bytes, change: Change) -> bytes:
    before, after = change.find.encode(), change.replace.encode()
    if not before or before not in body or len(before) != len(after):
        raise ConfigError(f"{change.find!a} is not in the answer, or is replaced by a text of another length", "name what is there")
    return body.replace(before, after, 1)


def _member(body: bytes, change: Change) -> bytes:
    for text in _texts(json.loads(body), change.path):
        before, after = text.encode(), _flipped(text, change).encode()
        if before not in body:
            raise ConfigError(f"{change.path} is written with escapes", "change it as text")
        body = body.replace(before, after, 1)
    return body


def _texts(document: Any, path: tuple[str | int, ...]) -> list[str]:
    """The texts at `path`; where it has "*", those of every element."""
    if not path:
        if not isinstance(document, str):
            raise ConfigError("the path doesn't end at a text", "name one that does")
        return [document]
    if isinstance(document, str):
        document = json.loads(document)  # JSON inside a text
    step, rest = path[0], path[1:]
    if step == "*":
        return [text for element in document for text in _texts(element, rest)]
    try:
        return _texts(document[step], rest)
    except (KeyError, IndexError, TypeError):
        raise ConfigError(f"the answer has nothing at {step!a}", "name what is there") from None


def _flipped(text: str, change: Change) -> str:
    """`text` with one bit of what it encodes changed."""
    prefix = "0x" if text.startswith("0x") else ""
    try:
        if change.encoding == "hex":
            return prefix + _flip(bytes.fromhex(text.removeprefix("0x")), change.at).hex()
        if change.encoding == "jwt":
            signed, _, signature = text.rpartition(".")
            data = _flip(base64.urlsafe_b64decode(signature + "=" * (-len(signature) % 4)), change.at)
            return f"{signed}.{base64.urlsafe_b64encode(data).decode().rstrip('=')}"
        data = base64.b64decode(text, validate=True)
        if change.encoding == "base64":
            return base64.b64encode(_flip(data, change.at)).decode()
        return base64.b64encode(gzip.compress(_flip(gzip.decompress(data), change.at), mtime=0)).decode()
    except (ValueError, binascii.Error, OSError, IndexError):
        raise ConfigError(f"{change.path} is not {change.encoding} of more than {change.at} bytes", "name what is there") from None


def _flip(data: bytes, at: int) -> bytes:
    where = at if at >= 0 else len(data) + at
    return data[:where] + bytes([data[where] ^ 1]) + data[where + 1 :]
