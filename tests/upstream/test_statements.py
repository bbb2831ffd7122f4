"""Statements that came with evidence: heard only where the policy hears somebody, and only once verified."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ollm.attest.provenance.reference_values import REFERENCE_VALUES
from ollm.errors import ConfigError, EvidenceRefused
from ollm.testing.mint.provenance import BUILD, Sigstore, packed, sealed, statement
from ollm.upstream.statements import MAX_STATEMENTS, verified_statement, verified_statements
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy
from ollm.values.provenance import BuildIdentity, ProvenancePolicy, SigningKey

NOW = 1_790_000_000
KEY, OTHER = (Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32) for number in (1, 2))
PUBLIC = KEY.public_key().public_bytes_raw().hex()
SIGNED = packed(sealed(statement(REFERENCE_VALUES, {"issued_at": NOW, "expires_at": NOW + 60}), KEY))


def policy(provenance: ProvenancePolicy | None) -> AttestationPolicy:
    return AttestationPolicy(name="p", level=Level.SIMULATED, provenance=provenance)


SIGNERS = policy(ProvenancePolicy(signers=(PUBLIC,)))
BUILDS = policy(ProvenancePolicy(builds=(BuildIdentity(repository="acme/inference", workflow=".github/workflows/release.yml"),)))


def refused(*args: Any) -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as refusal:
        verified_statements(*args)
    return refusal.value


def test_a_policy_that_hears_nobody_is_told_nothing() -> None:
    assert verified_statements([b"nonsense"] * 1000, policy(None), None) == ()


def test_values_under_a_key_that_the_policy_names() -> None:
    (heard,) = verified_statements([SIGNED], SIGNERS, None)
    assert (heard.by, heard.signed_at) == (SigningKey(public_key=PUBLIC), NOW)


@pytest.mark.parametrize(
    "said",
    [packed(sealed(statement(REFERENCE_VALUES, {"issued_at": NOW, "expires_at": NOW + 60}), OTHER)), b"", b"{}", SIGNED.replace(b"A", b"B", 1)],
    ids=["another key", "nothing", "no envelope", "changed"],
)
def test_what_is_not_genuine_refuses_all_of_it(said: bytes) -> None:
    assert refused([SIGNED, said], SIGNERS, None).check == "provenance.signature"


def test_a_policy_without_signers_believes_no_key() -> None:
    assert refused([SIGNED], BUILDS, None).check == "provenance.signature"


def test_there_is_an_end_to_how_many_are_heard() -> None:
    assert len(verified_statements([SIGNED] * MAX_STATEMENTS, SIGNERS, None)) == MAX_STATEMENTS
    refusal = refused([SIGNED] * (MAX_STATEMENTS + 1), SIGNERS, None)
    assert (refusal.check, refusal.got, refusal.want) == ("provenance.bundle", "65 statements", "at most 64")


def test_a_bundle_needs_sigstores_root() -> None:
    assert refused([b'{"mediaType":"x"}'], BUILDS, None).check == "provenance.trust_root"


def test_a_bundle_under_sigstores_root_says_who_built() -> None:
    pytest.importorskip("sigstore", reason="the extra `provenance` is not installed")
    sigstore = Sigstore(NOW)
    root = packed(sigstore.trust_root())
    bundle = packed(sigstore.bundle(statement("https://slsa.dev/provenance/v1", {"x": 1}), NOW))
    heard = verified_statement(bundle, BUILDS, lambda: root)
    assert (heard.by, heard.signed_at) == (BUILD, NOW)
    assert verified_statements([bundle], BUILDS, root) == (heard,)
    other = packed(Sigstore(NOW).trust_root())
    assert refused([bundle], BUILDS, other).check.startswith("provenance.")


def test_sigstores_root_is_asked_for_only_by_a_bundle() -> None:
    def root() -> bytes:
        raise ConfigError("no root here", "none")

    with pytest.raises(EvidenceRefused):
        verified_statement(b"{}", BUILDS, root)
    with pytest.raises(ConfigError, match="no root here"):
        verified_statement(b'{"mediaType":""}', BUILDS, root)
