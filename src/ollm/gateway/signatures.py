"""The upstream machine's own signature over its answer: asked for, verified, and put into the receipt before anything ends."""

from ollm.errors import ApiError, EvidenceRefused, UpstreamError
from ollm.gateway.exchange import Exchange
from ollm.receipts.receipt import response_signature
from ollm.upstream.answer import Answer
from ollm.values.hexes import sha256_of


async def note_signature(exchange: Exchange, answer: Answer, chat_id: str | None) -> None:
    """Note what the machine signed, where its evidence binds a key for that; `chat_id` is the provider's name for the answer, read to its end.

    Raises: ApiError when the policy demands a signature and there is none that holds.
    """
    session = exchange.session
    if session is None or not answer.signed:
        return
    try:
        vouched = await session.vouch(answer, chat_id or "")
    except UpstreamError:
        exchange.note(response_signature("missing"))
    except EvidenceRefused:
        exchange.note(response_signature("failed"))
    else:
        if vouched is not None:
            exchange.note(
                response_signature(
                    "verified",
                    kind=vouched.kind,
                    algorithm=vouched.algorithm,
                    address=vouched.address,
                    text_hash=sha256_of(vouched.text.encode()),
                    body_hash=answer.wire_hash or "",
                    signature=vouched.signature,
                )
            )
            return
    if session.require_signature:
        message = "The provider's machine did not sign this answer, or its signature does not hold; the policy demands one. The answer was discarded."
        raise ApiError(502, "api_error", "upstream_unsigned", message)
