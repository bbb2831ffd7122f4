"""Endpoints of OpenAI's and Anthropic's APIs that are refused on purpose: why, and what to do instead. Data, read by the application.

All are answered 404, as an endpoint that does not exist is, for whoever has a key:

- 403 would say that another key may; none may.
- 501, and every 5xx, is what monitors wake people for and what SDKs repeat, and nothing has failed.
- 404 is what clients probe for: those that can do without the endpoint go on without it.

A path is compared with the one that was matched, as it stands; what is in no table of routes is refused either way.

Sources: OpenAI's OpenAPI document; Anthropic's API reference (batches, files, skills).
"""

import msgspec

_KEPT = "it keeps content for later, and this gateway keeps none and has none kept"
_LATER = "answers that are fetched later would have to be kept until then"
_NOT_YET = "it is not served yet"


class RefusedEndpoint(msgspec.Struct, frozen=True):
    """`path` (unless `at` is False) and what lies below it (unless `below` is False), for `methods`."""

    path: str
    why: str
    instead: str
    methods: frozenset[str] | None = None  # None: all
    at: bool = True
    below: bool = True

    def matches(self, method: str, path: str) -> bool:
        if self.methods is not None and method not in self.methods:
            return False
        return (self.at and path == self.path) or (self.below and path.startswith(self.path + "/") and path != self.path + "/")

    @property
    def message(self) -> str:
        """For the error object: fixed words."""
        return f"This endpoint is refused: {self.why}. {self.instead}"


_INLINE = "Send the file inside the request: images and documents as data URLs, audio as a form."
_WHOLE = "Send the whole conversation with each request."
_EACH = "Send each request by itself; several may run at once."
_STATELESS = "Use POST /v1/responses or POST /v1/chat/completions, with the whole conversation in each request."
_TRAINING = "Ask the provider that trains it, and name the trained model as a model here."

# The first that matches counts, so what is told apart stands before what it is a part of.
REFUSED_ENDPOINTS: tuple[RefusedEndpoint, ...] = (
    RefusedEndpoint("/v1/files", _KEPT, _INLINE),
    RefusedEndpoint("/v1/uploads", _KEPT, _INLINE),
    RefusedEndpoint("/v1/batches", _LATER, _EACH),
    RefusedEndpoint("/v1/messages/batches", _LATER, _EACH),
    RefusedEndpoint("/v1/fine_tuning", "it keeps training data, and this gateway trains nothing", _TRAINING),
    RefusedEndpoint("/v1/vector_stores", _KEPT, "Keep vectors in a store of yours; make them with POST /v1/embeddings, order with POST /v1/rerank."),
    RefusedEndpoint("/v1/assistants", _KEPT, _STATELESS),
    RefusedEndpoint("/v1/threads", _KEPT, _STATELESS),
    RefusedEndpoint("/v1/conversations", _KEPT, _WHOLE),
    RefusedEndpoint("/v1/containers", "it keeps files and runs code beside the model, outside of what is verified", "Run tools on your side."),
    RefusedEndpoint("/v1/evals", "it keeps prompts and answers to judge them later", "Judge on your side what POST /v1/chat/completions answers."),
    RefusedEndpoint("/v1/skills", _KEPT, "Send instructions with each request, and run tools on your side."),
    RefusedEndpoint("/v1/chatkit", _KEPT, _STATELESS),
    RefusedEndpoint("/v1/videos", _LATER, "No endpoint here makes videos; POST /v1/images/generations makes pictures."),
    RefusedEndpoint(
        "/v1/realtime", _NOT_YET, "Use POST /v1/audio/transcriptions, POST /v1/chat/completions and POST /v1/audio/speech, each streamed."
    ),
    RefusedEndpoint("/v1/images/variations", "providers have withdrawn it", "Use POST /v1/images/edits with a prompt."),
    RefusedEndpoint("/v1/audio/voices", _KEPT, "Use a voice that the provider has."),
    RefusedEndpoint("/v1/audio/voice_consents", _KEPT, "Use a voice that the provider has."),
    RefusedEndpoint("/v1/responses/compact", _NOT_YET, "Shorten the conversation on your side."),
    RefusedEndpoint("/v1/responses/input_tokens", _NOT_YET, "Use POST /v1/messages/count_tokens where the model answers to it."),
    RefusedEndpoint("/v1/responses", "answers are not kept, so none can be fetched, cancelled or deleted", _WHOLE, at=False),
    RefusedEndpoint("/v1/chat/completions", "answers are not kept, so none can be fetched, changed or deleted", _WHOLE, at=False),
    RefusedEndpoint(
        "/v1/chat/completions", "answers are not kept, so there are none to list", "POST to it for a new one.", frozenset({"GET"}), below=False
    ),
)


def refused_endpoint(method: str, path: str) -> RefusedEndpoint | None:
    """The refusal of `method` on `path`, the decoded path that routes are matched by; None where there is none."""
    if not path.startswith("/v1/"):
        return None
    return next((entry for entry in REFUSED_ENDPOINTS if entry.matches(method, path)), None)
