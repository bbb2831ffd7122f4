"""A provider that a test writes byte for byte: HTTP over TLS on a real socket, and everything that can go wrong below it.

A play is called with each request that came whole, and writes what it likes. It returns True when the connection may carry another request.
It may be a machine's, which is attested and opens what is sealed to it. What a play says of an answer is sealed then, piece by piece; what it does to
bytes, chunks and connections happens below that.
"""

import asyncio
import contextlib
import json
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

from ollm.net.clock import SystemClock
from ollm.seal.ehbp import RESPONSE_NONCE, ResponseSealer
from ollm.testing.providers.tls import Certified, certified
from tests.scripted_enclave import OwnMachine

_READ_AHEAD = 64 * 1024
LEAK = "the provider's own words"  # in all that isn't a right answer: none of it may reach a client
END = b"0\r\n\r\n"  # of a chunked body
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}


class Ask(NamedTuple):
    """A request as it came. Of a chat's: `prompt` is what its last message says, and each test's requests say something of their own."""

    path: str = ""
    fields: Mapping[str, str] = {}
    body: bytes = b""
    model: str = ""
    prompt: str = ""
    streamed: bool = False
    sealer: ResponseSealer | None = None  # of the answer; None: it goes in the clear


Play = Callable[[Ask, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool]]


class Upstream:
    """`async with Upstream(play) as upstream:`. Where nobody shall get as far as TLS, `plain` is played to each connection instead.

    `heads`: play begins with the head of a request; the body stays unread. `counts`: what is asked is remembered.
    """

    def __init__(
        self,
        play: Play,
        *,
        plain: Play | None = None,
        identity: Certified | None = None,
        machine: OwnMachine | None = None,
        heads: bool = False,
        counts: bool = True,
    ) -> None:
        self._play = play
        self._plain = plain
        self._machine = machine
        self._heads = heads
        self._counts = counts
        if machine is None:
            found = identity or certified(SystemClock().now())
            self.ca = found.ca
            self._context: ssl.SSLContext = found.identity.context()
        else:
            self._context = machine.tls
        self._turned = machine is None  # plain is played from the beginning, or once a test says so
        self._open: set[asyncio.StreamWriter] = set()
        self.asked: Counter[str] = Counter()  # requests by prompt
        self.connections = 0
        self.playing = 0  # plays that are not over
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self._listen(None if self._turned and self._plain is not None else self._context)
        return self

    async def _listen(self, context: ssl.SSLContext | None) -> None:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _READ_AHEAD)  # the kernel would hold megabytes of what nobody reads
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._server = await asyncio.start_server(self._serve, sock=listening, ssl=context, limit=_READ_AHEAD)

    async def turn(self, context: ssl.SSLContext | None = None) -> None:
        """From now on new connections meet `plain`, or a TLS of `context`; those that there are end. Before, the machine was good, and verified."""
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        self._turned = True
        await self._listen(context)

    async def leave(self) -> contextlib.AbstractContextManager[object]:
        """Nobody listens any more; `with` what this gives, the port stays taken."""
        assert self._server is not None
        self._server.close()
        for writer in self._open:
            writer.transport.abort()
        return _taken(self.port)

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the gateway left, or the test is over
        finally:
            writer.close()
            self._open.discard(writer)
            self._tasks.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        ask, play = Ask(), self._plain if self._turned else None
        if play is None:
            ask, play = await _read(reader, self._machine, heads=self._heads), self._play
            if self._machine is not None and not ask.body:
                return await self._machine.attest(ask.path, writer)
            if self._counts:
                self.asked[ask.prompt] += 1
        self.playing += 1
        try:
            return await play(ask, reader, writer)
        finally:
            self.playing -= 1


async def _read(reader: asyncio.StreamReader, machine: OwnMachine | None, *, heads: bool) -> Ask:
    line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")[:-2]
    ask = Ask(line.split(" ")[1], dict(field.split(": ", 1) for field in lines))
    if heads or line.startswith("GET "):
        return ask
    body = await reader.readexactly(int(ask.fields["content-length"]))
    body, sealer = (body, None) if machine is None else machine.opened(ask.fields, body)
    ask = ask._replace(body=body, sealer=sealer)
    if ask.fields["content-type"] != "application/json":
        return ask
    members = json.loads(ask.body)
    prompt = members["messages"][-1]["content"] if "messages" in members else ""
    return ask._replace(model=members["model"], prompt=prompt, streamed=bool(members.get("stream")))


# What a provider says


def said(prompt: str) -> str:
    """The right answer to `prompt`. Its letters take up to four bytes."""
    return f"You said {prompt}: så är det, 答え 🙂"


