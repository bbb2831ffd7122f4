"""Every error that the gateway answers with: its code, its status, where it can come, why it comes and what mends it.

Data. The reference page and the OpenAPI document are made from it, and a check compares it with the calls in the source that make errors.
Codes are stable: clients compare them.
"""

from collections.abc import Iterable, Mapping

from ollm.wire.error_code import ErrorCode, Trait
from ollm.wire.permission_codes import PERMISSION, TRUST


def _request(status: int, where: tuple[Trait, ...], means: str, cause: str, mend: str) -> ErrorCode:
    return ErrorCode(status=status, group="request", where=where, means=means, cause=cause, mend=mend)


def _connection(status: int, means: str, cause: str, mend: str) -> ErrorCode:
    return ErrorCode(status=status, group="connection", where=("any",), means=means, cause=cause, mend=mend)


def _provider(status: int, means: str, cause: str, mend: str) -> ErrorCode:
    return ErrorCode(status=status, group="provider", where=("inference",), means=means, cause=cause, mend=mend, receipt=True)


def _gateway(status: int, where: tuple[Trait, ...], means: str, cause: str, mend: str) -> ErrorCode:
    return ErrorCode(status=status, group="gateway", where=where, means=means, cause=cause, mend=mend)


_REQUEST = {
    "invalid_api_key": _request(
        401,
        ("keyed",),
        "missing, unknown, wrong, expired or revoked: the same answer for all",
        "The request shows no key, shows more than one (in `Authorization`, `x-api-key` and `api-key` together), or one that isn't valid now.",
        "Send one key as `Authorization: Bearer sk-ollm-…`. `ollm keys list` says which are valid, `ollm keys create` makes one.",
    ),
    "key_revoked": ErrorCode(
        status=401,
        group="request",
        where=("inference",),
        means="the key ended while the request was served, and the request was stopped",
        cause="The key was revoked, disabled or expired, or its project or its owner was archived. The provider's connection is cut within "
        "seconds; what was used until then is accounted for. In a stream that has begun, this comes as its last event.",
        mend="Send the request with a key that is valid.",
        receipt=True,
    ),
    "invalid_receipt_key": _request(
        400,
        ("keyed",),
        "`X-Receipt-Key` is no key, or stands there twice",
        "A caller with a token sent the header in another form than base64url of 32 bytes without padding.",
        "Draw 32 random bytes and send them as 43 characters; or leave the header out, and keep the one that the answer brings.",
    ),
    "receipt_key_required": _request(
        400,
        ("receipt",),
        "a caller with a token asked for a receipt without its `X-Receipt-Key`",
        "Tokens change, so receipts of such callers rest under a key of their own, and nobody can open them without it.",
        "Send the `X-Receipt-Key` of that request, or the one that its answer brought in `x-receipt-key`.",
    ),
    "unauthorized": _request(
        401,
        ("receipt",),
        "a receipt was asked for without a key",
        "Receipts are served to the API key that made the request, and the request shows none.",
        "Send that key. Without it nobody can open the receipt, the gateway's operator included.",
    ),
    "invalid_request": _request(
        400,
        ("inference",),
        "the body breaks the format; `param` names the member",
        "The body is not one strict JSON object or form, a member that routing reads has a wrong type, or a member asks for something to be kept.",
        "Mend the member that `param` names. Without `param` it is the body as a whole: UTF-8, no member twice, no nesting deeper than 128, no "
        "number of more than 308 characters.",
    ),
    "invalid_query": _request(
        400,
        ("query",),
        "the query string breaks the format",
        "A field is repeated, is not known to this endpoint, has a value that is none, or the query string can't be decoded.",
        "Compare the fields with [the endpoint's](http-api.md). A filter that isn't understood is refused, since ignoring it would show too much.",
    ),
    "invalid_nonce": _request(
        400,
        ("attestation",),
        "the nonce is not 64 lowercase hexadecimal characters",
        "`?nonce=` holds something else than 32 bytes in lowercase hexadecimal.",
        "Draw 32 random bytes and write them in lowercase hexadecimal; or leave the nonce out.",
    ),
    "incomplete_body": _request(
        400,
        ("body",),
        "the connection ended before the body did",
        "The client closed its side, or a proxy between did, before `Content-Length` bytes or the last chunk were sent.",
        "Send it again; if it happens always, look at the proxy between.",
    ),
    "request_too_large": _request(
        413,
        ("body",),
        "larger than `gateway.max_body_bytes`",
        "The body is larger than this gateway takes; files and pictures travel inside it.",
        "Send less, or have the operator raise `gateway.max_body_bytes`.",
    ),
    "unsupported_content_encoding": _request(
        415,
        ("body",),
        "send the body without `Content-Encoding`",
        "The body is compressed. Its real size would show only when it is too late.",
        "Switch compression of requests off in the client or in the proxy between.",
    ),
    "model_not_found": _request(
        404,
        ("inference", "model"),
        "no such model is configured",
        "`model` names nothing that the configuration has. Names are compared exactly.",
        "`GET /v1/models` lists the names.",
    ),
    "endpoint_not_supported": _request(
        404,
        ("inference",),
        "none of the model's routes answers to this endpoint",
        "The model's upstreams don't serve this API: a chat model was asked for embeddings, for example.",
        "`endpoints` in `GET /v1/models` says where each model can be asked. The operator can name more with `models.NAME.endpoints`.",
    ),
    "not_found": _request(
        404,
        ("receipt", "session"),
        "no such receipt for this key, or no such session",
        "The id is wrong or not yet known, or the receipt belongs to another key, to which alone it exists.",
        "Ask with the key that made the request, by the id from `x-receipt-id`, `x-request-id` or the answer's `id`.",
    ),
    "endpoint_refused": _request(
        404,
        ("refused",),
        "an endpoint of OpenAI's or Anthropic's API that is refused on purpose; the message says why and what to do instead",
        "The endpoint keeps content, or is not served yet. [All of them](endpoints.md#refused-on-purpose).",
        "Do what the message says. Asking again, or with another key, changes nothing.",
    ),
    "unknown_url": _request(
        404,
        ("unrouted",),
        "no such endpoint",
        "The path is none of the gateway's. Paths are compared exactly: case, slashes and a missing `/v1` count.",
        "Compare it with [the endpoints](endpoints.md). SDKs want `https://HOST/v1` as base URL; Anthropic's wants `https://HOST`.",
    ),
    "method_not_allowed": _request(
        405,
        ("unrouted",),
        "see the `allow` header",
        "The endpoint exists, and not with this method.",
        "Use a method that `allow` names.",
    ),
}

