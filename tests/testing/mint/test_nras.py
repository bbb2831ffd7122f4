"""The minted attestation service: its bundles have the form of NVIDIA's and verify with nothing of ours."""

import base64
import hashlib
import json
from itertools import pairwise

import jwt
from cryptography import x509

from ollm.testing.mint.nras import KEY_ID, common_claims, create_service, hmac_token, unsigned_token
from tests.sim.hardware import NOW

NONCE = bytes(32)
SERVICE = create_service(NOW)
BUNDLE = json.loads(SERVICE.bundle(NOW, NONCE, gpus=2, switches=1))


def test_every_token_verifies_under_the_published_key() -> None:
    keys = jwt.PyJWKSet.from_json(SERVICE.jwks().decode())
    for token in (BUNDLE[0][1], *BUNDLE[1].values()):
        signed = jwt.PyJWS(algorithms=["ES384"]).decode(token, keys[KEY_ID], algorithms=["ES384"])
        claims = json.loads(signed)
        assert common_claims(NOW, NONCE).items() <= claims.items()


def test_the_overall_token_names_the_others() -> None:
    overall = jwt.decode(BUNDLE[0][1], options={"verify_signature": False})
    assert list(overall["submods"]) == ["GPU-0", "GPU-1", "SWITCH-0"]
    for name, token in BUNDLE[1].items():
        assert overall["submods"][name] == ["DIGEST", ["SHA-256", hashlib.sha256(token.encode()).hexdigest()]]


def test_the_key_is_certified_up_to_the_root() -> None:
    chain = [x509.load_der_x509_certificate(base64.b64decode(entry)) for entry in SERVICE.jwk()["x5c"]]
    for certificate, issuer in pairwise(chain):
        certificate.verify_directly_issued_by(issuer)
    assert chain[-1] == SERVICE.root.certificate
    assert chain[0].public_key() == SERVICE.signing.key.public_key()


def test_claims_of_both_versions_differ_as_nvidias_do() -> None:
    for version, flag, chain in (("2.0", True, False), ("3.0", False, True)):
        bundle = json.loads(SERVICE.bundle(NOW, NONCE, gpus=1, version=version))
        claims = jwt.decode(bundle[1]["GPU-0"], options={"verify_signature": False})
        assert ("x-nvidia-gpu-attestation-report-cert-chain-validated" in claims) is flag
        assert ("x-nvidia-gpu-attestation-report-cert-chain" in claims) is chain


def test_knobs() -> None:
    bundle = json.loads(SERVICE.bundle(NOW, NONCE, gpus=2, device=lambda claims: claims.pop("measres"), overall=lambda claims: claims.pop("sub")))
    first, last = (jwt.decode(token, options={"verify_signature": False}) for token in bundle[1].values())
    assert ("measres" in first, "measres" in last) == (True, False)
    assert "sub" not in jwt.decode(bundle[0][1], options={"verify_signature": False})
    assert unsigned_token({"a": 1}).endswith(".")
    assert jwt.decode(hmac_token({"a": 1}, b"secret" * 6), "secret" * 6, algorithms=["HS256"]) == {"a": 1}
    assert create_service(NOW, root=SERVICE.root).root == SERVICE.root
