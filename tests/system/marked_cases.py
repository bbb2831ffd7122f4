"""Requests full of marks, one for each way that the gateway can end one, with the status that shows that it was this way."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.system import marked
from tests.system.canaries import Canaries
from tests.system.installation import MAX_BODY

CHAT = "/v1/chat/completions"


@dataclass(frozen=True)
class Case:
    name: str
    status: int
    request: bytes  # as it goes over the wire
    leaves: bool = False  # the client closes its side behind it


@dataclass(frozen=True)
class Said:
    """What the gateway answered to a case."""

    case: Case
    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1]) if self.head else 0

    def header(self, name: bytes) -> bytes | None:
        fields = dict(line.split(b": ", 1) for line in self.head.split(b"\r\n")[1:] if b": " in line)
        return fields.get(name)


async def say(port: int, case: Case) -> Said:
    """Send the request of `case` on a connection of its own, and read until the gateway closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(case.request)
        if case.leaves:
            writer.write_eof()
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        return Said(case, head, body)
    finally:
        writer.close()


class Cases:
    """Makes them, for one key that simulated machines may serve and one that they may not."""

    def __init__(self, canaries: Canaries, key: str, strict_key: str) -> None:
        self._canaries = canaries
        self._key = key
        self._strict_key = strict_key

    def http(self, method: str, target: str, body: bytes = b"", *, key: str | None = None, **more: str) -> bytes:
        """One request; `more` headers with _ for -."""
        self._canaries.body(body)
        fields = {"host": "127.0.0.1", **marked.headers(self._canaries, key or self._key), "connection": "close"}
        fields |= {"content-length": str(len(body))} if body or method == "POST" else {}
        fields |= {name.replace("_", "-"): value for name, value in more.items()}
        return f"{method} {target} HTTP/1.1\r\n".encode() + b"".join(f"{n}: {v}\r\n".encode() for n, v in fields.items()) + b"\r\n" + body

    def chat(self, model: str, /, *, key: str | None = None, **members: Any) -> bytes:
        body = json.dumps(marked.prompt(self._canaries, model, **members), ensure_ascii=len(model) % 2 == 0).encode()
        return self.http("POST", f"{CHAT}?trace={self._canaries.mark('query')}", body, key=key)

    def raw_chat(self, body: bytes, **more: str) -> bytes:
        return self.http("POST", CHAT, body, **more)

    def all(self) -> Iterator[Case]:
        yield from self.answers()
        yield from self.broken_requests()
        yield from self.refusals()
        yield from self.broken_http()
        yield from self.other_routes()
        yield from self.provider()

    def answers(self) -> Iterator[Case]:
        question: dict[str, Any] = {"messages": [{"role": "user", "content": self._canaries.mark("asked")}], "tool_choice": "required"}
        yield Case("whole answer", 200, self.chat("chat"))
        yield Case("streamed answer", 200, self.chat("chat", stream=True))
        yield Case("streamed answer with usage", 200, self.chat("chat", stream=True, stream_options={"include_usage": True}))
        yield Case("two choices", 200, self.chat("chat", n=2))
        yield Case("tool call", 200, self.chat("chat", **question))
        yield Case("streamed tool call", 200, self.chat("chat", stream=True, **question))
        yield Case("simulated cut", 502, self.chat("cut"))
        yield Case("simulated cut of a stream", 200, self.chat("cut", stream=True))

    def broken_requests(self) -> Iterator[Case]:
        mark = self._canaries.mark
        whole = json.dumps(marked.prompt(self._canaries, "chat")).encode()
        user = json.dumps(mark("user")).encode()
        bad: dict[str, bytes] = {
            "cut JSON": whole[:-40],
            "no JSON": mark("no-json").encode(),
            "JSON of another type": user,
            "a list": b"[" + whole + b"]",
            "repeated member": whole[:-1] + b', "messages": [' + user + b"]}",
            "repeated marked member": b'{"%b": 1, "%b": 2, "model": "chat"}' % (mark("twice").encode(), mark("twice").encode()),
            "too deep": whole[:-1] + b', "deep": ' + b"[" * 500 + user + b"]" * 500 + b"}",
            "NaN": whole[:-1] + b', "n": NaN}',
            "endless number": whole[:-1] + b', "n": ' + b"7" * 5000 + b"}",
            "bad escape": whole[:-1] + b', "x": "\\q' + mark("escape").encode() + b'"}',
            "bad UTF-8": whole[:-1] + b', "x": "\xff' + mark("utf-8").encode() + b'"}',
            "lone surrogate": whole[:-1] + b', "model": "\\ud800' + mark("surrogate").encode() + b'"}',
            "nothing": b"",
        }
        for name, body in bad.items():
            yield Case(name, 400, self.raw_chat(body))
        wrong: dict[str, Any] = {
            "model": [mark("model")],
            "stream": mark("stream"),
            "stream_options": mark("options"),
            "provider": [mark("provider")],
        }
        for member, value in wrong.items():
            yield Case(f"{member} of a wrong type", 400, self.chat("chat", **{member: value}))
        constraints: tuple[dict[str, Any], ...] = (
            {"aci_session_ids": [mark("session")]},
            {"aci_" + mark("constraint"): True},
            {"order": [mark("order")]},
            {"only": ["enclave"], "ignore": [mark("ignore")], "sort": mark("sort")},
            {"aci_verified": mark("verified")},
        )
        for provider in constraints:
            yield Case("unusable constraint", 400, self.chat("chat", provider=provider))
        yield Case("endless model name", 400, self.chat(mark("model") * 30))
        yield Case("too large", 413, self.chat("chat", padding=mark("padding") * (MAX_BODY // 60)))
        chunk = (mark("padding") * 200).encode()
        chunks = (b"%x\r\n%b\r\n" % (len(chunk), chunk)) * (MAX_BODY // len(chunk) + 2)
        head = self.http("POST", CHAT, transfer_encoding="chunked").replace(b"content-length: 0\r\n", b"")
        yield Case("too large, in chunks", 413, head + chunks + b"0\r\n\r\n")
        yield Case("compressed", 415, self.raw_chat(whole, content_encoding="gzip"))
        yield Case("request that ends early", 0, self.raw_chat(whole)[:-60], leaves=True)

    def refusals(self) -> Iterator[Case]:
        mark = self._canaries.mark
        whole = json.dumps(marked.prompt(self._canaries, "chat")).encode()
        yield Case("unknown model", 404, self.chat(mark("model")))
        yield Case("wrong key", 401, self.chat("chat", key=self._key[:-44] + "-" + "A" * 43))
        yield Case("no key of ours", 401, self.chat("chat", key=mark("key")))
        yield Case("another scheme", 401, self.raw_chat(whole, authorization=f"Basic {mark('basic')}"))
        yield Case("two keys", 401, self.raw_chat(whole).replace(b"cookie: ", b"authorization: Bearer "))
        yield Case("level not reached", 403, self.chat("chat", key=self._strict_key))
        yield Case("session not held", 412, self.chat("chat", provider={"aci_session_ids": ["ab" * 32], "quantizations": [mark("quantizations")]}))
        yield Case("machine not verified", 503, self.chat("unverified"))
        yield Case("machine not there", 503, self.chat("down"))

    def broken_http(self) -> Iterator[Case]:
        mark = self._canaries.mark
        whole = json.dumps(marked.prompt(self._canaries, "chat")).encode()
        yield Case("no HTTP", 400, mark("line").encode() + b"\r\n\r\n")
        yield Case("unknown method", 400, self.http(mark("method").upper(), CHAT))
        yield Case("other version", 505, self.http("GET", f"/{mark('path')}").replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        yield Case("bad host", 400, self.http("GET", "/healthz", host=f"{mark('host')} {mark('host')}"))
        yield Case("no path", 400, self.http("GET", f"https://{mark('authority')}/"))
        yield Case("long target", 414, self.http("GET", "/" + mark("path") * 300))
        yield Case("large headers", 431, self.http("GET", "/healthz", x_padding=mark("padding") * 1000))
        yield Case("folded header", 400, self.http("GET", "/healthz", x_folded=f"1\r\n {mark('folded')}"))
        yield Case("two framings", 400, self.raw_chat(whole, transfer_encoding="chunked"))
        yield Case("unknown transfer coding", 501, self.http("POST", CHAT, transfer_encoding=mark("coding")).replace(b"content-length: 0\r\n", b""))
        yield Case("unknown expectation", 417, self.raw_chat(whole, expect=mark("expectation")))
        yield Case("other protocol", 400, self.http("GET", "/v1/models", upgrade=mark("protocol"), connection="upgrade"))
        head = self.http("POST", CHAT, transfer_encoding="chunked").replace(b"content-length: 0\r\n", b"")
        yield Case("bad chunk", 400, head + mark("chunk").encode() + b"\r\n\r\n")

    def other_routes(self) -> Iterator[Case]:
        mark = self._canaries.mark
        yield Case("unknown path", 404, self.http("GET", f"/v1/{mark('path')}"))
        yield Case("path with escapes", 404, self.http("GET", f"/v1/%00%0a{mark('path')}"))
        yield Case("method not served", 405, self.http("PUT", CHAT, mark("put").encode()))
        yield Case("models", 200, self.http("GET", "/v1/models"))
        yield Case("models with a query that nobody knows", 400, self.http("GET", f"/v1/models?x={mark('query')}"))
        yield Case("models without key", 401, self.http("GET", "/v1/models", key=mark("key")))
        yield Case("model that is not there", 404, self.http("GET", f"/v1/models/{mark('model')}"))
        yield Case("evidence", 200, self.http("GET", f"/v1/aci/attestation?nonce={'0a' * 32}&x={mark('query')}"))
        yield Case("evidence over no nonce", 400, self.http("GET", f"/v1/aci/attestation?nonce={mark('nonce')}"))
        yield Case("query that repeats", 400, self.http("GET", f"/v1/aci/attestation?{mark('q')}={mark('q')}&{mark('q')}=2"))
        yield Case("receipt that is not there", 404, self.http("GET", f"/v1/aci/receipts/{mark('receipt')}"))
        yield Case("session that is not there", 404, self.http("GET", f"/v1/aci/sessions/{mark('session')}"))
        yield Case("sessions of nobody", 200, self.http("GET", f"/v1/aci/sessions?upstream_name={mark('upstream')}&model={mark('model')}"))
        yield Case("health", 200, self.http("GET", f"/healthz?{mark('query')}"))
        yield Case("readiness", 503, self.http("GET", f"/readyz?{mark('query')}"))

    def provider(self) -> Iterator[Case]:
        ours = {429: 429, 400: 400, 413: 400, 422: 400}
        for status in marked.ECHOED:
            for stream in (False, True):
                yield Case(f"provider's {status}", ours.get(status, 502), self.chat(f"echo-{status}", stream=stream))
        good = {(False, "odd-answer"), (False, "whole-for-stream"), (True, "odd-stream"), (True, "stream-for-whole")}
        begun = {"cut-stream", "no-end-mark", "garbage-stream", "wrong-bytes", "error-event"}
        for name in marked.FORMS:
            for stream in (False, True):
                status = 200 if (stream, name) in good or (stream and name in begun) else 503 if name == "key-refused" else 502
                yield Case(f"{name}, {'streamed' if stream else 'whole'}", status, self.chat(name, stream=stream))
