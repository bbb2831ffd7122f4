"""What providers and the network do wrong, and what a client is to see of each: the right answer, an error, or an error in the stream's middle."""

import asyncio
import gzip
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.faults.upstream import (
    DONE,
    END,
    LEAK,
    Ask,
    Play,
    answers,
    chunk,
    chunked,
    drips,
    event,
    head,
    ok,
    pieces,
    right,
    sent,
    then_reset,
    then_silence,
    whole,
    without_end,
    writes,
)


class Right(NamedTuple):
    """The answer. `tokens`: the output tokens that the provider counted, None where it gave no count that can be believed."""

    tokens: int | None = 7


class Wrong(NamedTuple):
    """An error instead of an answer."""

    status: int
    code: str
    retry_after: str | None = None


class Broken(NamedTuple):
    """An answer that began, and an error event in place of its end."""

    code: str


Outcome = Right | Wrong | Broken

RIGHT = Right()
FAILED = Wrong(502, "upstream_error")
GARBLED = Wrong(502, "upstream_garbled")
LATE = Wrong(504, "upstream_timeout")
REJECTED = Wrong(400, "upstream_rejected")
LIMITED = Wrong(429, "upstream_rate_limited")
UNSEALED = Wrong(502, "upstream_unsealed")
UNTRUSTED = Wrong(503, "upstream_verification_failed")
CUT = Broken("upstream_error")
SPOILT = Broken("upstream_garbled")
UNSEALED_LATER = Broken("upstream_unsealed")


class Fault(NamedTuple):
    """`whole` and `stream`: what a client sees who asks this upstream alone. `again`: whether others are asked in its place.

    `hasty`: shows only when time is over. `plain`: played to connections, before TLS.
    """

    name: str
    play: Play
    whole: Outcome
    stream: Outcome
    again: str = ""  # connect: nothing left, so another may be asked; status: it is as an error status; whole: that, of a whole answer alone
    hasty: bool = False
    plain: bool = False
    sealed: tuple[Outcome, Outcome] | None = None  # of a machine that is verified and sealed to, where that differs

    def outcome(self, *, streamed: bool, sealed: bool) -> Outcome:
        """What a client sees who asks this upstream alone."""
        whole, stream = self.sealed if sealed and self.sealed is not None else (self.whole, self.stream)
        return stream if streamed else whole


def status(code: int, reason: str, *fields: str) -> Play:
    """An error of theirs, with more to say than is passed on."""
    body = json.dumps({"error": {"message": LEAK, "type": LEAK, "param": LEAK, "code": LEAK}}).encode()
    return writes(lambda ask: [head(f"{code} {reason}", "content-type: application/json", *fields, f"content-length: {len(body)}") + body], keep=True)


def body(make: Any, *more: str) -> Play:
    """A good head and a chunked body of what `make` says, to its end."""
    return writes(lambda ask: [ok(ask, *more), *chunked(ask, make(ask)), END], keep=True)


def framed(make: Any, length: int) -> Play:
    """A body under a Content-Length that is `length` bytes off."""

    def said(ask: Ask) -> list[bytes]:
        data = b"".join(sent(ask, make(ask)))
        return [ok(ask, framing=f"content-length: {len(data) + length}") + data]

    return writes(said)


def until(ask: Ask, mark: bytes, extra: int) -> list[bytes]:
    """The answer up to `extra` bytes behind the first `mark`."""
    data = b"".join(right(ask))
    return [data[: data.index(mark) + extra]]


def good(ask: Ask) -> list[bytes]:
    """The right answer on the wire, but for the end of its body."""
    return [ok(ask), *chunked(ask, right(ask))]


def old(ask: Ask) -> list[bytes]:
    return [ok(ask, framing="connection: close").replace(b"1.1", b"1.0", 1), *sent(ask, right(ask))]


def half(ask: Ask) -> list[bytes]:
    """Two events of the stream, or half of the whole answer."""
    return pieces(ask)[:2] if ask.streamed else [whole(ask)[:60]]


def without_usage(ask: Ask) -> list[bytes]:
    return [*pieces(ask)[:-2], DONE] if ask.streamed else [whole(ask, usage=None)]


def counting(usage: Any) -> Any:
    """The right answer with another count."""

    def said(ask: Ask) -> list[bytes]:
        return [*pieces(ask)[:-2], event(ask, usage=usage), DONE] if ask.streamed else [whole(ask, usage=usage)]

    return said


def twice(ask: Ask) -> list[bytes]:
    """The count comes twice: a first guess, then the final one."""
    first = {"prompt_tokens": 11, "completion_tokens": 1, "total_tokens": 12}
    if ask.streamed:
        return [*pieces(ask)[:-2], event(ask, usage=first), *pieces(ask)[-2:]]
    usage = json.dumps(first).encode()
    return [whole(ask).replace(b'"usage": ', b'"usage": ' + usage + b', "usage": ', 1)]


