"""What a reserve knows of a request."""

import json
from typing import Any

import pytest

from ollm.gateway.figures import figures_of
from ollm.traffic.estimate import Figures
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.form import boundary_of, parse_form
from ollm.wire.request import parse_json


def of(endpoint: str = "chat.completions", **members: Any) -> Figures:
    body = json.dumps({"model": "demo", **members}).encode()
    return figures_of(parse_json(body, ENDPOINTS[endpoint]))


def test_text_counts_by_its_bytes_and_media_do_not() -> None:
    text = of(messages=[{"role": "user", "content": "x" * 1000}])
    assert 1000 < text.text_bytes < 1100
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 4000, "format": "wav"}}
    file = {"type": "file", "file": {"file_data": "A" * 50_000}}
    mixed = of(messages=[{"role": "user", "content": [{"type": "text", "text": "x" * 1000}, picture, picture, sound, file]}])
    assert 1000 < mixed.text_bytes < 1800
    assert (mixed.images, mixed.files) == (2, 1)
    assert 3000 <= mixed.audio_bytes < 3100


@pytest.mark.parametrize(
    ("members", "longest"),
    [
        ({}, None),
        ({"max_tokens": 7}, 7),
        ({"max_completion_tokens": 9, "max_tokens": 7}, 9),
        ({"max_tokens": None}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": "9"}, None),
        ({"max_tokens": 10**30}, None),
    ],
)
def test_how_long_an_answer_may_get(members: dict[str, Any], longest: int | None) -> None:
    assert of(messages=[], **members).max_tokens == longest


def test_several_answers_are_all_counted() -> None:
    assert of(messages=[], n=3).answers == 3
    assert of("completions", prompt="a", n=2, best_of=5).answers == 5
    assert of(messages=[], n=10**9).answers == 1024
    assert of("images.generations", prompt="a", n=4).images_made == 4


@pytest.mark.parametrize("endpoint", ["embeddings", "rerank", "moderations"])
def test_what_is_no_text_has_no_tokens_of_an_answer(endpoint: str) -> None:
    assert not of(endpoint, input="a", query="a", documents=["b"]).answers_with_tokens


def test_the_file_of_a_form_is_sound_or_a_picture() -> None:
    kind, mark = "multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data; name="
    parts = (b'"model"\r\n\r\ndemo', b'"prompt"\r\n\r\nhello', b'"file"; filename="f"\r\n\r\n' + b"s" * 5000)
    body = b"".join(mark + part + b"\r\n" for part in parts) + b"--b--\r\n"
    heard = figures_of(parse_form(body, kind, ENDPOINTS["audio.transcriptions"], boundary_of("0" * 32)))
    assert (heard.audio_bytes, heard.images, heard.answers_with_tokens) == (5000, 0, False)
    seen = figures_of(parse_form(body, kind, ENDPOINTS["images.edits"], boundary_of("0" * 32)))
    assert (seen.audio_bytes, seen.images, seen.images_made) == (0, 1, 1)
