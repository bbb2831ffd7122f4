"""The mesh CA, the secret service's certificate, and its signature over an agreement."""

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ollm.attest.services.privatemode import manifest, mesh
from ollm.errors import EvidenceRefused
from ollm.testing.mint.contrast import SERVICE_NAME, WORKLOAD, Mesh, encoded, manifest_of, pem
from ollm.testing.mint.x509 import DAY, Authority, create_root, issue
from tests.attest.services.privatemode.deployments import agreed, agreement, deployment
from tests.sim.hardware import NOW

MESH = deployment().mesh
MANIFEST = manifest.read(deployment().manifest)


def refusal(call: Any) -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as problem:
        call()
    return problem.value


def der(of: Authority) -> bytes:
    return of.certificate.public_bytes(Encoding.DER)


def certified(of: Authority, name: str | None = SERVICE_NAME, now: int = NOW) -> mesh.SecretService:
    return mesh.check_secret_service(der(of), MESH.ca.certificate, name, MANIFEST, now)


def test_an_agreement_is_named_by_our_key() -> None:
    found = mesh.read(agreed(deployment()))
    assert found.public_key == agreement().public_key
    assert base64.b64encode(bytes.fromhex(found.digest)).decode() == agreement().secret_id


@pytest.mark.parametrize("role", [mesh.ASKED, mesh.ANSWERED])
@pytest.mark.parametrize("data", [None, b"", b"{}", b'{"PublicKey":"AA=="}', b'{"EncapsulatedKey":"AA==","Signature":"","MeshCert":""}'])
def test_an_agreement_that_can_not_be_read(role: str, data: bytes | None) -> None:
    documents = agreed(deployment())
    if data is None:
        del documents[role]
    else:
        documents[role] = data
    assert refusal(lambda: mesh.read(documents)).check == "privatemode.format"


def test_the_mesh_ca_holds_for_as_long_as_it_says() -> None:
    certificate, period = mesh.check_mesh_ca(pem(MESH.ca), NOW)
    assert certificate == MESH.ca.certificate
    assert period.end == NOW + 10 * 365 * DAY
    for moment in (NOW - 2 * DAY, period.end):
        assert refusal(lambda at=moment: mesh.check_mesh_ca(pem(MESH.ca), at)).check == "privatemode.mesh_ca"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        pem(MESH.ca) + pem(MESH.root),
        pem(MESH.certify(SERVICE_NAME)),
        pem(issue("x", None, start=NOW - DAY, end=NOW + DAY, constrained=False)),
    ],
    ids=["nothing", "no text", "two", "a leaf", "no constraints"],
)
def test_what_is_no_mesh_ca(data: bytes) -> None:
    assert refusal(lambda: mesh.check_mesh_ca(data, NOW)).check == "privatemode.mesh_ca"


def test_the_secret_services_certificate() -> None:
    leaf = MESH.certify("root", SERVICE_NAME)
    found = certified(leaf)
    assert found.period.end == NOW + 365 * DAY
    assert found.public_key == leaf.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert mesh.key_of(found.public_key).public_numbers() == found.key.public_numbers()


OTHERS: list[tuple[str, Any, str]] = [
    ("of another mesh", lambda: Mesh(NOW).certify(SERVICE_NAME), "by another issuer"),
    ("of the mesh's root", lambda: issue(SERVICE_NAME, MESH.root, start=NOW - DAY, end=NOW + DAY, authority=False), "by another issuer"),
    ("a workload's", lambda: MESH.certify(WORKLOAD), f"a certificate for '{WORKLOAD}'"),
    ("without names", lambda: MESH.certify(), "a certificate without names"),
    ("that has ended", lambda: MESH.certify(SERVICE_NAME, start=NOW - 3 * DAY, end=NOW - DAY), "valid until"),
    ("of later", lambda: MESH.certify(SERVICE_NAME, start=NOW + DAY, end=NOW + 3 * DAY), "valid from"),
    ("an authority's", lambda: MESH.certify(SERVICE_NAME, authority=True), "of another purpose"),
    ("on another curve", lambda: MESH.certify(SERVICE_NAME, key=ec.generate_private_key(ec.SECP256K1())), "a key of another kind"),
]


@pytest.mark.parametrize(("make", "got"), [(make, got) for _, make, got in OTHERS], ids=[name for name, _, _ in OTHERS])
def test_a_certificate_that_is_not_the_secret_services(make: Any, got: str) -> None:
    problem = refusal(lambda: certified(make()))
    assert problem.check == "privatemode.secret_service"
    assert got in problem.got


def test_bytes_that_are_no_certificate() -> None:
    problem = refusal(lambda: mesh.check_secret_service(b"nothing", MESH.ca.certificate, SERVICE_NAME, MANIFEST, NOW))
    assert problem.check == "privatemode.secret_service"


def test_a_key_of_another_algorithm() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    template = MESH.certify(SERVICE_NAME).certificate
    builder = x509.CertificateBuilder(
        issuer_name=MESH.ca.certificate.subject,
        subject_name=template.subject,
        public_key=key.public_key(),
        serial_number=template.serial_number,
        not_valid_before=template.not_valid_before_utc,
        not_valid_after=template.not_valid_after_utc,
        extensions=list(template.extensions),
    )
    signed = builder.sign(MESH.ca.key, template.signature_hash_algorithm)  # type: ignore[arg-type]  # it has one: ECDSA's
    check = lambda: mesh.check_secret_service(signed.public_bytes(Encoding.DER), MESH.ca.certificate, SERVICE_NAME, MANIFEST, NOW)  # noqa: E731
    assert refusal(check).got == "a key of another kind"
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert refusal(lambda: mesh.key_of(spki)).check == "privatemode.secret_service"
    assert refusal(lambda: mesh.key_of(b"no key")).check == "privatemode.secret_service"


def test_the_policy_names_the_secret_service_and_the_manifest_gives_the_name_to_one() -> None:
    leaf = MESH.certify("root", SERVICE_NAME)
    assert refusal(lambda: certified(leaf, None)).got == "a policy that names no secret service"
    assert refusal(lambda: certified(leaf, "elsewhere.example")).got == "a manifest that gives elsewhere.example to 0 policies"
    shared = manifest_of(deployment().coordinator)
    for entry in shared["Policies"].values():
        entry["SANs"].append(SERVICE_NAME)
    found = manifest.read(encoded(shared))
    problem = refusal(lambda: mesh.check_secret_service(der(leaf), MESH.ca.certificate, SERVICE_NAME, found, NOW))
    assert problem.got == f"a manifest that gives {SERVICE_NAME} to 3 policies"


def test_the_signature_is_over_both_sides_keys() -> None:
    found = mesh.read(agreed(deployment()))
    service = mesh.check_secret_service(found.certificate, MESH.ca.certificate, SERVICE_NAME, MANIFEST, NOW)
    mesh.check_secret(found, service)
    other = mesh.read(agreed(deployment()))
    for changed in (
        mesh.Exchange(public_key=found.public_key, encapsulated=other.encapsulated, signature=found.signature, certificate=b""),
        mesh.Exchange(public_key=bytes(1216), encapsulated=found.encapsulated, signature=found.signature, certificate=b""),
        mesh.Exchange(public_key=found.public_key, encapsulated=found.encapsulated, signature=b"", certificate=b""),
    ):
        assert refusal(lambda it=changed: mesh.check_secret(it, service)).check == "privatemode.secret"
    stranger = mesh.SecretService(create_root("x", NOW).key.public_key(), service.period)
    assert refusal(lambda: mesh.check_secret(found, stranger)).check == "privatemode.secret"
