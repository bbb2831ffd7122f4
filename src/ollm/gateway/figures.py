"""What a reserve needs to know of a request: sizes, counts, and how long an answer its client allows. Only asked where something limits them.

Texts are measured in bytes and media are counted, by what the parts of messages say that they are. Nothing is kept of either.
"""

from typing import Any

import msgspec

from ollm.traffic.estimate import Figures
from ollm.wire.form import FormRequest
from ollm.wire.request import InferenceRequest, JsonRequest

_IMAGES = {"image_url", "input_image", "image"}
_AUDIO = {"input_audio", "audio"}
_FILES = {"file", "input_file", "document", "video_url", "input_video", "video"}
_SAYS_TOKENS = {"chat.completions", "completions", "responses", "messages"}
_PICTURES = {"images.generations", "images.edits"}
_HEARD = {"audio.transcriptions", "audio.translations"}
_MAX_ANSWERS = 1024
_WALKED = ("messages", "input", "system", "documents")
_HOW_MANY = frozenset({"n", "best_of"})
_HOW_LONG = frozenset({"max_completion_tokens", "max_tokens", "max_output_tokens"})
_decode = msgspec.json.Decoder().decode


class _Media:
    """What a walk over a body found."""

    __slots__ = ("audio_bytes", "files", "images", "payload")

    def __init__(self) -> None:
        self.images = self.files = self.audio_bytes = 0
        self.payload = 0  # characters of media themselves, which are no text

    def walk(self, value: Any) -> None:
        if isinstance(value, list):
            for each in value:
                self.walk(each)
        elif isinstance(value, dict):
            kind = value.get("type")
            if kind in _IMAGES:
                self.images += 1
            elif kind in _AUDIO:
                self.audio_bytes += _length(value) * 3 // 4
            elif kind in _FILES:
                self.files += 1
            else:
                for each in value.values():
                    self.walk(each)
                return
            self.payload += _length(value)


_NO_MEDIA = _Media()  # of a body without any: never walked


def _length(value: Any) -> int:
    """Characters of the texts in `value`."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_length, value))
    return sum(map(_length, value.values())) if isinstance(value, dict) else 0


def figures_of(request: InferenceRequest) -> Figures:
    """The figures of a request that was parsed. What isn't a number where one is due counts as not said: the provider refuses it."""
    if isinstance(request, FormRequest):
        return _of_form(request)
    if not isinstance(request, JsonRequest):
        raise TypeError("a request of another form")
    return _of_json(request)


def _of_json(request: JsonRequest) -> Figures:
    members, name = request.members, request.endpoint.name
    media = _NO_MEDIA
    for raw in map(members.get, _WALKED):
        if raw is not None and b'"type"' in bytes(raw):
            media = _Media() if media is _NO_MEDIA else media
            media.walk(_decode(raw))
    answers = _largest(members, _HOW_MANY) or 1
    return Figures(
        text_bytes=max(0, request.text_bytes - media.payload),
        images=media.images,
        audio_bytes=media.audio_bytes,
        files=media.files,
        max_tokens=_largest(members, _HOW_LONG),  # nobody knows which of them a provider heeds
        answers=min(answers, _MAX_ANSWERS),
        answers_with_tokens=name in _SAYS_TOKENS,
        images_made=answers if name in _PICTURES else 0,
        characters=request.characters,
    )


def _of_form(request: FormRequest) -> Figures:
    name = request.endpoint.name
    files = [len(part.data) for part in request.parts if part.filename is not None]
    asked = next((part.data for part in request.parts if part.name == "n" and part.filename is None), b"1")
    answers = min(int(asked), _MAX_ANSWERS) if asked.isdigit() and len(asked) < 5 else 1
    return Figures(
        text_bytes=request.text_bytes,
        images=len(files) if name in _PICTURES else 0,
        audio_bytes=sum(files) if name in _HEARD else 0,
        answers=answers,
        answers_with_tokens=False,
        images_made=answers if name in _PICTURES else 0,
    )


def _largest(members: dict[str, msgspec.Raw], names: frozenset[str]) -> int | None:
    """The largest of the numbers that members of these names say; None where there is none."""
    largest = None
    for name in members.keys() & names:
        text = bytes(members[name])
        if text.isdigit() and len(text) < 19:
            largest = max(int(text), largest or 0)
    return largest
