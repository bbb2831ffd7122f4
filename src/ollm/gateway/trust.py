"""ACI/1 endpoints of the gateway: its own evidence, receipts for their callers, sessions for everyone (ACI §4, §7, §8)."""

import re

import msgspec

from ollm.errors import ApiError, SealError
from ollm.gateway.authenticate import authenticate, presented
from ollm.gateway.call import Call
from ollm.gateway.context import Gateway
from ollm.receipts.at_rest import open_receipt
from ollm.receipts.session import abbreviated
from ollm.serving.http import query
from ollm.upstream.session import VerifiedSession
from ollm.values.aci import API_VERSION
from ollm.wire.endpoints import ENDPOINTS

_PREFIXES = sorted({"rcpt_", "req_", *(endpoint.prefix for endpoint in ENDPOINTS.values() if endpoint.prefix)})
_RECEIPT_ID = re.compile(rf"(?:{'|'.join(_PREFIXES)})([0-9a-f]{{32}})")
_SESSION_ID = re.compile(r"[0-9a-f]{64}")


async def attestation(gateway: Gateway, call: Call) -> None:
    """The gateway's own report over the caller's nonce."""
    await call.respond(200, await gateway.attestation.report(query(call.scope).get("nonce")), [])


async def receipt(gateway: Gateway, call: Call, name: str) -> None:
    """A receipt, to the key that made the request. Raises: ApiError 401 without a key, 400 without a receipt key where the caller showed a token
    and so has none else, 404 for every other reason.
    """
    if presented(call) is None:
        raise ApiError(401, "unauthorized", "unauthorized", "A receipt is served to the API key that made the request; send that key.")
    caller = authenticate(gateway, call)
    if caller.told:
        message = "The receipts of callers with a token are opened by the X-Receipt-Key that their request had; send that one."
        raise ApiError(400, "invalid_request_error", "receipt_key_required", message)
    missing = ApiError(404, "not_found", "not_found", "There is no such receipt for this API key.")
    match = _RECEIPT_ID.fullmatch(name)
    if match is None:
        raise missing
    entry = await gateway.ledger.find(match[1])
    if entry is None or entry.receipt is None or entry.key_id != caller.key_id:
        raise missing
    try:
        document = open_receipt(caller.secret.expose(), match[1], entry.receipt)
    except SealError:
        raise missing from None
    await call.respond(200, document, [])


async def session(gateway: Gateway, call: Call, name: str) -> None:
    """A session with its evidence, exactly as receipts cite it."""
    document = await gateway.sessions.get(name) if _SESSION_ID.fullmatch(name) else None
    if document is None:
        raise ApiError(404, "not_found", "not_found", "There is no such session.")
    await call.respond(200, document, [])


async def sessions(gateway: Gateway, call: Call) -> None:
    """Sessions that hold now, without their evidence; `upstream_name` and `model` narrow the list."""
    wanted = query(call.scope)
    names = list(gateway.keepers)
    if "upstream_name" in wanted:
        names = [name for name in names if name == wanted["upstream_name"]]
    if "model" in wanted:
        found = gateway.model(wanted["model"])
        names = [name for name in names if found is not None and name in found[1].upstreams]
    held = [session for name in names for session in gateway.keepers[name].sessions()]
    entries = [abbreviated(item.session_id, item.document) for item in held if isinstance(item, VerifiedSession)]
    await call.respond(200, msgspec.json.encode({"api_version": API_VERSION, "sessions": entries}), [])
