"""The service's key set: well-formed, named keys on P-384, certified now, and simulated ones under the pinned root only."""

import base64
import json
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.tokens import keys
from ollm.attest.tokens.keys import SimulatedService, VendorService
from ollm.errors import EvidenceRefused
from ollm.testing.mint.nras import KEY_ID, NrasService, create_service
from ollm.testing.mint.x509 import issue
from ollm.values.policy import NvidiaPolicy
from tests.attest.service import refused_check
from tests.sim.hardware import NOW

SERVICE = create_service(NOW)
PINNED = SimulatedService(SERVICE.root.sha256)


def refused(check: str) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, check=lambda error: error.check == check)


def key(service: NrasService = SERVICE, **changes: object) -> keys.SigningKey:
    return keys.signing_key(keys.parse_key_set(service.jwks(**changes)), KEY_ID)


def test_a_policy_admits_one_service() -> None:
    vendor, simulated = keys.service_of(NvidiaPolicy()), keys.service_of(NvidiaPolicy(simulated_root_sha256="51" * 32))
    assert isinstance(vendor, VendorService)
    assert isinstance(simulated, SimulatedService)
    assert (vendor.issuer, vendor.simulated) == ("https://nras.attestation.nvidia.com", False)
    assert (simulated.issuer, simulated.simulated, simulated.root_sha256) == ("https://nras.simulated.invalid", True, "51" * 32)


def test_the_key_is_found_by_its_name() -> None:
    assert key().public == SERVICE.signing.key.public_key()
    with pytest.raises(EvidenceRefused, match="one of the 2 keys"):
        keys.signing_key(keys.parse_key_set(SERVICE.jwks()), "sim-eat-kid-9")


SETS = {
    "empty": b"",
    "no object": b"[]",
    "no keys": b"{}",
    "keys that are no list": b'{"keys": {}}',
    "a key that is no object": b'{"keys": [1]}',
    "a key without a name": b'{"keys": [{}]}',
    "a name twice": SERVICE.jwks(kid="sim-eat-kid-0"),
    "a member twice": b'{"keys": [], "keys": []}',
    "more keys than any": json.dumps({"keys": [{"kid": str(index)} for index in range(1025)]}).encode(),
    "larger than any": b" " * (keys.MAX_KEY_SET + 1),
}


@pytest.mark.parametrize("what", SETS)
def test_a_set_that_is_not_well_formed_is_refused(what: str) -> None:
    with refused("nras.key_set"):
        keys.parse_key_set(SETS[what])


CERTIFICATES = SERVICE.jwk()["x5c"]


@pytest.mark.parametrize(
    "changes",
    [
        {"kty": "RSA"},
        {"crv": "P-256"},
        {"use": "enc"},
        {"alg": "ES256"},
        {"d": "AA"},
        {"x": None},
        {"x": "AA"},
        {"x": SERVICE.jwk()["x"] + "="},
        {"y": SERVICE.jwk()["x"]},  # no point of the curve
        {"x5c": None},
        {"x5c": []},
        {"x5c": "text"},
        {"x5c": CERTIFICATES * 2},
        {"x5c": [1]},
        {"x5c": ["A" * 9000]},
        {"x5c": ["-_"]},
        {"x5c": ["é"]},
        {"x5c": ["AAAA"]},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_a_key_that_is_not_well_formed_is_refused(changes: dict[str, Any]) -> None:
    with refused("nras.key_set"):
        key(**changes)


def test_use_and_algorithm_may_be_named() -> None:
    assert key(use="sig", alg="ES384").public == key().public


def test_a_certified_key_of_the_pinned_root_is_accepted() -> None:
    keys.check_chain(key(), PINNED, NOW)
    assert len(key().periods) == 3


def test_other_roots_are_refused() -> None:
    with refused("nras.key_chain"):
        keys.check_chain(key(), SimulatedService("51" * 32), NOW)
    with refused("nras.key_chain"):  # the chain ends before the root
        keys.check_chain(key(x5c=CERTIFICATES[:2]), PINNED, NOW)


def test_simulated_and_vendors_keys_never_meet() -> None:
    with refused("platform.marker"):
        keys.check_chain(key(), VendorService(), NOW)
    unmarked = create_service(NOW, root=SERVICE.root, marked=False)
    with refused("platform.marker"):
        keys.check_chain(key(unmarked), PINNED, NOW)
    keys.check_chain(key(unmarked), VendorService(), NOW)  # nothing else tells: authenticity of the set is the connection's


def test_the_key_is_that_of_its_certificate() -> None:
    with pytest.raises(EvidenceRefused, match="another key than in its certificate"):
        keys.check_chain(key(x5c=create_service(NOW, root=SERVICE.root).jwk()["x5c"]), PINNED, NOW)


def test_each_certificate_was_issued_by_the_next_which_may_do_that() -> None:
    other = create_service(NOW, root=SERVICE.root).jwk()["x5c"]
    with refused("nras.key_chain"):
        keys.check_chain(key(x5c=[CERTIFICATES[0], other[1], CERTIFICATES[2]]), PINNED, NOW)
    no_authority = issue("intermediate", SERVICE.root, start=NOW - 9, end=NOW + 9, authority=False)
    signing = issue("service", no_authority, start=NOW - 9, end=NOW + 9, authority=False, marked=True)
    with refused("nras.key_chain"):
        keys.check_chain(key(NrasService(SERVICE.root, no_authority, signing)), PINNED, NOW)


def test_a_certificate_with_a_key_that_is_no_point_is_refused() -> None:
    numbers = SERVICE.signing.key.public_key().public_numbers()
    point = numbers.x.to_bytes(48, "big") + numbers.y.to_bytes(48, "big")
    bent = SERVICE.signing.der.replace(point, point[:-1] + bytes([point[-1] ^ 1]))
    x509.load_der_x509_certificate(bent)  # it parses; its key does not
    with refused("nras.key_chain"):
        keys.check_chain(key(x5c=[base64.b64encode(bent).decode(), *CERTIFICATES[1:]]), PINNED, NOW)


def test_a_key_holds_to_the_second_of_its_certificate() -> None:
    start, end = NOW - 60, NOW - 60 + 2 * 86_400
    for now in (start, end - 1):
        keys.check_chain(key(), PINNED, now)
    for now in (start - 1, end):
        with refused("nras.key_chain"):
            keys.check_chain(key(), PINNED, now)


@given(st.binary(max_size=300))
def test_only_our_refusal_escapes_for_any_bytes(data: bytes) -> None:
    assert refused_check(lambda: keys.parse_key_set(data)) == "nras.key_set"


JWK = SERVICE.jwk()
values = st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), lambda inner: st.lists(inner, max_size=3), max_leaves=5)


@given(st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "x5c", "use", "alg", "kid"]), values))
def test_only_our_refusal_escapes_for_bent_keys(changes: dict[str, Any]) -> None:
    document = json.dumps({"keys": [JWK | changes]}).encode()
    assert refused_check(lambda: keys.signing_key(keys.parse_key_set(document), KEY_ID)) in ("nras.key_set", "nras.key", None)
