"""The gateway's own keyset: stable while its keys and its configuration are, and for at most half of its lifetime.

It is kept in the data directory, so that receipts of the last run still verify under the keyset that is served.
"""

import hashlib
import json
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ollm.config.load import Loaded
from ollm.errors import ConfigError, WireError
from ollm.ports import Clock, Signer
from ollm.store.files import turn
from ollm.values.aci import Keyset, SigningKey, TlsKey, config_subject, parse_keyset

_DAY = 86400


def gateway_keyset(loaded: Loaded, signer: Signer, data_dir: Path, clock: Clock) -> Keyset:
    """The keyset to serve: the kept one if it still says the same, a new one otherwise. Raises: ConfigError, StoreError.

    Workers take turns, so that all of them serve the one that the first of them made.
    """
    with turn(data_dir / "keyset.lock"):
        return _in_turn(loaded, signer, data_dir / "keyset.json", clock)


def _in_turn(loaded: Loaded, signer: Signer, path: Path, clock: Clock) -> Keyset:
    lifetime = loaded.settings.evidence.keyset_days * _DAY
    wanted = Keyset(
        subject=config_subject(loaded.digest),
        not_after=clock.now() + lifetime,
        receipt_signing_keys=(SigningKey(signer.key_id, "ed25519", signer.public_key.hex()),),
        e2ee_public_keys=(),
        tls_public_keys=_tls_keys(loaded),
    )
    kept = _kept(path)
    if kept is not None and kept.not_after > clock.now() + lifetime // 2:
        same = Keyset(kept.subject, wanted.not_after, kept.receipt_signing_keys, kept.e2ee_public_keys, kept.tls_public_keys) == wanted
        if same and kept.not_after <= wanted.not_after:
            return kept
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(wanted.document()))
    os.replace(temporary, path)
    return wanted


def _kept(path: Path) -> Keyset | None:
    try:
        return parse_keyset(json.loads(path.read_bytes()))[0]
    except (OSError, ValueError, WireError):
        return None  # made anew: the kept one only saves receipts a look into an archive


def _tls_keys(loaded: Loaded) -> tuple[TlsKey, ...]:
    gateway = loaded.settings.gateway
    if gateway.tls_certificate is None:
        return ()
    path = loaded.path(gateway.tls_certificate)
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        raise ConfigError(f"can't read the certificate {path}", "gateway.tls_certificate must name a PEM file") from None
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return (TlsKey(hashlib.sha256(spki).hexdigest(), gateway.public_hostname),)
