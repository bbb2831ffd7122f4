"""JSON as writers write it, and as somebody would who wants to hide a text in it: any character escaped, texts inside of texts."""

import random

_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
# What stands around a match: what an escape ends with or is read as another sign, separators of numbers, more digits and letters.
_BESIDE = "nrtbfu0149 aZ,.:;-+/\\\"'\n\t\u2013\u2019\u00a0\u202f\u00e9\u4e2d\U0001f600@=()"
_WRITERS = ("plain", "plain", "ascii", "slashes", "any")
_FORMS = ('{"content":%s}', '{"a":[1,%s,2.5],"b":"c"}', "[%s,1]", '{"id":"chatcmpl-1","x":{"y": %s }}')
_AS_NAME = "{%s:null}"


def document(rng: random.Random, text: str) -> bytes:
    """A JSON document with `text` as a value in it, or as the name of a member; up to four texts deep, or as a number where it is one."""
    text = _beside(rng) + text + _beside(rng)
    for _ in range(rng.choice((0, 0, 1, 3))):
        text = _around(rng, text)
    return _around(rng, text).encode()


def _beside(rng: random.Random) -> str:
    return "".join(rng.choices(_BESIDE, k=rng.choice((0, 0, 1, 2, 4))))


def _around(rng: random.Random, text: str) -> str:
    if text.isascii() and text.isdigit() and text[0] != "0" and rng.random() < 0.5:
        return rng.choice(_FORMS) % text
    return rng.choice((*_FORMS, _AS_NAME)) % _written(rng, text)


def _written(rng: random.Random, text: str) -> str:
    writer = rng.choice(_WRITERS)
    return '"' + "".join(_character(rng, character, writer) for character in text) + '"'


def _character(rng: random.Random, character: str, writer: str) -> str:
    if (writer == "any" and rng.random() < 0.06) or (writer == "ascii" and ord(character) > 126):
        units = character.encode("utf-16-be").hex()
        units = units.upper() if rng.random() < 0.5 else units
        return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))
    if character == "/" and writer == "slashes":
        return "\\/"
    return _SHORT.get(character) or (character if character >= " " else f"\\u{ord(character):04x}")
