"""How much a request can take at most, before anybody knows what it takes: what is reserved under a limit of tokens or under a budget.

Text has at most one token for two bytes in the tokenizers of models that are served here; media have fixed figures. The answer has what the
client allows it (`max_tokens`), or the most that the model can. The error of the estimate is given back when the request is settled.
"""

from typing import Literal, TypeAlias

import msgspec

from ollm.traffic.charges import MOST, Load
from ollm.traffic.price import highest_micro
from ollm.values.price import Price

_AUDIO_BYTES_PER_MS = 2  # of speech that is compressed to 16 kbit/s: what is less compressed is shorter

Lack: TypeAlias = Literal["max_tokens", "price", "size"]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What can be told of a request without reading its content. Absent media are 0."""

    text_bytes: int
    images: int = 0
    audio_bytes: int = 0
    audio_seconds: int = 0
    files: int = 0
    max_tokens: int | None = None  # what the client allows each answer; None: it didn't say
    answers: int = 1  # `n`, or `best_of` where it is larger
    answers_with_tokens: bool = True  # False: embeddings and the like, whose answer has none
    images_made: int = 0  # that are asked for
    characters: int = 0  # that are to be spoken


class MediaTokens(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Tokens that a medium is taken for, at most.

    Images: OpenAI's detail "high" has 85 tokens and 170 for each of at most 8 tiles that its resizing leaves, 1,445; newer models count patches
    and end at 1,536; Anthropic ends at about 1,600; Qwen's models go higher by default, to 16,384 for the largest of pictures, and their
    operators set this figure for themselves.
    """

    image: int = 2_048
    audio_second: int = 50  # whisper's encoder has 50 frames a second; chat models have fewer
    audio_bytes_per_token: int = 32  # compressed speech of 16 kbit/s and more: 2,000 bytes a second
    file: int = 65_536  # a document of a hundred pages


_MEDIA = MediaTokens()


class Unestimated(msgspec.Struct, frozen=True):
    """No upper bound can be told; `lack` says what is missing, `message` says it to the client."""

    lack: Lack
    message: str


def input_tokens(figures: Figures, media: MediaTokens) -> int:
    """Tokens that go in, at most."""
    text = -(-figures.text_bytes // 2)
    if not (figures.images or figures.audio_seconds or figures.audio_bytes or figures.files):
        return text
    return (
        text
        + figures.images * media.image
        + figures.audio_seconds * media.audio_second
        + -(-figures.audio_bytes // media.audio_bytes_per_token)
        + figures.files * media.file
    )


def estimate(
    figures: Figures, price: Price | None, max_output: int | None, *, tokens: bool, money: bool, media: MediaTokens = _MEDIA
) -> Load | Unestimated:
    """The most that the request can take.

    `price` and `max_output` (tokens) are the model's; None: unknown, which is not 0. `tokens` and `money` say whether anything above the request
    limits them: what nobody limits needs no bound, and counts as 0 where it has none.
    """
    going_in = input_tokens(figures, media)
    each = _each_answer(figures, max_output)
    if each is None:
        if tokens or money:
            return Unestimated(
                "max_tokens", "A limit of tokens or money holds for this key, and this model's longest answer isn't known: send max_tokens."
            )
        each = 0
    coming_out = each * figures.answers
    micro = 0
    if price is not None:
        audio_ms = figures.audio_seconds * 1000 + figures.audio_bytes // _AUDIO_BYTES_PER_MS
        micro = highest_micro(price, going_in, coming_out, images=figures.images_made, audio_ms=audio_ms, characters=figures.characters)
    elif money:
        return Unestimated("price", "A budget holds for this key, and this model has no price: its operator has to set one.")
    load = Load(tokens=going_in + coming_out, micro=micro)
    if load.tokens > MOST or load.micro > MOST:
        return Unestimated("size", "max_tokens, or the number of answers, is larger than any limit: send less.")
    return load


def _each_answer(figures: Figures, max_output: int | None) -> int | None:
    """Tokens of one answer at most. A model doesn't say more than it can, whatever a client allows it."""
    if not figures.answers_with_tokens:
        return 0
    if figures.max_tokens is None:
        return max_output
    return figures.max_tokens if max_output is None else min(figures.max_tokens, max_output)
