"""Which build a certificate names, and which the policy admits: whole strings, whatever a lookalike tries."""

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.provenance import identity
from ollm.errors import EvidenceRefused
from ollm.testing.mint.provenance import BUILD, REPOSITORY, WORKFLOW, built, extensions
from ollm.values.provenance import BuildIdentity
from tests.attest.provenance.common import caught

KEY = ec.generate_private_key(ec.SECP256R1())
WANTED = BuildIdentity(repository=REPOSITORY, workflow=WORKFLOW)
SIGNER = "example/signing/.github/workflows/sign.yml@refs/tags/v2"


def certificate(claims: dict[int, str | bytes | None], *more: tuple[x509.ExtensionType, bool]) -> x509.Certificate:
    """A certificate with `claims` as Fulcio writes them, and `more`."""
    day = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([])).public_key(KEY.public_key())
    builder = builder.serial_number(1).not_valid_before(day).not_valid_after(day)
    for number, value in claims.items():
        if value is not None:
            text = value if isinstance(value, bytes) else value.encode()
            der = (
                value
                if isinstance(value, bytes)
                else b"\x0c" + (bytes([len(text)]) if len(text) < 128 else b"\x82" + len(text).to_bytes(2, "big")) + text
            )
            if 127 < len(text) < 256 and not isinstance(value, bytes):
                der = b"\x0c\x81" + bytes([len(text)]) + text
            builder = builder.add_extension(x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.3.6.1.4.1.57264.1.{number}"), der), critical=False)
    for extension, critical in more:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(KEY, hashes.SHA256())


def claims(**changes: str | bytes | None) -> dict[int, str | bytes | None]:
    """The extensions of `BUILD`; `e12="…"` replaces the one with that number, None leaves it out."""
    return {**extensions(), **{int(name[1:]): value for name, value in changes.items()}}


def refused(build_claims: dict[int, str | bytes | None]) -> str:
    with pytest.raises(EvidenceRefused) as refusal:
        identity.check_build(identity.certified_build(certificate(build_claims)), (WANTED,))
    assert refusal.value.check == "provenance.identity"
    return f"got {refusal.value.got}, want {refusal.value.want}"


def test_a_build_is_read_from_its_certificate_and_admitted() -> None:
    build = identity.certified_build(certificate(claims()))
    assert build == BUILD
    assert identity.check_build(build, (BuildIdentity(repository="a/b", workflow=WORKFLOW), WANTED)) is WANTED


@pytest.mark.parametrize(
    "repository",
    [
        "example/enclave-evil",
        "evil/example/enclave",
        "example/enclave/",
        "Example/enclave",
        "example/Enclave",
        "example/enclav",
        "example/enclave.git",
        "example/enclave/.github",
        "exampleXenclave",
        "example//enclave",
    ],
)
def test_a_lookalike_of_the_repository_is_another_one(repository: str) -> None:
    assert "repository" in refused(dict(extensions(built(repository=repository))))


@pytest.mark.parametrize(
    "repository", ["example/enclav\u0435", "example/enclave\n", " example/enclave", "example/enclave\x00", "", "e" * 600, "ex\u200bample/enclave"]
)
def test_an_identity_that_can_not_be_compared_by_eye_is_refused(repository: str) -> None:
    uri = f"https://github.com/{repository}" if repository else ""
    assert "printable ASCII" in refused(claims(e12=uri))


@pytest.mark.parametrize(
    "ref",
    [
        "refs/tags/v1/x",
        "refs/tags/",
        "refs/tags",
        "refs/heads/main",
        "refs/heads/refs/tags/v1",  # a branch named like a tag
        "refs/heads/v1.2.0",
        "refs/pull/7/merge",
        "Refs/tags/v1",
        "/refs/tags/v1",
        "x/refs/tags/v1",
    ],
)
def test_another_ref_than_a_tag_is_refused(ref: str) -> None:
    assert f"ref {ref}" in refused(dict(extensions(built(ref=ref))))


def test_another_workflow_of_the_same_repository_is_refused() -> None:
    assert "workflow .github/workflows/evil.yml" in refused(dict(extensions(built(workflow=".github/workflows/evil.yml"))))
    assert "workflow" in refused(dict(extensions(built(workflow=f"x/{WORKFLOW}"))))


def test_a_reusable_workflow_signs_only_where_the_policy_names_it() -> None:
    build = built(signer=SIGNER)
    assert f"signer {SIGNER}" in refused(dict(extensions(build)))
    for name in (SIGNER, "example/signing/.github/workflows/sign.yml@refs/tags/*"):
        named = BuildIdentity(repository=REPOSITORY, workflow=WORKFLOW, signer=name)
        assert identity.check_build(build, (named,)) is named
    with pytest.raises(EvidenceRefused, match="signer"):
        identity.check_build(BUILD, (named,))


def test_a_workflow_outside_what_was_built_is_refused() -> None:
    for uri in (
        f"https://github.com/evil/required/{WORKFLOW}@refs/tags/v1.2.0",
        f"https://github.com/{REPOSITORY}/{WORKFLOW}@refs/heads/main",
        f"https://github.com/{REPOSITORY}/@refs/tags/v1.2.0",
        f"https://github.com/{REPOSITORY}@refs/tags/v1.2.0",
    ):
        assert "outside the repository or ref" in refused(claims(e18=uri))


@pytest.mark.parametrize("trigger", ["pull_request", "pull_request_target", "issue_comment", "workflow_run", "Push"])
def test_an_event_that_strangers_can_cause_is_refused(trigger: str) -> None:
    assert f"trigger {trigger}" in refused(claims(e20=trigger))


def test_a_machine_that_is_not_githubs_builds_only_where_the_policy_allows_it() -> None:
    build = built(runner="self-hosted")
    with pytest.raises(EvidenceRefused, match="runner self-hosted"):
        identity.check_build(build, (WANTED,))
    lenient = BuildIdentity(repository=REPOSITORY, workflow=WORKFLOW, self_hosted=True)
    assert identity.check_build(build, (lenient,)) is lenient


def test_a_repository_registered_anew_has_another_number() -> None:
    numbered = BuildIdentity(repository=REPOSITORY, workflow=WORKFLOW, repository_id="123456")
    assert identity.check_build(BUILD, (numbered,)) is numbered
    with pytest.raises(EvidenceRefused, match="repository id 7"):
        identity.check_build(built(repository_id="7"), (numbered,))


def test_another_issuer_is_refused() -> None:
    assert "issuer" in refused(claims(e8="https://token.actions.githubusercontent.com.evil.example"))


def test_a_policy_without_builds_admits_none() -> None:
    with pytest.raises(EvidenceRefused, match="the policy admits none"):
        identity.check_build(BUILD, ())


def test_the_nearest_identity_explains_the_refusal() -> None:
    far = BuildIdentity(repository="a/b", workflow="c", ref="d", issuer="e")
    with pytest.raises(EvidenceRefused) as refusal:
        identity.check_build(built(ref="refs/heads/main"), (far, WANTED))
    assert refusal.value.got == "ref refs/heads/main"
    assert refusal.value.want == f"ref refs/tags/* of {REPOSITORY}"


@pytest.mark.parametrize("number", [8, 9, 11, 12, 13, 14, 15, 18, 20])
def test_every_extension_is_needed(number: int) -> None:
    assert f"no extension 1.3.6.1.4.1.57264.1.{number}" in refused({**extensions(), number: None})


def test_the_deprecated_extensions_say_nothing() -> None:
    old: dict[int, str | bytes | None] = {1: b"https://token.actions.githubusercontent.com", 5: REPOSITORY.encode(), 6: b"refs/tags/v1"}
    assert "no extension" in refused(old)
    evil = {**extensions(built(repository="evil/evil")), **old}
    assert "repository evil/evil" in refused(evil)


@pytest.mark.parametrize("der", [b"", b"\x13\x01a", b"\x0c\x02a", b"\x0c\x01ab", b"\x0c\x81\x01a", b"\x0c\x01\xff"])
def test_an_extension_is_a_der_text(der: bytes) -> None:
    assert "malformed" in refused(claims(e14=der))


def test_a_host_that_is_not_githubs_is_refused() -> None:
    assert "a repository" in refused(claims(e12="https://github.com.evil.example/example/enclave"))
    assert "a workflow" in refused(claims(e18="https://example.com/x"))
    assert "a signing workflow" in refused(claims(e9="http://github.com/x"))


def test_a_commit_is_hex() -> None:
    assert "commit main" in refused(claims(e13="main"))


@pytest.mark.parametrize(
    ("pattern", "value", "same"),
    [
        ("refs/tags/*", "refs/tags/v1", True),
        ("refs/tags/v*", "refs/tags/v1", True),
        ("refs/tags/v*", "refs/tags/w1", False),
        ("refs/tags/v1", "refs/tags/v1", True),
        ("refs/tags/v1", "refs/tags/v10", False),
        ("refs/tags/v1", "refs/tags/v", False),
        ("refs/tags/v1.2", "refs/tags/v1x2", False),
        ("refs/*/v1", "refs/tags/v1", False),
        ("refs/*/v1", "refs/*/v1", True),
        ("*", "main", True),
        ("*", "refs/heads/main", False),
        ("*", "", False),
        ("refs/tags/**", "refs/tags/*v1", True),
        ("refs/tags/**", "refs/tags/v1", False),
    ],
)
def test_only_a_final_star_has_a_meaning(pattern: str, value: str, same: bool) -> None:
    assert identity.matches(pattern, value) is same


@given(st.text(), st.text())
def test_a_pattern_matches_what_it_should_and_nothing_else(pattern: str, value: str) -> None:
    expected = value == pattern
    if pattern.endswith("*"):
        stem = pattern[:-1]
        expected = value.startswith(stem) and len(value) > len(stem) and "/" not in value.removeprefix(stem)
    assert identity.matches(pattern, value) is expected


@given(
    st.dictionaries(
        st.sampled_from([8, 9, 11, 12, 13, 14, 15, 18, 20]),
        st.one_of(st.none(), st.binary(max_size=40), st.sampled_from(["", "https://github.com/"])),
    )
)
def test_only_a_refusal_escapes(changes: dict[int, str | bytes | None]) -> None:
    refused = caught(identity.certified_build, certificate({**extensions(), **changes}))
    assert refused is None or refused.check == "provenance.identity"


def test_doubled_extensions_are_refused() -> None:
    doubled = certificate(claims(e20=None, e21="push")).public_bytes(serialization.Encoding.DER)
    # The OIDs …1.21 and …1.18 have equal lengths: one becomes the other, and the certificate has two of them.
    loaded = x509.load_der_x509_certificate(doubled.replace(bytes.fromhex("2b0601040183bf300115"), bytes.fromhex("2b0601040183bf300112")))
    with pytest.raises(EvidenceRefused, match="malformed extensions"):
        identity.certified_build(loaded)