_CONNECTION = {
    "bad_http_request": _connection(
        400,
        "not valid HTTP/1.1: ambiguous framing, folded headers, bare line ends",
        "What came can be read in more than one way, or in none, so it is not read at all.",
        "Use an HTTP library, and mend or remove the proxy that rewrites requests.",
    ),
    "bad_host": _connection(
        400, "not exactly one valid `Host`", "`Host` is missing, repeated, or no host and port.", "Send one `Host` header with the gateway's name."
    ),
    "bad_request_target": _connection(
        400, "the request target is not a path", "An absolute URL, `*`, a fragment, or bytes beyond ASCII.", "Send the path, percent-encoded."
    ),
    "upgrade_not_supported": _connection(
        400,
        "no other protocol is spoken here",
        "The request asks for WebSocket, HTTP/2 over plain text, or another protocol.",
        "Send it without `Upgrade`. Answers can be streamed with `stream` instead.",
    ),
    "too_many_pipelined_requests": _connection(
        400,
        "wait for answers before sending more on one connection",
        "More requests than the server queues were sent on one connection without waiting.",
        "Wait for answers, or open more connections.",
    ),
    "request_timeout": _connection(
        408,
        "headers or body did not arrive in time",
        "The request's headers, or a part of its body, came too slowly.",
        "Send it again; SDKs do so by themselves.",
    ),
    "uri_too_long": _connection(414, "the request target is too long", "Path and query are longer than 8 KiB.", "Shorten them."),
    "expectation_failed": _connection(
        417, "an expectation other than `100-continue`", "`Expect` asks for something else.", "Send it without that header."
    ),
    "headers_too_large": _connection(
        431, "too many or too large headers", "More than 100 headers, or more than 32 KiB of them.", "Send fewer; look for cookies and tracing."
    ),
    "method_not_implemented": _connection(501, "an unknown method", "The method is none of the usual ones.", "Use `GET` or `POST`."),
    "transfer_encoding_not_supported": _connection(
        501, "another transfer encoding than `chunked`", "`Transfer-Encoding` names another, or a list.", "Send `chunked` or a `Content-Length`."
    ),
    "http_version_not_supported": _connection(505, "use HTTP/1.1", "The request is of another version.", "Use HTTP/1.1."),
    "shutting_down": _connection(
        503, "the gateway drains; try another one", "The gateway was told to stop, and finishes what runs.", "Repeat the request; SDKs do so."
    ),
}

