"""API keys: their text form, how they are authenticated, and how their rows are.

    sk-ollm-<key id: 16 characters of a-z2-7>-<secret: 43 characters, base64url of 32 bytes>

The id is public and finds the row; the secret is random (256 bits), so a plain HMAC under the server's pepper keeps it
(security: no slow hash is needed), and it is shown once. A row's own MAC covers all its other columns under a key that
the store does not hold: whoever can write the database can withhold a row or bring back an older one, but can neither
make a key nor widen what it may do.
"""

import base64
import binascii
import functools
import hmac
import re

import msgspec

from ollm.ports import Keys
from ollm.values.ledger import KeyRow
from ollm.values.level import Level
from ollm.values.mac import MacKey

RANDOM_BYTES = 42  # what mint_key draws on: 10 for the id, 32 for the secret
_ID_BYTES = 10

# The last character of the secret carries 4 bits: the two spare ones must be zero, so that a key has one spelling.
_KEY = re.compile(rb"sk-ollm-([a-z2-7]{16})-([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_keyed = functools.lru_cache(maxsize=2)(MacKey)  # an installation has one pepper
_NO_SECRET = bytes(32)
_NO_MAC = bytes(32)  # no key's HMAC in practice; compared against where there is no row, so that the time is the same


def mint_key(
    *, pepper: bytes, row_key: bytes, name: str, require: Level, created_at: int, expires_at: int | None = None, random: bytes
) -> tuple[str, KeyRow]:
    """A new key's text, to be shown once, and its row. `random` is 42 fresh random bytes; times are Unix seconds."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a key takes {RANDOM_BYTES} random bytes")
    key_id = base64.b32encode(random[:_ID_BYTES]).decode().lower()
    secret = random[_ID_BYTES:]
    text = f"sk-ollm-{key_id}-{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"
    row = KeyRow(
        key_id=key_id,
        name=name,
        mac=hmac.digest(pepper, secret, "sha256"),
        require=require,
        created_at=created_at,
        expires_at=expires_at,
        revoked_at=None,
        row_mac=b"",
    )
    return text, authenticated(row, row_key)


def parse_key(text: str) -> tuple[str, bytes] | None:
    """Key id and secret of a key's text, or None when it isn't of our form."""
    match = _KEY.fullmatch(text.encode("utf-8", "replace"))
    if match is None:
        return None
    return match[1].decode(), binascii.a2b_base64(match[2].translate(_URL_SAFE) + b"=")


def authenticate(text: str, keys: Keys, pepper: bytes, now: int) -> tuple[KeyRow, bytes] | None:
    """The row and secret of a valid key, or None: malformed, unknown, wrong, revoked or expired at `now` (Unix seconds).

    An unknown id and a wrong secret take the same steps; only who knows the secret can tell revoked from unknown by time.
    """
    parsed = parse_key(text)
    key_id, secret = parsed if parsed is not None else ("", _NO_SECRET)
    row = keys.lookup(key_id)
    genuine = hmac.compare_digest(_peppered(pepper, secret), row.mac if row is not None else _NO_MAC)
    if not genuine or row is None or parsed is None:
        return None
    if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
        return None
    return row, secret


def _peppered(pepper: bytes, secret: bytes) -> bytes:
    return _keyed(pepper).digest(secret)


def row_mac(row: KeyRow, row_key: bytes) -> bytes:
    """HMAC-SHA-256 over all columns of `row` but `row_mac`, as a JSON array, which has one reading."""
    columns = (row.key_id, row.name, row.mac.hex(), row.require, row.created_at, row.expires_at, row.revoked_at)
    return hmac.digest(row_key, b"ollm.store.key-row.v1\0" + msgspec.json.encode(columns), "sha256")


def authenticated(row: KeyRow, row_key: bytes) -> KeyRow:
    """`row` with the MAC that its other columns call for."""
    return msgspec.structs.replace(row, row_mac=row_mac(row, row_key))


def is_authentic(row: KeyRow, row_key: bytes) -> bool:
    """Whether the row's MAC is the one that its other columns call for."""
    return hmac.compare_digest(row_mac(row, row_key), row.row_mac)
