"""What a whole answer used: counts of the provider, its tier, and what is counted in the body."""

import json

import msgspec
import pytest

from ollm.values.usage import Usage
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.metering import used

DATA = [{"b64_json": "x"}, {"b64_json": "y"}]


@pytest.mark.parametrize(
    ("endpoint", "answer", "usage"),
    [
        ("chat.completions", {"usage": {"prompt_tokens": 1}, "service_tier": "flex"}, Usage(input_tokens=1, tier="flex")),
        ("chat.completions", {"usage": None}, None),
        ("chat.completions", {"duration": 3}, None),
        ("responses", {"usage": {"input_tokens": 1}, "service_tier": "priority"}, Usage(input_tokens=1, tier="priority")),
        ("messages", {"usage": {"input_tokens": 1, "service_tier": "batch"}}, Usage(input_tokens=1, tier="batch")),
        ("images.generations", {"data": DATA}, Usage(images=2)),
        (
            "images.generations",
            {"data": DATA, "usage": {"input_tokens": 1, "output_tokens": 5}},
            Usage(input_tokens=1, image_output_tokens=5, images=2),
        ),
        ("images.edits", {"data": []}, None),
        ("embeddings", {"data": DATA}, None),
        ("audio.transcriptions", {"text": "x", "duration": 2.5}, Usage(audio_ms=2500)),
        ("audio.transcriptions", {"usage": {"type": "duration", "seconds": 3}, "duration": 2.5}, Usage(audio_ms=3000)),
        ("audio.translations", {"duration": 2}, Usage(audio_ms=2000)),
    ],
)
def test_used(endpoint: str, answer: object, usage: Usage | None) -> None:
    members = msgspec.json.decode(json.dumps(answer), type=dict[str, msgspec.Raw])
    assert used(ENDPOINTS[endpoint], members) == usage
