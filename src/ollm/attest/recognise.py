"""What kind of evidence a file is, whichever way it was written: bytes, hex, base64, a token, or JSON around any of these.

For people who hold a file and want to know; a gateway knows what it asked for. Pure, bounded, and it never raises: what is not
recognised is `Kind.UNKNOWN`. What it finds is decoded and not verified.
"""

from ollm.attest import strict_json
from ollm.attest.kinds import NOTHING, Kind, Recognised, of_bytes, of_token
from ollm.attest.wrapped import bytes_of_text, cpu_evidence, of_json
from ollm.errors import EvidenceRefused

__all__ = ["Kind", "Recognised", "recognise"]

MAX_FILE = 4 * 1024 * 1024  # a report of eight GPUs with an event log has 350 KB
_CHECK = "evidence.technology"


def recognise(data: bytes) -> Recognised:
    """The kind of `data` and its decoded parts."""
    if len(data) > MAX_FILE:
        return NOTHING
    kind = of_bytes(data)
    if kind is not Kind.UNKNOWN:
        return Recognised(kind=kind, cpu=cpu_evidence(data, kind))
    try:
        text = data.decode("ascii" if data[:1] not in (b"{", b"[") else "utf-8").strip()
    except UnicodeDecodeError:
        return NOTHING
    if text[:1] in ("{", "["):
        return _of_json(text)
    token = of_token(text)
    return _of_text(text) if token is None else Recognised(kind=token, form="token")


def _of_json(text: str) -> Recognised:
    try:
        return of_json(strict_json.parse(text, limit=MAX_FILE, check=_CHECK))
    except EvidenceRefused:
        return NOTHING


def _of_text(text: str) -> Recognised:
    found = bytes_of_text("".join(text.split()))
    if found is None:
        return NOTHING
    data, form = found
    kind = of_bytes(data)
    return Recognised(kind=kind, form=form, cpu=cpu_evidence(data, kind)) if kind is not Kind.UNKNOWN else NOTHING