def crlf(ask: Ask) -> list[bytes]:
    """Other line ends, a byte order mark, comments, fields that nobody knows, and data over several lines."""
    if not ask.streamed:
        return [whole(ask)]
    spread = [piece.replace(b', "object"', b',\ndata: "object"') for piece in pieces(ask)]
    return [b"\xef\xbb\xbf: hello\r\n\r\n", *(b"id: 1\r\nretry: 5\r\n" + piece.replace(b"\n", b"\r\n") + b":\r\n\r\n" for piece in spread)]


def says_error(code: object, kind: str, *, after: int = 0) -> Any:
    """An error where an answer is due, with status 200."""
    error = {"error": {"message": LEAK, "type": kind, "param": None, "code": code}}

    def said(ask: Ask) -> list[bytes]:
        data = json.dumps(error).encode()
        return [*pieces(ask)[:after], b"data: " + data + b"\n\n", DONE] if ask.streamed else [data]

    return said


def unlabelled(ask: Ask) -> list[bytes]:
    return [ok(ask, type="text/html"), *chunked(ask, right(ask)), END]


def extended(ask: Ask) -> list[bytes]:
    return [ok(ask), *(part.replace(b"\r\n", b";a=b\r\n", 1) for part in chunked(ask, right(ask))), END]


def interim(ask: Ask) -> list[bytes]:
    return [head("103 Early Hints", "link: </x>; rel=preload"), head("100 Continue"), ok(ask), *chunked(ask, right(ask)), END]


def more(letter: bytes) -> Callable[[Ask], bytes]:
    return lambda ask: b"".join(chunked(ask, [letter * 65_536]))


