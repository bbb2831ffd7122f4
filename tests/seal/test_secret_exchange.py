"""X-Wing and the export-only context against the drafts' vectors and a service of our own."""

import base64
import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256

from ollm.seal.secret_exchange import SecretExchange
from ollm.testing.sealing.privatemode import SecretService
from tests.seal.peers import code_of


def from_seed(seed: bytes) -> SecretExchange:
    """The key pair of a 32-byte seed (draft-connolly-cfrg-xwing-kem §5.2)."""
    expanded = hashlib.shake_256(seed).digest(96)
    return SecretExchange(mlkem=MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), x25519=X25519PrivateKey.from_private_bytes(expanded[64:]))


def test_x_wing_of_the_draft(evidence_dir: Path) -> None:
    for vector in json.loads((evidence_dir / "hpke" / "xwing-test-vectors.json").read_text()):
        ours = from_seed(bytes.fromhex(vector["sk"]))
        assert ours.public_key.hex() == vector["pk"]
        assert ours.shared_secret(bytes.fromhex(vector["ct"])).hex() == vector["ss"]


def test_x_wing_in_hpke(evidence_dir: Path) -> None:
    vectors = json.loads((evidence_dir / "hpke" / "hpke-pq-test-vectors.json").read_text())
    xwing = [vector for vector in vectors if vector["kem_id"] == 0x647A]
    assert len(xwing) == 2
    for vector in xwing:
        ours = from_seed(bytes.fromhex(vector["skRm"]))
        assert ours.public_key.hex() == vector["pkRm"]
        assert ours.shared_secret(bytes.fromhex(vector["enc"])).hex() == vector["shared_secret"]


def test_one_exchange() -> None:
    service, ours = SecretService(), SecretExchange()
    secret = ours.secret(*service.exchange(ours.public_key), service.public_key)
    assert len(ours.public_key) == 1216
    assert ours.secret_id == base64.b64encode(hashlib.sha256(ours.public_key).digest()).decode()
    assert service.secrets == {ours.secret_id: secret}
    assert len(secret) == 32


def test_every_exchange_has_its_own_keys() -> None:
    assert SecretExchange().public_key != SecretExchange().public_key


def test_an_answer_that_the_service_did_not_sign_for_us_is_refused() -> None:
    service, ours = SecretService(), SecretExchange()
    encapsulated, signature = service.exchange(ours.public_key)
    other = SecretExchange()
    assert code_of(lambda: ours.secret(encapsulated, signature, SecretService().public_key)) == "INVALID_ENCAPSULATED_KEY"
    assert code_of(lambda: other.secret(encapsulated, signature, service.public_key)) == "INVALID_ENCAPSULATED_KEY"
    assert code_of(lambda: ours.secret(encapsulated[:-1] + b"\0", signature, service.public_key)) == "INVALID_ENCAPSULATED_KEY"
    assert code_of(lambda: ours.secret(encapsulated, b"no signature", service.public_key)) == "INVALID_ENCAPSULATED_KEY"


@pytest.mark.parametrize("size", [0, 1119, 1121])
def test_an_encapsulated_key_has_its_size(size: int) -> None:
    assert code_of(lambda: SecretExchange().secret(bytes(size), b"", SecretService().public_key)) == "INVALID_ENCAPSULATED_KEY"


def test_a_point_of_low_order_is_refused_even_when_signed() -> None:
    service, ours = ec.generate_private_key(ec.SECP256R1()), SecretExchange()
    encapsulated = bytes(1120)
    signature = service.sign(ours.public_key + encapsulated, ec.ECDSA(SHA256()))
    assert code_of(lambda: ours.secret(encapsulated, signature, service.public_key())) == "HPKE_SETUP_FAILED"