def whole(ask: Ask, **members: Any) -> bytes:
    """A chat completion that answers."""
    choice = {"index": 0, "message": {"role": "assistant", "content": said(ask.prompt)}, "finish_reason": "stop"}
    document = {"id": "theirs", "object": "chat.completion", "created": 1, "model": ask.model, "choices": [choice], "usage": USAGE, **members}
    return json.dumps(document, ensure_ascii=False).encode()


def event(ask: Ask, **members: Any) -> bytes:
    head = {"id": "theirs", "object": "chat.completion.chunk", "created": 1, "model": ask.model, "choices": []}
    return b"data: " + json.dumps({**head, **members}, ensure_ascii=False).encode() + b"\n\n"


def pieces(ask: Ask) -> list[bytes]:
    """The same answer as events: words, their end, usage, [DONE]."""
    words = said(ask.prompt).split(" ")
    spoken = [word if at == len(words) - 1 else word + " " for at, word in enumerate(words)]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": {"content": word}, "finish_reason": None} for word in spoken]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    return [*(event(ask, choices=[choice]) for choice in choices), event(ask, usage=USAGE), DONE]


def right(ask: Ask) -> list[bytes]:
    """The body of the right answer in the pieces that it is sent in."""
    return pieces(ask) if ask.streamed else [whole(ask)]


def kind(ask: Ask) -> str:
    return "text/event-stream" if ask.streamed else "application/json"


def head(status: str, *fields: str) -> bytes:
    """The head of an answer; what the provider says of itself in it is not for clients."""
    return "\r\n".join([f"HTTP/1.1 {status}", f"server: {LEAK}", f"x-said: {LEAK}", *fields, "", ""]).encode()


def ok(ask: Ask, *more: str, framing: str = "transfer-encoding: chunked", type: str = "") -> bytes:
    nonce = [f"{RESPONSE_NONCE}: {ask.sealer.nonce_hex}"] if ask.sealer is not None else []
    return head("200 OK", f"content-type: {type or kind(ask)}", *nonce, *more, framing)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def sent(ask: Ask, parts: Iterable[bytes]) -> list[bytes]:
    """`parts` as they go on the wire: each of them sealed, where the answer is."""
    return list(parts) if ask.sealer is None else [ask.sealer.seal(part) for part in parts]


def chunked(ask: Ask, parts: Iterable[bytes]) -> list[bytes]:
    return [chunk(part) for part in sent(ask, parts)]


# Plays


def writes(make: Callable[[Ask], Iterable[bytes]], *, keep: bool = False) -> Play:
    """What `make` says, piece by piece; then the connection is closed, or kept."""

    async def play(ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for data in make(ask):
            writer.write(data)
            await writer.drain()
        return keep

    return play


def then_silence(make: Callable[[Ask], Iterable[bytes]]) -> Play:
    """The same, and nothing more until the other side leaves."""

    async def play(ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await writes(make)(ask, reader, writer)
        await reader.read()
        return False

    return play


def then_reset(make: Callable[[Ask], Iterable[bytes]]) -> Play:
    """The same, and the connection is reset once the bytes have had the time to arrive."""

    async def play(ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await writes(make)(ask, reader, writer)
        await asyncio.sleep(0.05)
        writer.transport.abort()
        return False

    return play


def without_end(make: Callable[[Ask], Iterable[bytes]], again: Callable[[Ask], bytes], *, pause: float = 0.0) -> Play:
    """The same, then what `again` says, over and over until the other side leaves."""

    async def play(ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await writes(make)(ask, reader, writer)
        while not writer.is_closing():
            writer.write(again(ask))
            await writer.drain()
            await asyncio.sleep(pause)
        return False

    return play


def drips(make: Callable[[Ask], Iterable[bytes]], pause: float) -> Play:
    """The same, byte by byte."""

    async def play(ask: Ask, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        for byte in b"".join(make(ask)):
            if writer.is_closing():
                return False
            writer.write(bytes([byte]))
            await asyncio.sleep(pause)
        return True

    return play


answers = writes(lambda ask: [ok(ask), *chunked(ask, right(ask)), END], keep=True)  # nothing is wrong


@contextlib.contextmanager
def refusing() -> Iterator[str]:
    """The URL of a port that is taken, and on which nobody listens."""
    with _taken(0) as port:
        yield f"https://127.0.0.1:{port}"


@contextlib.contextmanager
def _taken(port: int) -> Iterator[int]:
    with socket.socket() as held:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", port))
        yield int(held.getsockname()[1])