async def hangs(ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    await reader.read()
    return False


async def resets(ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    writer.transport.abort()
    return False


_NESTED = b'{"id":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
_GARBAGE = bytes(range(256)) + LEAK.encode() + b"\n\ndata: " + LEAK.encode() + b"\n\n"

FAULTS = (
    # No connection
    Fault("connection refused", answers, FAILED, FAILED, "connect"),
    Fault("reset before TLS", resets, FAILED, FAILED, "connect", plain=True),
    Fault("no TLS", writes(lambda ask: [b"HTTP/1.1 400 Bad Request\r\n\r\n" + LEAK.encode()]), FAILED, FAILED, "connect", plain=True),
    Fault("closed in the handshake", writes(lambda ask: [b"\x16\x03\x03\x00\x7a\x02"]), FAILED, FAILED, "connect", plain=True),
    Fault("certificate of another authority", answers, FAILED, FAILED, "connect", sealed=(UNTRUSTED, UNTRUSTED)),
    Fault("hangs in the handshake", hangs, LATE, LATE, "connect", hasty=True, plain=True),
    # No head
    Fault("hangs before the head", then_silence(lambda ask: []), LATE, LATE, hasty=True),
    Fault("hangs in the head", then_silence(lambda ask: [ok(ask)[:40]]), LATE, LATE, hasty=True),
    Fault("closed before the head", writes(lambda ask: []), FAILED, FAILED),
    Fault("reset before the head", then_reset(lambda ask: []), FAILED, FAILED),
    Fault("closed in the head", writes(lambda ask: [ok(ask)[:40]]), FAILED, FAILED),
    Fault("another protocol", writes(lambda ask: [b"SSH-2.0-" + LEAK.encode() + b"\r\n"]), FAILED, FAILED),
    Fault("an upgrade", writes(lambda ask: [head("101 Switching Protocols", "upgrade: h2c", "connection: upgrade")]), FAILED, FAILED),
    Fault("a huge head", without_end(lambda ask: [ok(ask)[:-2]], lambda ask: (b"x-more: " + b"a" * 1000 + b"\r\n") * 50), FAILED, FAILED),
    Fault("interim answers without end", without_end(lambda ask: [], lambda ask: head("103 Early Hints") * 50), FAILED, FAILED),
    Fault("interim answers and then the right one", writes(interim, keep=True), RIGHT, RIGHT),
    Fault(
        "chunked and with a length",
        writes(lambda ask: [ok(ask, "content-length: 5"), *chunked(ask, right(ask)), END]),
        FAILED,
        FAILED,
    ),
    Fault("two lengths", writes(lambda ask: [ok(ask, "content-length: 5", framing="content-length: 6"), b"hello!"]), FAILED, FAILED),
    Fault("a folded header", writes(lambda ask: [ok(ask, "x-a: b\r\n c"), *chunked(ask, right(ask)), END]), FAILED, FAILED),
    Fault("the end of HTTP/1.0", writes(old), FAILED, RIGHT),
    # An error of theirs
    Fault("400", status(400, "Bad Request"), REJECTED, REJECTED),
    Fault("401", status(401, "Unauthorized"), Wrong(502, "upstream_credentials"), Wrong(502, "upstream_credentials"), "status"),
    Fault("404", status(404, "Not Found"), Wrong(502, "upstream_model_missing"), Wrong(502, "upstream_model_missing")),
    Fault(
        "429 with Retry-After",
        status(429, "Too Many Requests", "retry-after: 9"),
        Wrong(429, "upstream_rate_limited", "9"),
        Wrong(429, "upstream_rate_limited", "9"),
        "status",
    ),
    Fault("429", status(429, "Too Many Requests"), LIMITED, LIMITED, "status"),
    Fault("500", status(500, "Internal Server Error"), FAILED, FAILED, "status"),
    Fault("502", status(502, "Bad Gateway"), FAILED, FAILED, "status"),
    Fault("503", status(503, "Service Unavailable"), FAILED, FAILED, "status"),
    Fault("504", status(504, "Gateway Timeout"), FAILED, FAILED, "status"),
    Fault("a redirect", status(307, "Temporary Redirect", "location: https://127.0.0.1:1/"), FAILED, FAILED, sealed=(UNSEALED, UNSEALED)),
    Fault("no content", writes(lambda ask: [head("204 No Content")], keep=True), FAILED, FAILED, sealed=(UNSEALED, UNSEALED)),
    # A body that is none
    Fault("an empty body", writes(lambda ask: [ok(ask, framing="content-length: 0")], keep=True), GARBLED, GARBLED),
    Fault("an empty chunked body", body(lambda ask: []), GARBLED, GARBLED),
    Fault("garbage", body(lambda ask: [_GARBAGE]), GARBLED, GARBLED),
    Fault("garbage after a good beginning", body(lambda ask: [*half(ask), _GARBAGE]), GARBLED, SPOILT),
    Fault("letters that are none", body(lambda ask: [part.replace("så".encode(), b"s\xe5") for part in right(ask)]), GARBLED, SPOILT),
    Fault("JSON without a bottom", body(lambda ask: [b"data: " + _NESTED + b"\n\n" if ask.streamed else _NESTED]), GARBLED, GARBLED),
    Fault("JSON that is no object", body(lambda ask: [b"data: [1]\n\n" if ask.streamed else b"[1]"]), GARBLED, GARBLED),
    Fault(
        "a compressed body",
        body(lambda ask: [gzip.compress(b"".join(right(ask)))], "content-encoding: gzip"),
        GARBLED,
        GARBLED,
    ),
    Fault("another content type", writes(unlabelled, keep=True), RIGHT, GARBLED),
    Fault("an error with status 200", body(says_error(None, LEAK)), FAILED, FAILED, "status"),
    Fault("429 with status 200", body(says_error("rate_limit_exceeded", "requests")), LIMITED, LIMITED, "status"),
    Fault("a refusal with status 200", body(says_error("context_length_exceeded", "x")), REJECTED, REJECTED),
    Fault("comments and then an error", body(lambda ask: [*[b": hello\n\n"] * ask.streamed, *says_error(503, "x")(ask)]), FAILED, FAILED, "status"),
    Fault("429 in the middle", body(says_error(429, "rate_limit_error", after=2)), LIMITED, Broken("upstream_stream_failed"), "whole"),
    Fault("429 behind the first event", body(says_error(429, "rate_limit_error", after=1)), LIMITED, Broken("upstream_stream_failed"), "whole"),
    # A body that breaks off
    Fault("cut at its first byte", writes(lambda ask: [ok(ask)]), FAILED, FAILED),
    Fault("cut between two pieces", writes(lambda ask: [ok(ask), *chunked(ask, half(ask))]), FAILED, CUT),
    Fault("reset between two pieces", then_reset(lambda ask: [ok(ask), *chunked(ask, half(ask))]), FAILED, CUT),
    Fault("cut within a line", writes(lambda ask: [ok(ask), *chunked(ask, [*half(ask), b"data: {"])]), FAILED, CUT),
    Fault("cut within a letter", writes(lambda ask: [ok(ask), *chunked(ask, until(ask, "答".encode(), 2))]), FAILED, CUT),
    Fault("cut within a chunk", writes(lambda ask: [ok(ask), *chunked(ask, half(ask)), b"ff\r\nda"]), FAILED, CUT),
    Fault("a chunk that is none", writes(lambda ask: [ok(ask), *chunked(ask, half(ask)), b"zz\r\n" + LEAK.encode()]), FAILED, CUT),
    Fault("longer than it is", framed(right, 10), FAILED, RIGHT),
    Fault("shorter than it is", framed(right, -25), GARBLED, SPOILT, sealed=(UNSEALED, UNSEALED_LATER)),
    Fault("ends without its end mark", body(lambda ask: right(ask)[:-1] if ask.streamed else half(ask)), GARBLED, SPOILT),
    Fault("hangs after the head", then_silence(lambda ask: [ok(ask)]), LATE, LATE, hasty=True),
    Fault("hangs in the middle", then_silence(lambda ask: [ok(ask), *chunked(ask, half(ask))]), LATE, Broken("upstream_timeout"), hasty=True),
    Fault("drips", drips(lambda ask: [ok(ask), *chunked(ask, [b" " * 10_000])], 0.05), LATE, LATE, hasty=True),
    # Odd, and right all the same
    Fault("answers byte by byte", drips(lambda ask: [*good(ask), END], 0), RIGHT, RIGHT),
    Fault("lines of all kinds", body(crlf), RIGHT, RIGHT),
    Fault("no count", body(without_usage), Right(None), Right(None)),
    Fault("a count twice", body(twice), RIGHT, RIGHT),
    Fault("a count beyond belief", body(counting({"prompt_tokens": -1, "completion_tokens": 2**70})), Right(None), Right(None)),
    Fault("more behind the end", body(lambda ask: [*right(ask), *([_GARBAGE, event(ask, choices=[])] if ask.streamed else [b" \n"])]), RIGHT, RIGHT),
    Fault("another answer behind the end", writes(lambda ask: [*good(ask), END, ok(ask), chunk(LEAK.encode())]), RIGHT, RIGHT),
    Fault("trailers", writes(lambda ask: [*good(ask), b"0\r\nx-said: " + LEAK.encode() + b"\r\n\r\n"], keep=True), RIGHT, RIGHT),
    Fault("chunks with extensions", writes(extended, keep=True), RIGHT, RIGHT),
    Fault("closed behind its end", writes(lambda ask: [ok(ask, "connection: close"), *chunked(ask, right(ask)), END]), RIGHT, RIGHT),
    Fault("hangs behind its end mark", then_silence(good), LATE, RIGHT, hasty=True),
)  # fmt: skip


def records(change: Callable[[Ask, list[bytes]], list[bytes]]) -> Play:
    """A good answer, its sealed pieces changed on the way by somebody who can't open them. Each arrives before the next one leaves."""

    async def play(ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for data in (ok(ask), *(chunk(part) for part in change(ask, sent(ask, right(ask)))), END):
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(0.02)
        return True

    return play


def flipped(record: bytes) -> bytes:
    return record[:-1] + bytes([record[-1] ^ 1])


def in_the_clear(ask: Ask) -> list[bytes]:
    plain = ask._replace(sealer=None)
    return [ok(plain), *chunked(plain, right(plain)), END]


def other_nonce(ask: Ask) -> list[bytes]:
    assert ask.sealer is not None
    return [ok(ask).replace(ask.sealer.nonce_hex.encode(), b"ab" * 32), *chunked(ask, right(ask)), END]


OF_A_SEAL = (
    Fault("an answer in the clear", writes(in_the_clear, keep=True), UNSEALED, UNSEALED),
    Fault("another nonce", writes(other_nonce, keep=True), UNSEALED, UNSEALED),
    Fault("letters that nobody sealed", records(lambda ask, parts: [LEAK.encode() * 9]), UNSEALED, UNSEALED),
    Fault("a bit flipped in the first piece", records(lambda ask, parts: [flipped(parts[0]), *parts[1:]]), UNSEALED, UNSEALED),
    Fault("a bit flipped in the last piece", records(lambda ask, parts: [*parts[:-1], flipped(parts[-1])]), UNSEALED, UNSEALED_LATER),
    Fault("a piece left out", records(lambda ask, parts: parts[:1] + parts[2:] if ask.streamed else []), GARBLED, UNSEALED_LATER),
    Fault("a piece twice", records(lambda ask, parts: parts[:1] + parts), UNSEALED, UNSEALED_LATER),
    Fault("pieces in another order", records(lambda ask, parts: parts[::-1] if ask.streamed else parts), RIGHT, UNSEALED),
    Fault("words of nobody behind a piece", records(lambda ask, parts: [parts[0], LEAK.encode() * 9]), UNSEALED, UNSEALED_LATER),
    Fault("a piece cut at its end", records(lambda ask, parts: [*parts[:-1], parts[-1][:-3]]), UNSEALED, UNSEALED_LATER),
)

ENDLESS = (
    Fault("a line without end", without_end(lambda ask: [ok(ask), *chunked(ask, [b"data: "])], more(b"a")), FAILED, GARBLED),
    Fault("a line without end after a good beginning", without_end(lambda ask: [ok(ask), *chunked(ask, half(ask))], more(b"a")), FAILED, SPOILT),
    Fault("spaces without end", without_end(lambda ask: [ok(ask), *chunked(ask, half(ask))], more(b" ")), FAILED, SPOILT),
)  # as long as what is held of an answer may be: seconds