_PROVIDER = {
    "upstream_rejected": _provider(
        400,
        "it refused the request as malformed (400, 413, 415 or 422), a prompt that is too long for the model included",
        "The provider's API does not take a member or its value, or the prompt does not fit. Its text is not passed on: it can repeat the prompt.",
        "Compare the request with the provider's documentation and the model's `context_length`.",
    ),
    "upstream_rate_limited": _provider(
        429,
        "it limits the rate; the pause that it asks for is passed on in `retry-after`",
        "The gateway's account at the provider has used up its rate.",
        "Wait as long as `retry-after` says; SDKs do so. The operator can spread the model over more upstreams.",
    ),
    "upstream_unavailable": _provider(
        503,
        "every route of the model failed so often of late that it is left alone until `retry-after`. Nothing was forwarded",
        "The circuit breakers of all of the model's routes are open (`routing.breaker`), and the time to probe one has not come.",
        "Wait as long as `retry-after` says; SDKs do so. The operator can give the model another route.",
    ),
    "upstream_credentials": _provider(
        502,
        "it doesn't accept the gateway's credentials",
        "The provider answered 401, 402 or 403: the key is wrong or revoked, or its account has no credit.",
        "The operator renews `upstreams.NAME.api_key` (or `api_keys`) or tops up the account.",
    ),
    "upstream_model_missing": _provider(
        502,
        "it doesn't have the model that the route names",
        "The provider answered 404: the model was renamed or withdrawn, or this endpoint is not served for it.",
        "The operator mends `models.NAME.upstream_model` or `models.NAME.endpoints`.",
    ),
    "upstream_error": _provider(
        502,
        "it failed (the message has its status), or the connection to it did (the message names the phase). An error object under a good status, or "
        "in place of a stream's first event, counts as the status that it stands for",
        "A 5xx of the provider, or a connection that could not be made or was cut.",
        "Send it again; SDKs do so. If it lasts, look at the provider's status page, and give the model another route.",
    ),
    "upstream_timeout": _provider(
        504,
        "it did not answer in time; the message names the phase: `connect`, `headers`, `first_token`, `first_byte`, `stream` or `total`",
        "Connecting, waiting for headers or for the first token, or a pause within the answer took longer than `gateway.timeouts` allows.",
        "Stream long answers, so that they show life early; the operator can lengthen the phase's time.",
    ),
    "untranslatable": ErrorCode(
        status=400,
        group="provider",
        where=("inference",),
        means="it speaks another API than the client, in which this request can't be said, so nothing was forwarded; `param` names the member",
        cause="The model's routes answer to another endpoint alone, and [translating](dialects.md) would lose a part of the request.",
        mend="Leave the member out, ask in the API that the provider speaks (`endpoints` in `GET /v1/models`), or use another model.",
    ),
    "unsealable_content": ErrorCode(
        status=400,
        group="provider",
        where=("inference",),
        means="its protocol has no sealed form for a part of this request or for this endpoint, so nothing was forwarded",
        cause="The provider's own encryption covers some fields of some endpoints, and the rest would go in the clear beside it.",
        mend="Leave the part out, or use another model.",
    ),
    "upstream_unsealed": _provider(
        502,
        "its answer can't be opened with the key of the sealed request",
        "What came is not sealed to this request, or was changed on the way. It was discarded.",
        "Send it again. If it lasts, tell the operator: somebody between may be changing answers.",
    ),
    "upstream_unsigned": _provider(
        502,
        "the policy demands that the machine signs its answers (`service.require_signature`), and it did not, or not this one",
        "No signature came, or it doesn't hold for these bytes under the attested key. The answer was discarded.",
        "Send it again. If it lasts, tell the operator.",
    ),
    "upstream_garbled": _provider(
        502,
        "its answer is not what the API defines",
        "The answer is no JSON, lacks what every answer has, or comes in another form than was asked for. It was discarded.",
        "Send it again. If it lasts for one endpoint, the provider may not serve it: `models.NAME.endpoints` can leave it out.",
    ),
    "upstream_stream_failed": _provider(
        200,
        "in an event of a stream: it failed while answering",
        "The provider sent an error in the middle of its answer. Its text is not passed on: it can repeat the prompt.",
        "What came before is incomplete: discard it or mark it so, and send the request again.",
    ),
}

