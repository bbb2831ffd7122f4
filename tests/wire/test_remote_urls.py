"""Which members of a request name something that has to be fetched, in every API's words for it, and which only look like it."""

import json
from typing import Any

import pytest

from ollm.wire.endpoints import CHAT, ENDPOINTS
from ollm.wire.form import FormRequest, parse_form
from ollm.wire.remote_urls import Place, remote_url
from ollm.wire.request import parse_json

PICTURE = "https://pictures.example/secret.png"
INLINE = "data:image/png;base64,iVBORw0KGgo="


def found(endpoint: str, **members: Any) -> Place | None:
    return remote_url(parse_json(json.dumps({"model": "m", **members}).encode(), ENDPOINTS[endpoint]))


def user(*content: Any) -> list[dict[str, Any]]:
    return [{"role": "system", "content": "Read https://a.example/ and answer."}, {"role": "user", "content": list(content)}]


TEXT = {"type": "text", "text": PICTURE}


@pytest.mark.parametrize(
    ("endpoint", "members", "param"),
    [
        ("chat.completions", {"messages": user(TEXT, {"type": "image_url", "image_url": {"url": PICTURE}})}, "messages[1].content[1].image_url.url"),
        ("chat.completions", {"messages": user({"type": "image_url", "image_url": PICTURE})}, "messages[1].content[0].image_url"),
        ("chat.completions", {"messages": user({"type": "video_url", "video_url": {"url": PICTURE}})}, "messages[1].content[0].video_url.url"),
        ("chat.completions", {"messages": user({"type": "file", "file": {"file_data": PICTURE}})}, "messages[1].content[0].file.file_data"),
        ("chat.completions", {"messages": user({"type": "image", "image": PICTURE})}, "messages[1].content[0].image"),
        ("chat.completions", {"messages": user({"type": "x", "secretUrl": PICTURE})}, "messages[1].content[0]"),
        ("chat.completions", {"messages": user({"type": "x", "mine": {"file_uri": "gs://b/o"}})}, "messages[1].content[0]"),
        ("chat.completions", {"messages": [{"role": "tool", "content": [{"image_url": {"url": PICTURE}}]}]}, "messages[0].content[0].image_url.url"),
        ("chat.completions", {"messages": user(), "secret_url": PICTURE}, None),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": PICTURE}]}]}, "input[0].content[0].image_url"),
        ("responses", {"input": [{"role": "user", "content": [{"type": "input_file", "file_url": PICTURE}]}]}, "input[0].content[0].file_url"),
        ("responses", {"input": [{"type": "computer_call_output", "output": {"image_url": PICTURE}}]}, "input[0].output.image_url"),
        ("responses", {"input": "hello", "tools": [{"type": "mcp", "server_url": "https://mcp.example/sse"}]}, "tools[0].server_url"),
        ("messages", {"messages": user({"type": "image", "source": {"type": "url", "url": PICTURE}})}, "messages[1].content[0].source.url"),
        (
            "messages",
            {"messages": user({"type": "tool_result", "content": [{"type": "document", "source": {"type": "url", "url": PICTURE}}]})},
            "messages[1].content[0].content[0].source.url",
        ),
        ("messages", {"messages": user(), "mcp_servers": [{"type": "url", "url": "https://mcp.example"}]}, "mcp_servers[0].url"),
        ("messages.count_tokens", {"messages": user({"type": "image", "source": {"url": PICTURE}})}, "messages[1].content[0].source.url"),
        ("moderations", {"input": [{"type": "image_url", "image_url": {"url": PICTURE}}]}, "input[0].image_url.url"),
        ("embeddings", {"input": [{"image": PICTURE}]}, "input[0].image"),
        ("rerank", {"query": "q", "documents": ["https://a.example", {"image": PICTURE}]}, "documents[1].image"),
        ("images.generations", {"prompt": PICTURE, "images": [INLINE, PICTURE]}, "images[1]"),
        ("images.generations", {"prompt": "p", "image_urls": [INLINE, PICTURE]}, None),
    ],
)
def test_what_has_to_be_fetched_is_found_and_named(endpoint: str, members: dict[str, Any], param: str | None) -> None:
    place = found(endpoint, **members)
    assert place == Place(param)
    assert "secret" not in (place.param or "")


