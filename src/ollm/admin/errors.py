"""Every error that the control plane answers with. Data; a test compares it with the calls in the source, and a page is made from it."""

from collections.abc import Mapping

import msgspec


class AdminError(msgspec.Struct, frozen=True):
    status: int
    means: str


ERRORS: Mapping[str, AdminError] = {
    "invalid_api_key": AdminError(401, "the key is missing, unknown, wrong, expired, disabled or revoked: the same answer for all"),
    "role_not_allowed": AdminError(403, "the key's role may not do this, or not to an owner or an admin"),
    "network_not_allowed": AdminError(403, "the key may not be used from this address"),
    "invalid_request": AdminError(400, "the body isn't one strict JSON object of this form"),
    "invalid_query": AdminError(400, "a field of the query string is unknown, repeated or out of range; `param` names it"),
    "unknown_reference": AdminError(400, "terms name a model, an upstream, an endpoint or a rule that isn't configured, or contradict themselves"),
    "change_refused": AdminError(400, "the change contradicts what is there: what is archived or revoked stays so"),
    "not_found": AdminError(404, "there is no project, key, account or person of this id, or its row isn't authentic"),
    "unknown_url": AdminError(404, "there is no such route"),
    "method_not_allowed": AdminError(405, "the route has other methods; `allow` tells them"),
    "request_too_large": AdminError(413, "the body is too large"),
    "unsupported_content_encoding": AdminError(415, "the body is compressed"),
    "incomplete_body": AdminError(400, "the connection ended before the body did"),
    "internal_error": AdminError(500, "the control plane failed; its log says how"),
    "store_unavailable": AdminError(503, "the store can't be read or written now"),
}
