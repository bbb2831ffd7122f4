"""Forms: what is judged is what is sent on. The standard library's reader of messages is the second opinion."""

import json
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import WireError
from ollm.testing.providers.every_endpoint import Field, form
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.form import MAX_FIELD, MAX_PARTS, FormRequest, boundary_of, parse_form

HEARD = ENDPOINTS["audio.transcriptions"]
EDIT = ENDPOINTS["images.edits"]
TYPE = "multipart/form-data; boundary=abc"
STEM = "0123456789ab" + "5a" * 10
CANARY = "canary-0815"


def part(name: str = "model", data: bytes = b"demo", *, more: str = "", head: str = "") -> bytes:
    return f'--abc\r\nContent-Disposition: form-data; name="{name}"{more}\r\n{head}\r\n'.encode() + data + b"\r\n"


def body(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--abc--\r\n"


FILE = part("file", b"\x00sound", more='; filename="a.wav"', head="Content-Type: audio/wav\r\n")


def parsed(data: bytes, endpoint: Any = HEARD, kind: str = TYPE) -> FormRequest:
    return parse_form(data, kind, endpoint, boundary_of(STEM))


def test_routing_fields_are_read_and_the_rest_is_kept() -> None:
    request = parsed(body(part(), FILE, part("stream", b"true"), part("response_format", b"srt")))
    assert (request.model, request.stream, request.text) == ("demo", True, True)
    assert form(request.forward("theirs"), request.content_type) == {
        "model": Field(None, b"theirs"),
        "file": Field("a.wav", b"\x00sound"),
        "stream": Field(None, b"true"),
        "response_format": Field(None, b"srt"),
    }


def test_what_a_real_client_writes_is_read() -> None:
    sent = httpx2.Request(
        "POST",
        "http://x",
        data={"model": "demo", "timestamp_granularities[]": ["word", "segment"], "prompt": "ünïcode"},
        files={"file": ("Befund Müller.wav", b"\r\n--abc\r\n" + bytes(range(256)), "audio/wav")},
    )
    request = parsed(sent.read(), kind=sent.headers["content-type"])
    assert [(one.name, one.filename) for one in request.parts] == [
        ("model", None),
        ("timestamp_granularities[]", None),
        ("timestamp_granularities[]", None),
        ("prompt", None),
        ("file", "Befund Müller.wav".encode()),
    ]
    assert form(request.forward("m"), request.content_type)["file"].data == b"\r\n--abc\r\n" + bytes(range(256))


def test_names_beyond_ascii_in_rfc_5987() -> None:
    request = parsed(body(part(), part("file", b"x", more="; filename*=UTF-8''R%C3%B6ntgen.wav")))
    assert request.parts[1].filename == "Röntgen.wav".encode()
    with pytest.raises(WireError):
        parsed(body(part(), part("file", b"x", more="; filename*=UTF-8''a%22%0d%0ab")))


def test_an_empty_part_is_a_part() -> None:
    assert parsed(body(part(), part("prompt", b""))).parts[1].data == b""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"--abc--\r\n",
        part(),
        part() + b"--abc",
        body(part())[:-4],
        body(part()) + b"x",
        body(part()) + part("model", b"other"),
        b"preamble\r\n" + body(part()),
        b"\r\n" + body(part()),
        body(part(), part("model", b"other")),
        body(part("model", b"demo", more='; filename="m"')),
        body(part(more='; filename="a\\"b"')),
        body(part("mo\\del")),
        body(part(head="Content-Transfer-Encoding: base64\r\n")),
        body(part(head='Content-Disposition: form-data; name="model"\r\n')),
        body(part(head="Content-Type: text/plain\r\nContent-Type: text/plain\r\n")),
        body(part(head="Content-Type: application/octet-stream\r\n")),
        body(part(head="X: " + "y" * 5000 + "\r\n")),
        body(part(head=" folded\r\n")),
        body(part("stream", b"true"), part("stream", b"false"), part()),
        body(part(), part("stream", b"maybe")),
        body(part("model", b"\xff")),
        body(part("model", b"")),
        body(part("model", b"m" * 257)),
        body(part(), part("prompt", bytes(MAX_FIELD + 1))),
        body(*[part(f"f{at}") for at in range(MAX_PARTS + 1)], part()),
        body(part(), part("provider", b'{"aci_verified":false}')),
        body(part(), part("file", b"--" + boundary_of(STEM).encode(), more='; filename="a"')),
        body(part()).replace(b"\r\n", b"\n"),
    ],
)
def test_what_readers_could_take_differently_is_refused(data: bytes) -> None:
    with pytest.raises(WireError) as refused:
        parsed(data)
    assert "demo" not in refused.value.reason


@pytest.mark.parametrize(
    "kind",
    [
        "",
        "multipart/form-data",
        "multipart/mixed; boundary=abc",
        "application/json",
        "multipart/form-data; boundary=abc; boundary=def",
        'multipart/form-data; boundary="a c"',
        "multipart/form-data; charset=utf-16; boundary=abc",
        "multipart/form-data; boundary=" + "a" * 71,
    ],
)
def test_the_content_type_names_one_plain_boundary(kind: str) -> None:
    with pytest.raises(WireError):
        parsed(body(part()), kind=kind)


def test_a_picture_behind_a_url_would_be_kept() -> None:
    with pytest.raises(WireError) as refused:
        parsed(body(part(), part("response_format", b"url")), EDIT)
    assert refused.value.param == "response_format"


def test_it_shows_nothing_of_its_content() -> None:
    request = parsed(body(part(), part("prompt", CANARY.encode()), part("file", CANARY.encode(), more=f'; filename="{CANARY}"')))
    assert CANARY not in repr(request) + str(request) + repr(request.parts)


@given(st.lists(st.tuples(st.sampled_from(["prompt", "language", "file"]), st.binary(max_size=40)), max_size=6))
def test_what_is_sent_on_reads_the_same_elsewhere(fields: list[tuple[str, bytes]]) -> None:
    parts = [part(f"{name}{at}[]", data, more='; filename="f"') for at, (name, data) in enumerate(fields)]
    try:
        request = parsed(body(*parts, part()))
    except WireError:
        assert any(b"--abc" in data for _, data in fields)
        return
    again = form(request.forward("demo"), request.content_type)
    assert [again[f"{name}{at}[]"].data for at, (name, _) in enumerate(fields)] == [data for _, data in fields]


@given(st.binary(max_size=200), st.integers(0, 200))
def test_damage_is_refused_or_read_and_nothing_else_happens(noise: bytes, at: int) -> None:
    whole = body(part(), FILE)
    try:
        request = parsed(whole[:at] + noise + whole[at + len(noise) :])
    except WireError:
        return
    json.dumps(request.model)
    request.forward("theirs")


def test_a_form_without_a_model_is_for_the_default() -> None:
    request = parse_form(body(FILE), TYPE, HEARD, boundary_of(STEM), "ears")
    assert request.model == "ears"
    assert form(request.forward("theirs"), request.content_type)["model"] == Field(None, b"theirs")
    with pytest.raises(WireError):
        parsed(body(FILE))
