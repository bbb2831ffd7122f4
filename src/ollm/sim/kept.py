"""The enclave's own receipts, in memory, the newest few thousand (ACI §7.1: a bounded, implementation-defined period)."""

import hashlib
import hmac

from ollm.errors import ApiError
from ollm.values.secret import Hidden

LIMIT = 4096


class _Kept(Hidden, frozen=True):
    chat_id: str | None
    credential: bytes | None  # SHA-256 of the bearer; None when the request had none
    document: bytes


class KeptReceipts:
    """Receipts by their id and by the answer's id, each for the credential of its request only (ACI §7.6)."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._kept: dict[str, _Kept] = {}  # in order of arrival
        self._by_chat: dict[str, str] = {}

    def put(self, receipt_id: str, document: bytes, *, chat_id: str | None, bearer: str | None) -> None:
        """Keep `document`; the oldest goes when there are too many."""
        self._kept[receipt_id] = _Kept(chat_id, _digest(bearer) if bearer is not None else None, document)
        if chat_id is not None:
            self._by_chat[chat_id] = receipt_id
        while len(self._kept) > self._limit:
            oldest = next(iter(self._kept))
            gone = self._kept.pop(oldest)
            if gone.chat_id is not None and self._by_chat.get(gone.chat_id) == oldest:
                del self._by_chat[gone.chat_id]

    def get(self, name: str, *, bearer: str | None) -> bytes:
        """The receipt called `name`, by either id. Raises: ApiError 401 without a credential, 404 for a foreign or unknown one."""
        kept = self._kept.get(self._by_chat.get(name, name))
        if kept is not None and kept.credential is None:
            return kept.document
        if bearer is None:
            raise ApiError(401, "unauthorized", None, "receipts are given to the credential of their request only")
        if kept is None or kept.credential is None or not hmac.compare_digest(kept.credential, _digest(bearer)):
            raise ApiError(404, "not_found", None, "there is no such receipt")
        return kept.document


def _digest(bearer: str) -> bytes:
    return hashlib.sha256(bearer.encode(errors="surrogateescape")).digest()
