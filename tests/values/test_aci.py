"""Keyset, statement and report data: the values of ACI's test vectors."""

import json
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ollm.errors import WireError
from ollm.values.aci import (
    HPKE_ALGO,
    E2eeKey,
    Keyset,
    SigningKey,
    TlsKey,
    config_digest_of,
    config_subject,
    parse_keyset,
    report_data,
    statement,
)
from ollm.values.hexes import Hex32, Sha256
from ollm.values.jcs import canonical

RECEIPT_PUBLIC = Ed25519PrivateKey.from_private_bytes(bytes([2] * 32)).public_key().public_bytes_raw().hex()
E2EE_PUBLIC = X25519PrivateKey.from_private_bytes(bytes([3] * 32)).public_key().public_bytes_raw().hex()
KEYSET = Keyset(
    subject="dstack-app://example-app",
    not_after=1800000000,
    receipt_signing_keys=(SigningKey("receipt-1", "ed25519", RECEIPT_PUBLIC),),
    e2ee_public_keys=(E2eeKey("e2ee-1", "x25519-aes-256-gcm-hkdf-sha256", E2EE_PUBLIC),),
    tls_public_keys=(TlsKey("c0" * 32, "api.example.com"),),
)
DIGEST = Sha256("sha256:53a5cd44b30dcc51999754c719f2628a041f174ecbf9662a6f8e898a10cd9371")
NONCE = Hex32(bytes(range(32)).hex())


def document(**changes: Any) -> dict[str, Any]:
    base: dict[str, Any] = json.loads(canonical(KEYSET.document()))
    return {**base, **changes}


# --- the vectors --------------------------------------------------------------------------------------------------------


def test_the_vectors_keys() -> None:
    assert RECEIPT_PUBLIC == "8139770ea87d175f56a35466c34c7ecccb8d8a91b4ee37a25df60f5b8fc9b394"
    assert E2EE_PUBLIC == "5dfedd3b6bd47f6fa28ee15d969d5bb0ea53774d488bdaf9df1c6e0124b3ef22"


def test_the_vectors_keyset() -> None:
    assert KEYSET.digest() == DIGEST
    assert parse_keyset(document()) == (KEYSET, DIGEST)


def test_the_vectors_statement() -> None:
    assert statement(DIGEST, NONCE) == f'{{"keyset_digest":"{DIGEST}","nonce":"{NONCE}","purpose":"aci.report_data.v1"}}'.encode()
    assert statement(DIGEST, None) == f'{{"keyset_digest":"{DIGEST}","nonce":null,"purpose":"aci.report_data.v1"}}'.encode()


@pytest.mark.parametrize("nonce", [NONCE, None])
def test_a_statement_is_its_own_canonical_form(nonce: Hex32 | None) -> None:
    assert canonical(json.loads(statement(DIGEST, nonce))) == statement(DIGEST, nonce)


def test_the_vectors_report_data() -> None:
    assert report_data(DIGEST, NONCE).hex() == "df2174d28130852b413646a3786927b93e94c11d770268b65def8bdba45cb49e" + "00" * 32
    assert report_data(DIGEST, None).hex() == "0633919ca3f00e97bafaa3304278eb22420cc3ff0d19f87dfca2d3f7508150bc" + "00" * 32


# --- the digest follows every change ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": None},
        {"not_after": 1800000001},
        {"receipt_signing_keys": ()},
        {"e2ee_public_keys": KEYSET.e2ee_public_keys * 2},
        {"tls_public_keys": (TlsKey("c0" * 32),)},
    ],
    ids=str,
)
def test_any_change_is_another_digest(changes: dict[str, Any]) -> None:
    assert msgspec.structs.replace(KEYSET, **changes).digest() != DIGEST


def test_the_digest_is_over_what_was_received() -> None:
    spelled = document(tls_public_keys=[{"spki_sha256": "c0" * 32, "domain": None}])
    keyset, digest = parse_keyset(spelled)
    assert keyset.tls_public_keys == (TlsKey("c0" * 32),)
    assert digest != keyset.digest()  # ours leaves the null away, theirs spelled it out, and theirs was quoted


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        {},
        document(extra=1),
        document(not_after="1800000000"),
        document(not_after=1.5),
        document(not_after=None),
        document(receipt_signing_keys=None),
        document(receipt_signing_keys=[{"key_id": "a", "algo": "ed25519"}]),
        document(receipt_signing_keys=[{"key_id": "a", "algo": "ed25519", "public_key": "00", "private_key": "00"}]),
        document(tls_public_keys=[{"domain": "a"}]),
        document(e2ee_public_keys=[{"key_id": name, "algo": HPKE_ALGO, "public_key": name * 64} for name in "ab"]),
        {name: value for name, value in document().items() if name != "not_after"},
        {name: value for name, value in document().items() if name != "subject"},
    ],
    ids=lambda value: repr(value)[:40],
)
def test_what_is_no_keyset(wrong: object) -> None:
    with pytest.raises(WireError):
        parse_keyset(wrong)


# --- the key to seal to -------------------------------------------------------------------------------------------------


def test_the_sealing_key_is_chosen_by_its_algorithm() -> None:
    assert KEYSET.hpke_key() is None
    keys = (*KEYSET.e2ee_public_keys, E2eeKey("hpke-1", HPKE_ALGO, "07" * 32))
    assert msgspec.structs.replace(KEYSET, e2ee_public_keys=keys).hpke_key() == bytes([7] * 32)


@pytest.mark.parametrize("key", ["", "07" * 31, "0x" + "07" * 32, "zz" * 32])
def test_a_malformed_sealing_key_is_an_error_not_an_absence(key: str) -> None:
    with pytest.raises(WireError):
        msgspec.structs.replace(KEYSET, e2ee_public_keys=(E2eeKey("hpke-1", HPKE_ALGO, key),)).hpke_key()


# --- the configuration that the quote binds -----------------------------------------------------------------------------


def test_the_subject_carries_the_configurations_digest() -> None:
    keyset = msgspec.structs.replace(KEYSET, subject=config_subject(DIGEST))
    assert keyset.subject == "ollm-config:" + DIGEST
    assert config_digest_of(keyset) == DIGEST


@pytest.mark.parametrize("subject", [None, "", "dstack-app://example-app", DIGEST])
def test_another_subject_names_no_configuration(subject: str | None) -> None:
    assert config_digest_of(msgspec.structs.replace(KEYSET, subject=subject)) is None


@pytest.mark.parametrize("rest", ["", "sha256:", "sha512:" + "00" * 32, DIGEST + "0"])
def test_a_malformed_configuration_digest_is_refused(rest: str) -> None:
    with pytest.raises(WireError):
        config_digest_of(msgspec.structs.replace(KEYSET, subject="ollm-config:" + rest))
