"""Providers without evidence: OpenAI, Anthropic, OpenRouter, and whoever speaks OpenAI's API. Level zdr.

Nothing is verified: that the peer is the provider, a public certificate says; that it retains nothing, its contract with the operator
says. What this gateway adds is that the members of a request on which that contract hangs are never the client's to choose. Each
provider is a profile: data.
"""

import ssl
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from ollm.config.settings import UpstreamSettings
from ollm.errors import ApiError, WireError
from ollm.net.connection import certified_tls
from ollm.upstream.asking import Heads
from ollm.upstream.catalogue import PER_TOKEN, Listing, Source
from ollm.values.secret import Sealed
from ollm.wire import rules
from ollm.wire.catalogue import Form
from ollm.wire.endpoints import ENDPOINTS
from ollm.wire.rules import BodyRules

_OPENAI_BASE = "/v1"  # of the paths that a gateway is asked for
_KEPT = "the provider keeps what this makes for a while, and the route is one without retention"
_ELSEWHERE = "this hands content to services that the provider's promise of zero retention does not cover"
_OTHER_MODELS = "the route names the model; others are not to be chosen on the way"


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What is particular about one provider."""

    base: str | None = _OPENAI_BASE  # path in place of /v1; None: the one of the configured URL
    headers: Mapping[str, str] = {}  # of every request, beside the key
    keyed: Mapping[str, str] = {}  # endpoint → header that carries the key, where that isn't `Authorization: Bearer`
    body: Mapping[str, BodyRules] = {}  # endpoint → what the contract demands there, beside what the endpoint itself does
    list: Source = Source(Form(), credential=True)  # OpenAI's own: names alone
    list_credential: str = "authorization: Bearer "  # what stands before the key where the list is asked for
    statuses: Mapping[int, int] = {}  # error statuses that mean here what another one means elsewhere


_CACHED = frozenset({"prompt_cache_retention"})
_HOSTED_TOOLS = frozenset({"mcp", "code_interpreter", "file_search", "computer_use_preview"})
_ROUTING = {"plugins": _ELSEWHERE, "web_search_options": _ELSEWHERE, "preset": _ELSEWHERE, "models": _OTHER_MODELS, "route": _OTHER_MODELS}
_OPENROUTER = BodyRules(forced={"provider": {"zdr": "true", "data_collection": '"deny"'}}, refused=_ROUTING, tools_elsewhere="openrouter:")

PROFILES: dict[str, Profile] = {
    # Chat completions are stored only when asked for, and under an agreement of zero retention never; what is forced is that nobody asks.
    # Audio answers are kept for an hour, an extended prompt cache for a day; remote MCP servers, containers and stored files are outside of
    # the agreement (developers.openai.com/api/docs/guides/your-data).
    "openai": Profile(
        body={
            "chat.completions": BodyRules(forced={"store": "false"}, dropped=_CACHED, refused={"audio": _KEPT}),
            "responses": BodyRules(dropped=_CACHED, refused_tools=_HOSTED_TOOLS),
        }
    ),
    # Its own Messages API, and the OpenAI-compatible endpoint (platform.claude.com/docs/en/api/openai-sdk). 529: overloaded. Files, containers
    # and MCP servers keep what they are given.
    # Its list is that of its own API (docs.anthropic.com/en/api/models-list), which takes the key in a header of its own too.
    "anthropic": Profile(
        headers={"anthropic-version": "2023-06-01"},
        keyed={"messages": "x-api-key", "messages.count_tokens": "x-api-key"},
        body={"messages": BodyRules(refused={"container": _KEPT, "mcp_servers": _ELSEWHERE})},
        statuses={529: 503},
        list=Source(Form(context=("max_input_tokens",)), "/v1/models?limit=1000", credential=True),
        list_credential="x-api-key: ",
    ),
    # Routing to endpoints of zero retention alone, and to none that learns from prompts (openrouter.ai/docs/guides/features/zdr); plugins, search
    # and server tools are not covered by either. A preset could bring them along. 403: its moderation refused the prompt.
    "openrouter": Profile(
        base="/api/v1",
        body=dict.fromkeys(("chat.completions", "completions", "responses", "messages", "embeddings", "rerank"), _OPENROUTER),
        statuses={403: 400},
        list=Source(Form(rates=(PER_TOKEN,))),  # of each model the lowest price among those who serve it, whatever their retention
    ),
    "openai-compatible": Profile(base=None, list=Source(Form(rates=(PER_TOKEN,)), credential=True)),
}


class ZdrProvider:
    """How requests to one of these providers look."""

    stale_key_status: frozenset[int] = frozenset()  # nothing is sealed
    stale_key_words = None

    def __init__(self, settings: UpstreamSettings, api_key: Sealed | None) -> None:
        profile = PROFILES[settings.adapter]
        self._body = profile.body
        self._base = profile.base if profile.base is not None else urlsplit(settings.url).path.rstrip("/") or _OPENAI_BASE
        self._heads = Heads(settings.url, api_key, more=profile.headers)
        self._keyed = {
            self.path(ENDPOINTS[name].path): Heads(settings.url, api_key, authorization=f"{header}: ", more=profile.headers)
            for name, header in profile.keyed.items()
        }
        self._list = profile.list._replace(target=self.path(profile.list.target))
        self._list_heads = Heads(settings.url, api_key, authorization=profile.list_credential, more=profile.headers)
        self.statuses = profile.statuses
        self.tls: ssl.SSLContext = certified_tls(settings.ca)

    def rewrite(self, endpoint: str, body: bytes) -> bytes:
        """`body` as the provider's contract demands. Raises: ApiError 400 for a request that the contract does not cover."""
        demanded = self._body.get(endpoint)
        if demanded is None:
            return body
        try:
            return rules.apply(demanded, body)
        except WireError as problem:
            message = f"{problem.param or 'the body'} can't be sent to this route: {problem.reason}."
            raise ApiError(400, "invalid_request_error", "invalid_request", message, param=problem.param) from None

    def path(self, endpoint: str) -> str:
        """`endpoint`, below the provider's own base path."""
        return self._base + endpoint.removeprefix(_OPENAI_BASE)

    def head(self, path: str, length: int, content_type: str, extra: Mapping[str, str]) -> bytes:
        return self._keyed.get(path, self._heads).post(path, length, content_type, extra)

    def listing(self) -> Listing:
        return Listing(self._list_heads, self._list)
