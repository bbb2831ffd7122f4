"""The end of a request: one receipt, one ledger row, durable before the last byte of the answer."""

from ollm.gateway.entropy import entropy
from ollm.gateway.exchange import Exchange
from ollm.receipts.at_rest import seal_receipt
from ollm.receipts.receipt import issue, returned
from ollm.traffic.price import cost_micro
from ollm.values.hexes import Sha256
from ollm.values.ledger import Entry, Status
from ollm.values.usage import Usage

_NONE = Usage()
_BYTES_PER_TOKEN = 4  # of an estimate; marked as one in the ledger


async def settle(exchange: Exchange, status: Status, http_status: int) -> None:
    """Sign the receipt over everything handed out so far and write it with the row. Raises: StoreError."""
    gateway = exchange.gateway
    document = _receipt(exchange)
    sealed = seal_receipt(exchange.caller.secret.expose(), exchange.stem, document, entropy.take(12))
    model = gateway.settings.models.get(exchange.model) if exchange.model else None
    price = model.price if model else None
    usage = exchange.usage or _estimate(exchange, status)
    await gateway.ledger.complete(
        Entry(
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
            cost_micro=cost_micro(usage, price) if price else None,
            price_version=price.version if price else None,
            verify_us=exchange.verify_us,
            headers_us=exchange.headers_us,
            first_us=exchange.first_us,
            total_us=exchange.since(exchange.begun),
            receipt=sealed,
        )
    )


def _estimate(exchange: Exchange, status: Status) -> Usage:
    """What was used where the provider gave no count: its clients pay for what they were given, or left while it was made."""
    if not (status is Status.COMPLETED or exchange.answer_bytes or (status is Status.CLIENT_GONE and exchange.left)):
        return _NONE
    said = exchange.answer_bytes // _BYTES_PER_TOKEN if exchange.endpoint.says else 0
    return Usage(input_tokens=exchange.prompt_bytes // _BYTES_PER_TOKEN, output_tokens=exchange.pieces or said, estimated=True)


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
