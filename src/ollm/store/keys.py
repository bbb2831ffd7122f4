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
from ollm.store.subjects import authenticated
from ollm.values.identity import DEFAULT_PROJECT, Role
from ollm.values.ledger import KeyRow
from ollm.values.level import Level
from ollm.values.mac import MacKey
from ollm.values.standing import Standing
from ollm.values.terms import NO_TERMS, Terms

RANDOM_BYTES = 42  # what mint_key draws on: 10 for the id, 32 for the secret
_ID_BYTES = 10

# The last character of the secret carries 4 bits: the two spare ones must be zero, so that a key has one spelling.
_KEY = re.compile(rb"sk-ollm-([a-z2-7]{16})-([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_keyed = functools.lru_cache(maxsize=2)(MacKey)  # an installation has one pepper
_NO_SECRET = bytes(32)
_NO_MAC = bytes(32)  # no key's HMAC in practice; compared against where there is no row, so that the time is the same


class NewKey(msgspec.Struct, frozen=True, kw_only=True):
    """What an admin says of a key to be made. Times are Unix seconds."""

    name: str
    require: Level = Level.TEE
    created_at: int
    expires_at: int | None = None
    project_id: str = DEFAULT_PROJECT
    owner: str | None = None
    role: Role = Role.MEMBER
    terms: Terms = NO_TERMS
    replaces: str | None = None


def mint_key(new: NewKey, *, pepper: bytes, row_key: bytes, random: bytes) -> tuple[str, KeyRow]:
    """A new key's text, to be shown once, and its row. `random` is 42 fresh random bytes."""
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a key takes {RANDOM_BYTES} random bytes")
    key_id = base64.b32encode(random[:_ID_BYTES]).decode().lower()
    secret = random[_ID_BYTES:]
    text = f"sk-ollm-{key_id}-{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"
    row = KeyRow(
        key_id=key_id,
        name=new.name,
        mac=hmac.digest(pepper, secret, "sha256"),
        require=new.require,
        created_at=new.created_at,
        expires_at=new.expires_at,
        revoked_at=None,
        row_mac=b"",
        project_id=new.project_id,
        owner=new.owner,
        role=new.role,
        terms=new.terms,
        replaces=new.replaces,
    )
    return text, authenticated(row, row_key)


def parse_key(text: str) -> tuple[str, bytes] | None:
    """Key id and secret of a key's text, or None when it isn't of our form."""
    match = _KEY.fullmatch(text.encode("utf-8", "replace"))
    if match is None:
        return None
    return match[1].decode(), binascii.a2b_base64(match[2].translate(_URL_SAFE) + b"=")


def authenticate(text: str, keys: Keys, pepper: bytes, now: int) -> tuple[Standing, bytes] | None:
    """What a valid key may do, and its secret; None: malformed, unknown, wrong, revoked, disabled, expired at `now` (Unix seconds), or
    of a project or an owner that is gone.

    An unknown id and a wrong secret take the same steps; only who knows the secret can tell revoked from unknown by time.
    """
    parsed = parse_key(text)
    key_id, secret = parsed if parsed is not None else ("", _NO_SECRET)
    found = keys.lookup(key_id)
    genuine = hmac.compare_digest(_peppered(pepper, secret), found.row.mac if found is not None else _NO_MAC)
    if not genuine or found is None or parsed is None:
        return None
    standing = found.standing_at(now)
    return None if standing is None else (standing, secret)


def _peppered(pepper: bytes, secret: bytes) -> bytes:
    return _keyed(pepper).digest(secret)
