"""What the configuration must know of the providers' adapters; `upstream.registry` has one for each of these names."""

from typing import NamedTuple

from ollm.wire.endpoints import NAMES

# Chutes' model on many instances. The id rather than the model's name, since the API alone says which is behind which.
_CHUTE = (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "the id of a chute, a UUID")


_MESSAGES = frozenset({"messages", "messages.count_tokens"})
_OPENAI_SHAPED = NAMES - _MESSAGES
_CHAT_SHAPED = _OPENAI_SHAPED - {"responses"}  # what engines serve; the newer APIs reach them in translation
_TEXT = frozenset({"chat.completions", "completions", "embeddings"})


class Traits(NamedTuple):
    """`evidence`: its machines are judged under a policy; else its level is zdr. `seals`: what `seal` may say beside nothing.

    `certified`: no evidence names the key of the connection, so a CA's word for the host is all there is. `url`: where the provider is, for
    configurations that don't say. `base`: its URL may have a path, the base of its API.
    `model`: its `model` must be there and look like this pattern; and in words.
    `machines`: its machines of one model have hosts of their own beside the configured one.
    `speaks`: endpoints that it answers to; a request for another goes there in translation, or not at all.
    `verify_seconds`: how long its evidence is known to take, with room, where that is longer than a request waits.
    """

    evidence: bool
    seals: tuple[str, ...] = ()
    certified: bool = False
    url: str = ""
    base: bool = False
    model: tuple[str, str] | None = None
    verify_seconds: float | None = None
    machines: bool = False
    speaks: frozenset[str] = _CHAT_SHAPED


ADAPTERS: dict[str, Traits] = {
    "aci": Traits(evidence=True, seals=("ehbp", "aci-e2ee-v2", "tls")),
    "near": Traits(evidence=True, seals=("near-e2ee-v2", "tls"), machines=True),
    "phala": Traits(evidence=True, seals=("tls",)),
    "tinfoil": Traits(evidence=True, seals=("ehbp", "tls")),
    "chutes": Traits(evidence=True, certified=True, url="https://api.chutes.ai", model=_CHUTE, verify_seconds=60.0, speaks=_TEXT),
    "privatemode": Traits(evidence=True, certified=True, url="https://api.privatemode.ai", speaks=_TEXT | {"messages"}),
    "openai": Traits(evidence=False, certified=True, url="https://api.openai.com", speaks=_OPENAI_SHAPED),
    "anthropic": Traits(evidence=False, certified=True, url="https://api.anthropic.com", speaks=_MESSAGES | {"chat.completions"}),
    "openrouter": Traits(evidence=False, certified=True, url="https://openrouter.ai", speaks=_TEXT | {"messages", "responses", "rerank"}),
    "openai-compatible": Traits(evidence=False, certified=True, base=True),
}