@pytest.mark.parametrize(
    "url",
    [
        "http://a.example",
        "HTTPS://a.example",
        " \t\nhttps://a.example",
        "https:/a.example",
        "https:a.example",
        "//a.example/p.png",
        "\\\\a.example\\p",
        "file:///etc/passwd",
        "s3://bucket/o",
        "datá:x",
    ],
)
def test_every_spelling_of_a_url_is_one(url: str) -> None:
    assert found("chat.completions", messages=user({"type": "image_url", "image_url": {"url": url}})) is not None


@pytest.mark.parametrize("url", [INLINE, "DATA:image/png;base64,AA==", " data:,a", "", None])
def test_what_is_brought_along_passes(url: str | None) -> None:
    part = {"type": "image_url", "image_url": {"url": url, "detail": "low"}}
    assert found("chat.completions", messages=user(part), images=[url]) is None


@pytest.mark.parametrize(
    "members",
    [
        {"messages": user(TEXT)},
        {"messages": [{"role": "user", "content": PICTURE}]},
        {"messages": user({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}})},
        {"messages": user({"type": "document", "source": {"type": "text", "data": PICTURE}})},
        {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "1", "name": "get", "input": {"url": PICTURE}}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "get", "arguments": json.dumps({"url": PICTURE})}}]}]},
        {"messages": [{"role": "assistant", "annotations": [{"type": "url_citation", "url_citation": {"url": PICTURE}}]}]},
        {"messages": user({"type": "web_search_tool_result", "content": [{"type": "web_search_result", "url": PICTURE}]})},
        {"input": [{"type": "web_search_call", "action": {"type": "open_page", "url": PICTURE}}]},
        {"messages": user(), "tools": [{"function": {"parameters": {"properties": {"url": {"type": "string"}}, "examples": [{"url": PICTURE}]}}}]},
        {"messages": user(), "metadata": {"callback_url": PICTURE}},
        {"messages": user({"type": 5, "n": 1e400, "m": 10**300, "type_": True})} | {"big": 1},
    ],
    ids=lambda members: json.dumps(members)[-60:],
)
def test_what_nobody_fetches_passes(members: dict[str, Any]) -> None:
    body = json.dumps({"model": "m", **members}).replace("Infinity", "1e400").encode()
    assert remote_url(parse_json(body, CHAT)) is None


def form(name: str, value: str, filename: str = "") -> FormRequest:
    named = f'; filename="{filename}"' if filename else ""
    fields = (
        f'--edge\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--edge\r\ncontent-disposition: form-data; name="{name}"{named}\r\n\r\n'
    )
    endpoint = ENDPOINTS["images.edits"]
    return parse_form((fields + value + "\r\n--edge--\r\n").encode(), "multipart/form-data; boundary=edge", endpoint, "ours")


@pytest.mark.parametrize(
    ("name", "value", "param"),
    [
        ("image", PICTURE, "image"),
        ("image[]", PICTURE, "image"),
        ("url", PICTURE, "url"),
        ("url", "a.example/x", "url"),
        ("secret", PICTURE, None),
        ("images", json.dumps([{"image_url": PICTURE}]), "images"),
        ("images", json.dumps([PICTURE]), "images"),
    ],
)
def test_fields_of_forms_are_looked_at(name: str, value: str, param: str | None) -> None:
    assert remote_url(form(name, value)) == Place(param)


@pytest.mark.parametrize(
    ("name", "value", "filename"),
    [
        ("image", PICTURE, "a.png"),
        ("prompt", PICTURE, ""),
        ("image", INLINE, ""),
        ("known_speaker_references[]", INLINE, ""),
        ("language", "en", ""),
        ("temperature", "0.5", ""),
        ("chunking_strategy", '{"type":"server_vad"}', ""),
        ("image", "[" * 5000, ""),
    ],
)
def test_files_and_other_fields_pass(name: str, value: str, filename: str) -> None:
    assert remote_url(form(name, value, filename)) is None


def test_a_body_that_cant_be_looked_into_is_refused() -> None:
    class Other:
        pass

    assert remote_url(Other()) == Place(None)  # type: ignore[arg-type]  # a form of body that isn't known yet
