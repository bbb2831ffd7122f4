"""The end of a request: one receipt, one ledger row, durable before the last byte of the answer."""

import logging

import msgspec

from ollm.gateway.entropy import entropy
from ollm.gateway.exchange import Exchange
from ollm.gateway.reserve import settle_hold
from ollm.receipts.at_rest import seal_receipt
from ollm.receipts.receipt import issue, returned
from ollm.traffic.price import cost_micro
from ollm.values.hexes import Sha256
from ollm.values.ledger import Entry, Status
from ollm.values.price import Price, price_at
from ollm.values.usage import Usage

log = logging.getLogger("ollm.gateway")

_NONE = Usage()
_BYTES_PER_TOKEN = 4  # of an estimate; marked as one in the ledger


async def settle(exchange: Exchange, status: Status, http_status: int) -> None:
    """Sign the receipt over everything handed out so far and write it with the row. Raises: StoreError."""
    gateway = exchange.gateway
    gateway.running.leave(exchange.stem)
    document = _receipt(exchange)
    sealed = seal_receipt(exchange.caller.secret.expose(), exchange.stem, document, entropy.take(12))
    model = gateway.settings.models.get(exchange.model) if exchange.model else None
    price = price_at(model.prices, exchange.started_ms) if model else None
    usage, cost = _metered(exchange, status, price)
    held = exchange.hold.micro if exchange.hold else None
    if cost is None and held is not None:
        cost = held  # nobody can tell the cost of this: what was held back is all that there is
    entry = Entry(
        request_id=exchange.stem,
        key_id=exchange.caller.key_id,
        endpoint=exchange.endpoint.name,
        model=exchange.model,
        upstream=exchange.upstream,
        level=str(exchange.level) if exchange.level else None,
        session_id=exchange.session.session_id if exchange.session else None,
        status=status,
        http_status=http_status,
        streamed=exchange.streamed,
        started_ms=exchange.started_ms,
        usage=usage,
        cost_micro=cost,
        price_version=price.version if price else None,
        verify_us=exchange.verify_us,
        headers_us=exchange.headers_us,
        first_us=exchange.first_us,
        total_us=exchange.since(exchange.begun),
        receipt=sealed,
        project=exchange.caller.standing.project_id,
        reserved_micro=held,
    )
    await gateway.ledger.complete(entry)
    if exchange.hold is not None:
        await settle_hold(exchange, entry)


def _metered(exchange: Exchange, status: Status, price: Price | None) -> tuple[Usage, int | None]:
    """What was used, and what it costs: nothing where nothing was, None where nobody knows."""
    usage = exchange.usage or _estimate(exchange, status)
    if usage is None:
        return _NONE, None if price is None else 0
    if exchange.characters:
        usage = msgspec.structs.replace(usage, characters=exchange.characters)
    if usage.count_mismatch:
        log.warning("a provider's counts don't add up", extra={"request_id": exchange.stem, "upstream": exchange.upstream})
    return usage, None if price is None else cost_micro(usage, price)


def _estimate(exchange: Exchange, status: Status) -> Usage | None:
    """What was used where the provider gave no count: its clients pay for what they were given, or left while it was made.

    Of what isn't text nobody can tell tokens: a picture counts as one, and speech by what was to be spoken.
    """
    if not (status is Status.COMPLETED or exchange.answer_bytes or (status is Status.CLIENT_GONE and exchange.left)):
        return None
    endpoint = exchange.endpoint
    if endpoint.pictures or endpoint.spoken:
        return Usage(images=int(endpoint.pictures), estimated=True, tier=exchange.tier)
    said = exchange.answer_bytes // _BYTES_PER_TOKEN if endpoint.says else 0
    read = exchange.prompt_bytes // _BYTES_PER_TOKEN
    return Usage(input_tokens=read, output_tokens=exchange.pieces or said, estimated=True, tier=exchange.tier)


def _receipt(exchange: Exchange) -> bytes:
    gateway = exchange.gateway
    exchange.events.append(returned(Sha256("sha256:" + exchange.returned.hexdigest())))
    return issue(
        gateway.signer,
        receipt_id="rcpt_" + exchange.stem,
        chat_id=exchange.answer_id,
        model=exchange.asked,
        keyset_digest=gateway.keyset_digest,
        endpoint=exchange.endpoint.path,
        method="POST",
        served_at=gateway.clock.now(),
        events=exchange.events,
    )
