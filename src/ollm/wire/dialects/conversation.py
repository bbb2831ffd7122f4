"""A request as every API can say it: turns, tools and settings. Readers make it from a client's, writers make a provider's from it.

Each part knows how the client named it (`at`), so that a writer that can't carry it over refuses it by the client's own word.
"""

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from ollm.errors import WireError
from ollm.values.secret import Hidden
from ollm.wire.dialects.fields import Option

SYSTEM, USER, ASSISTANT = "system", "user", "assistant"


class Text(Hidden, frozen=True):
    text: str
    at: str = ""


class Refusal(Hidden, frozen=True):
    """The assistant's word that it won't answer."""

    text: str
    at: str = ""


class Blob(Hidden, frozen=True):
    """An image or a file: base64 text `data` of type `media`, or, without one, the URL that `data` is."""

    data: str
    media: str | None
    at: str

    @property
    def url(self) -> str:
        """The URL, made of the data if need be (RFC 2397)."""
        return self.data if self.media is None else f"data:{self.media};base64,{self.data}"


def linked(url: str, at: str) -> Blob:
    """What a URL stands for: data in itself, or a place. Raises: WireError for other kinds of URL."""
    if url.startswith(("https://", "http://")):
        return Blob(url, None, at)
    head, comma, data = url.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise WireError("the URL must begin with https:// or http://, or have its data in base64", at)
    return Blob(data, head[len("data:") : -len(";base64")], at)


class Image(Hidden, frozen=True):
    blob: Blob
    detail: Option | None = None  # how closely it is to be looked at; None: as the provider likes

    @property
    def at(self) -> str:
        return self.blob.at


class File(Hidden, frozen=True):
    blob: Blob
    name: str | None = None

    @property
    def at(self) -> str:
        return self.blob.at


class Call(Hidden, frozen=True):
    """The assistant called a tool. `arguments` is JSON text, byte for byte as it came."""

    id: str
    name: str
    arguments: str
    at: str = ""


class Result(Hidden, frozen=True):
    """What a tool answered. `failed`: the client marked it as an error."""

    call: str
    parts: "tuple[Text | Image | File, ...]"
    at: str
    failed: bool = False


Part: TypeAlias = Text | Refusal | Image | File | Call | Result


class Turn(Hidden, frozen=True):
    role: str
    parts: tuple[Part, ...]
    at: str


class Tool(Hidden, frozen=True):
    name: str
    description: str | None
    schema: msgspec.Raw | None
    strict: bool | None
    at: str


class Choice(Hidden, frozen=True):
    """Whether tools are to be called: auto, none, required, or the one that `tool` names."""

    mode: str
    tool: str | None = None


class Format(Hidden, frozen=True):
    """A JSON answer; of a schema, unless that is None."""

    schema: msgspec.Raw | None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Conversation(Hidden, frozen=True):
    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...]
    options: Mapping[str, Option]  # what was set; the names are those of the writers' tables
    most: int | None = None  # tokens that the model can answer with, where that is known

    def value(self, name: str) -> object:
        """The value of a setting, or None."""
        option = self.options.get(name)
        return None if option is None else option.value


def checked_object(text: str, at: str) -> msgspec.Raw:
    """`text` as the JSON object that it must be, byte for byte. Raises: WireError."""
    try:
        msgspec.json.decode(text or "{}", type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError):
        raise WireError("the arguments of a tool call must be one JSON object", at) from None
    return msgspec.Raw((text or "{}").encode())
