"""Requests that two servers could read differently, or that are none: one request in, at most one call of the application.

Written from the checklists of RFC 9112 §11 and of the request smuggling literature; every payload is sent on a raw socket.
"""

import pytest

from tests.serving.client import ACI, Recorder, connect, error_code, parse_answers, serving, talk

HOST = b"Host: a\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def post(*headers: bytes, body: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\n" + b"".join(header + b"\r\n" for header in headers) + b"\r\n" + body


REFUSED = {
    # two lengths
    "te-and-cl": (post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"0\r\n\r\n" + SMUGGLED), 400),
    "cl-and-te": (post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED), 400),
    "cl-twice-differing": (post(b"Content-Length: 0", b"Content-Length: 35", body=SMUGGLED), 400),
    "cl-twice-equal": (post(b"Content-Length: 3", b"Content-Length: 3", body=b"abc"), 400),
    "cl-list": (post(b"Content-Length: 3, 3", body=b"abc"), 400),
    "cl-plus": (post(b"Content-Length: +3", body=b"abc"), 400),
    "cl-minus": (post(b"Content-Length: -3", body=b"abc"), 400),
    "cl-hex": (post(b"Content-Length: 0x3", body=b"abc"), 400),
    "cl-empty": (post(b"Content-Length:", body=b"abc"), 400),
    "cl-inner-space": (post(b"Content-Length: 3 3", body=b"abc"), 400),
    "cl-overflow": (post(b"Content-Length: 18446744073709551619", body=b"abc"), 400),
    # transfer encodings
    "te-gzip": (post(b"Transfer-Encoding: gzip", body=b"abc"), 501),
    "te-gzip-chunked": (post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
    "te-chunked-gzip": (post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), 400),
    "te-chunked-chunked": (post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), 400),
    "te-twice": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    "te-twice-identity": (post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"), 400),
    "te-identity": (post(b"Transfer-Encoding: identity", body=b"abc"), 501),
    "te-lookalike": (post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), 501),
    "te-vertical-tab": (post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"), 400),
    "te-empty": (post(b"Transfer-Encoding:", body=b"0\r\n\r\n"), 400),
    "te-folded": (post(b"Transfer-Encoding:\r\n chunked", b"Content-Length: 4", body=b"0\r\n\r\n"), 400),
    "te-space-before-colon": (post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"), 400),
    # line ends and white space
    "bare-lf-line": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare-lf-header": (b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    "bare-lf-end": (b"GET / HTTP/1.1\r\nHost: a\r\n\n" + SMUGGLED, 400),
    "bare-cr-in-value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", 400),
    "bare-cr-end": (b"GET / HTTP/1.1\r\nHost: a\r\n\r" + SMUGGLED, 400),
    "folded-header": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    "folded-with-tab": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n", 400),
    "space-before-first-header": (b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "space-before-colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "tab-after-method": (b"GET\t/ HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "space-after-version": (b"GET / HTTP/1.1 \r\n" + HOST + b"\r\n", 400),
    # header names and values
    "empty-name": (b"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n", 400),
    "no-colon": (b"GET / HTTP/1.1\r\nHost: a\r\nfoo\r\n\r\n", 400),
    "name-not-token": (b"GET / HTTP/1.1\r\nHost: a\r\nX(: b\r\n\r\n", 400),
    "name-not-ascii": (b"GET / HTTP/1.1\r\nHost: a\r\nX\xff: b\r\n\r\n", 400),
    "nul-in-value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n", 400),
    "control-in-value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x01c\r\n\r\n", 400),
    "delete-in-value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x7fc\r\n\r\n", 400),
    # host
    "no-host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "host-twice": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "host-empty": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "host-with-path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "host-with-user": (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "host-list": (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    "host-bad-port": (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400),
    # request line
    "method-lowercase": (b"get / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "method-unknown": (b"FOO / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "method-not-token": (b"G(T / HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "method-of-other-protocols": (b"M-SEARCH / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "trace": (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "connect": (b"CONNECT a:80 HTTP/1.1\r\n" + HOST + b"\r\n", 501),
    "absolute-form": (b"GET http://a/b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "asterisk-form": (b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "target-not-ascii": (b"GET /\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "query-not-ascii": (b"GET /?q=\xc3\xa9 HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "target-control": (b"GET /a\x01b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "target-nul": (b"GET /a\x00b HTTP/1.1\r\n" + HOST + b"\r\n", 400),
    "target-long": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "http-0.9": (b"GET /\r\n\r\n", 505),
    "http-1.0": (b"GET / HTTP/1.0\r\n" + HOST + b"\r\n", 505),
    "http-1.2": (b"GET / HTTP/1.2\r\n" + HOST + b"\r\n", 400),
    "http-2.0": (b"GET / HTTP/2.0\r\n" + HOST + b"\r\n", 505),
    "http-2-preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "rtsp": (b"GET / RTSP/1.0\r\n" + HOST + b"\r\n", 505),
    "not-http": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),  # a TLS ClientHello on the plain port
    # others
    "upgrade-websocket": (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + SMUGGLED, 400),
    "upgrade-h2c": (
        post(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk", b"Content-Length: 2", body=b"{}"),
        400,
    ),
    "expect-other": (post(b"Expect: 200-ok", b"Content-Length: 2", body=b"{}"), 417),
    "too-many-headers": (post(*[b"X-%d: y" % i for i in range(100)]), 431),
    "too-large-headers": (post(b"X: " + b"y" * 40_000), 431),
    "too-large-headers-in-sum": (post(*[b"X-%d: %s" % (i, b"y" * 700) for i in range(60)]), 431),
}

BROKEN_BODIES = {
    "chunk-size-bare-lf": CHUNKED + b"1\na\r\n0\r\n\r\n",
    "chunk-data-bare-lf": CHUNKED + b"1\r\na\n0\r\n\r\n",
    "chunk-size-space": CHUNKED + b"1 \r\na\r\n0\r\n\r\n",
    "chunk-size-0x": CHUNKED + b"0x1\r\na\r\n0\r\n\r\n",
    "chunk-size-negative": CHUNKED + b"-1\r\na\r\n0\r\n\r\n",
    "chunk-size-underscore": CHUNKED + b"1_0\r\na\r\n0\r\n\r\n",
    "chunk-size-overflow": CHUNKED + b"10000000000000001\r\na\r\n0\r\n\r\n",
    "chunk-size-empty": CHUNKED + b"\r\na\r\n0\r\n\r\n",
    "chunk-longer-than-said": CHUNKED + b"1\r\nabc\r\n0\r\n\r\n" + SMUGGLED,
    "chunk-extension-bare-cr": CHUNKED + b"1;a\rb\r\na\r\n0\r\n\r\n",
    "chunk-extension-bare-lf": CHUNKED + b"1;a\nb\r\na\r\n0\r\n\r\n" + SMUGGLED,
    "chunk-last-bare-lf": CHUNKED + b"1\r\na\r\n0\n\n" + SMUGGLED,
    "trailer-folded": CHUNKED + b"1\r\na\r\n0\r\nX: y\r\n z\r\n\r\n",
    "trailer-endless": CHUNKED + b"1\r\na\r\n0\r\nX: " + b"y" * 1_000_000,
    "chunk-extension-endless": CHUNKED + b"1;a=" + b"y" * 1_000_000,
}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_below_the_application(name: str) -> None:
    payload, status = REFUSED[name]
    app = Recorder()
    async with serving(app) as server:
        answers = parse_answers(await talk(server, payload))
    assert [answer[0] for answer in answers] == [status]
    _, headers, body = answers[0]
    assert error_code(body)
    assert headers["connection"] == "close"
    assert headers["x-request-id"].startswith("req_") and headers["x-aci-version"] == ACI[0][1].decode()
    assert headers["content-type"] == "application/json"
    assert headers.get("x-should-retry") == ("false" if status < 500 else None)
    assert not {"date", "server"} & set(headers)
    assert app.calls == [] and app.scopes == []


@pytest.mark.parametrize("name", BROKEN_BODIES)
async def test_a_broken_body_ends_the_request_and_the_connection(name: str) -> None:
    app = Recorder()
    async with serving(app) as server:
        answers = parse_answers(await talk(server, BROKEN_BODIES[name]))
    assert [answer[0] for answer in answers] == [400]
    assert error_code(answers[0][2]) == "bad_http_request"
    assert app.calls == [] and len(app.scopes) <= 1  # it may have begun, but never gets a whole body


ACCEPTED = {
    "plain": (b"GET /a?b=c HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ("GET", "/a", b"")),
    "content-length": (post(b"Content-Length: 3", b"Connection: close", body=b"abc"), ("POST", "/", b"abc")),
    "leading-zeros": (post(b"Content-Length: 003", b"Connection: close", body=b"abc"), ("POST", "/", b"abc")),
    "chunked": (post(b"Transfer-Encoding: chunked", b"Connection: close", body=b"1\r\na\r\n2;x=y\r\nbc\r\n0\r\n\r\n"), ("POST", "/", b"abc")),
    "chunked-uppercase": (post(b"Transfer-Encoding: Chunked", b"Connection: close", body=b"1\r\na\r\n0\r\n\r\n"), ("POST", "/", b"a")),
    "body-with-get": (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi", ("GET", "/", b"hi")),
    "percent-encoded": (b"GET /a%2Fb%20%C3%A9 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ("GET", "/a/b \u00e9", b"")),
    "host-ipv6": (b"GET / HTTP/1.1\r\nHost: [::1]:8400\r\nConnection: close\r\n\r\n", ("GET", "/", b"")),
    "empty-lines-first": (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", ("GET", "/", b"")),
    "latin-1-value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\nConnection: close\r\n\r\n", ("GET", "/", b"")),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_ordinary_requests_reach_the_application_once(name: str) -> None:
    payload, call = ACCEPTED[name]
    app = Recorder()
    async with serving(app) as server:
        answers = parse_answers(await talk(server, payload + SMUGGLED))  # what follows "Connection: close" is no request
    assert [answer[0] for answer in answers] == [200]
    assert app.calls == [call]


async def test_any_split_of_a_request_is_the_same_request() -> None:
    payload = post(b"Transfer-Encoding: chunked", b"X-Custom: value", b"Connection: close", body=b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")
    app = Recorder()
    async with serving(app) as server:
        whole = await talk(server, payload)
        assert app.calls == [("POST", "/", b"hello!")]
        async with connect(server) as client:
            for index in range(len(payload)):
                await client.send(payload[index : index + 1])
            assert parse_answers(await client.read_all())[0][0] == parse_answers(whole)[0][0]
    assert app.calls[0] == app.calls[1] and app.scopes[0]["headers"] == app.scopes[1]["headers"]


async def test_trailers_never_become_headers() -> None:
    app = Recorder()
    payload = post(b"Transfer-Encoding: chunked", b"Connection: close", body=b"1\r\na\r\n0\r\nAuthorization: Bearer x\r\nHost: b\r\n\r\n")
    async with serving(app) as server:
        await talk(server, payload)
    assert app.calls == [("POST", "/", b"a")]
    assert [name for name, _ in app.scopes[0]["headers"]] == [b"host", b"transfer-encoding", b"connection"]


async def test_a_refusal_waits_for_the_answers_before_it() -> None:
    app = Recorder()
    good = b"POST /one HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"
    async with serving(app) as server:
        answers = parse_answers(await talk(server, good + good + b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"))
    assert [(status, body) for status, _, body in answers[:2]] == [(200, b'{"call":1}'), (200, b'{"call":2}')]
    assert answers[2][0] == 400 and len(answers) == 3
    assert len(app.calls) == 2


async def test_a_broken_pipelined_body_leaves_the_answers_before_it_whole() -> None:
    app = Recorder()
    async with serving(app) as server:
        answers = parse_answers(await talk(server, b"GET /one HTTP/1.1\r\nHost: a\r\n\r\n" + CHUNKED + b"x\r\n"))
    assert [status for status, _, _ in answers] == [200, 400]
    assert app.calls == [("GET", "/one", b"")]


async def test_pipelined_requests_are_answered_in_order_and_bounded() -> None:
    app = Recorder()
    requests = [b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % index for index in range(100)]
    async with serving(app) as server:
        few = parse_answers(await talk(server, b"".join(requests[:16]) + b"GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
        assert [body for _, _, body in few] == [b'{"call":%d}' % (index + 1) for index in range(17)]
        assert [path for _, path, _ in app.calls] == [f"/{index}" for index in range(16)] + ["/end"]
        many = parse_answers(await talk(server, b"".join(requests)))
    assert many[-1][0] == 400 and error_code(many[-1][2]) == "too_many_pipelined_requests"
    assert all(status == 200 for status, _, _ in many[:-1])