_GATEWAY = {
    "overloaded": _gateway(
        503,
        ("any",),
        "as many requests as `gateway.max_concurrent` are in progress, or as many connections as the server may have, "
        "or the bodies on their way hold as much as they may",
        "The gateway protects those that it serves already.",
        "Wait as long as `retry-after` says; SDKs do so. If it lasts, raise `gateway.max_concurrent` or run another gateway.",
    ),
    "not_ready": _gateway(
        503,
        ("ready",),
        "`/readyz`: some model has no verified upstream",
        "The gateway has just started, or a machine was refused.",
        "`GET /v1/models`, with a key, says which and why.",
    ),
    "attestation_unavailable": _gateway(
        503,
        ("attestation",),
        "the gateway has no hardware to attest itself with, or it doesn't answer",
        "`evidence.quote_source` is `none`, or the machine's quoting service failed.",
        "Run the gateway in a confidential machine, and name its agent in `evidence.quote_source`.",
    ),
    "attestation_busy": _gateway(
        503,
        ("attestation",),
        "too many requests for evidence at once; quotes are slow to make",
        "More callers wait for fresh quotes than the machine can serve soon.",
        "Try again shortly; without a nonce the report comes from a cache.",
    ),
    "store_unavailable": _gateway(
        503,
        ("keyed", "stored"),
        "keys can't be looked up or requests can't be recorded now, so they are not served",
        "The disk is full, or the database is away, locked or damaged. It says nothing of the key.",
        "The operator looks at the log and at `ollm doctor`.",
    ),
    "internal_error": _gateway(
        500, ("any",), "a defect of ours", "Something broke that should not.", "Report it with `x-request-id`; the log has the type of the error."
    ),
}

ERROR_CODES: Mapping[str, ErrorCode] = _REQUEST | PERMISSION | _CONNECTION | TRUST | _PROVIDER | _GATEWAY


def codes_of(traits: Iterable[Trait]) -> dict[str, ErrorCode]:
    """The errors that an operation with `traits` can answer with."""
    wanted = {"any", *traits}
    return {name: code for name, code in ERROR_CODES.items() if wanted & set(code.where)}
