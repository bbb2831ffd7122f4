"""The inference endpoints: where each is, what its bodies look like, and what is forced or refused on it. Data, read by all of the path.

A new endpoint is one entry here. What no entry says passes through byte for byte.

Sources: OpenAI's OpenAPI document; Anthropic's Messages API; Cohere's and Jina's rerank, which vLLM and others serve as /v1/rerank.
"""

from collections.abc import Callable, Mapping

import msgspec

from ollm.values.usage import Tier, Usage
from ollm.wire.rules import NO_RULES, BodyRules
from ollm.wire.usage import Raw, chat_usage, images_usage, messages_usage, speech_usage, typed_usage

_ELSEWHERE = "this gateway keeps nothing and has nothing kept: send the whole conversation with each request"
_BACKGROUND = "an answer that is fetched later would have to be kept until then: ask for it whole or streamed"
_HOSTED = "a picture behind a URL is kept by the provider: ask for b64_json"

TEXT = b"text/plain; charset=utf-8"


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One endpoint. `name` stands in the ledger, `path` in receipts."""

    name: str
    path: str
    prefix: str = ""  # of the answer's id, which is ours
    named: bool = False  # each answer has id and model; otherwise ours take the place of those that are there
    form: bool = False  # multipart/form-data instead of JSON
    usage: Callable[[Raw, Tier | None], Usage | None] = typed_usage
    usage_option: bool = False  # stream_options.include_usage exists, and is always asked for
    streams: tuple[str, str] | None = None  # the member, and its value as JSON text, by which a client asks for a stream
    ends: tuple[str, ...] = ()  # types of the event that ends a stream; without any, [DONE] does
    nested: bool = False  # events have the answer in a member of their own: `response`, `message`
    binary: bool = False  # a whole answer is a file
    texts: frozenset[str] = frozenset()  # values of response_format for which an answer is text, not JSON
    rules: BodyRules = NO_RULES
    pictures: bool = False  # what it makes is pictures, which are counted
    heard: bool = False  # what goes in is audio, of which a provider may give the duration and no tokens
    spoken: str = ""  # the member whose text is spoken, character by character
    says: bool = False  # what it answers is text, so that its bytes tell roughly how many tokens it was
    dialect: str = "openai"  # whose error objects its clients read: openai or anthropic


_STREAM = ("stream", "true")
_TRANSCRIPT = ("transcript.text.done",)

_ALL = (
    Endpoint(
        name="chat.completions",
        path="/v1/chat/completions",
        prefix="chatcmpl-",
        named=True,
        usage=chat_usage,
        usage_option=True,
        streams=_STREAM,
        says=True,
    ),
    Endpoint(name="completions", path="/v1/completions", prefix="cmpl-", named=True, usage=chat_usage, usage_option=True, streams=_STREAM, says=True),
    Endpoint(
        name="responses",
        path="/v1/responses",
        prefix="resp_",
        named=True,
        streams=_STREAM,
        ends=("response.completed", "response.incomplete", "response.failed"),
        nested=True,
        says=True,
        rules=BodyRules(
            forced={"store": "false"},
            refused={"previous_response_id": _ELSEWHERE, "conversation": _ELSEWHERE, "background": _BACKGROUND},
        ),
    ),
    Endpoint(name="embeddings", path="/v1/embeddings", prefix="embd-", usage=chat_usage),
    Endpoint(name="moderations", path="/v1/moderations", prefix="modr-", named=True, usage=chat_usage),
    Endpoint(name="rerank", path="/v1/rerank", prefix="rerank-", usage=chat_usage),
    Endpoint(
        name="images.generations",
        path="/v1/images/generations",
        usage=images_usage,
        pictures=True,
        streams=_STREAM,
        ends=("image_generation.completed",),
        rules=BodyRules(refused_values={"response_format": ("url", _HOSTED)}),
    ),
    Endpoint(
        name="images.edits",
        path="/v1/images/edits",
        usage=images_usage,
        pictures=True,
        form=True,
        streams=_STREAM,
        ends=("image_edit.completed",),
        rules=BodyRules(refused_values={"response_format": ("url", _HOSTED)}),
    ),
    Endpoint(
        name="audio.speech",
        path="/v1/audio/speech",
        usage=speech_usage,
        streams=("stream_format", '"sse"'),
        ends=("speech.audio.done",),
        binary=True,
        spoken="input",
    ),
    Endpoint(
        name="audio.transcriptions",
        path="/v1/audio/transcriptions",
        form=True,
        streams=_STREAM,
        ends=_TRANSCRIPT,
        heard=True,
        texts=frozenset({"text", "srt", "vtt"}),
        says=True,
    ),
    Endpoint(name="audio.translations", path="/v1/audio/translations", form=True, texts=frozenset({"text", "srt", "vtt"}), heard=True, says=True),
    Endpoint(
        name="messages",
        path="/v1/messages",
        prefix="msg_",
        named=True,
        usage=messages_usage,
        streams=_STREAM,
        ends=("message_stop",),
        nested=True,
        says=True,
        dialect="anthropic",
    ),
    Endpoint(name="messages.count_tokens", path="/v1/messages/count_tokens", usage=messages_usage, dialect="anthropic"),
)

ENDPOINTS: Mapping[str, Endpoint] = {endpoint.name: endpoint for endpoint in _ALL}
CHAT = ENDPOINTS["chat.completions"]
NAMES = frozenset(ENDPOINTS)
