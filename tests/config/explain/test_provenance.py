"""What is said of those who may vouch for software."""

from typing import Any

from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy
from ollm.values.provenance import BuildIdentity, ProvenancePolicy
from tests.config.explain.saying import holds, notes, nothing, weakens
from tests.config.samples import ROOT


def vouched(**fields: Any) -> AttestationPolicy:
    return AttestationPolicy(name="p", level=Level.TEE, provenance=ProvenancePolicy(**fields))


def build(**fields: Any) -> BuildIdentity:
    return BuildIdentity(**{"repository": "acme/model", "workflow": ".github/workflows/release.yml", **fields})


def test_nobody_is_asked() -> None:
    assert "nobody has to vouch for the software but you" in notes(AttestationPolicy(name="p", level=Level.TEE), "provenance")
    assert "no build may vouch" in notes(vouched(), "provenance.builds")
    assert "no key may vouch" in notes(vouched(), "provenance.signers")


def test_who_vouches_can_name_the_only_values() -> None:
    assert nothing(vouched(), "tdx.reference_values") == "it lists no reference values"
    for trusted in (vouched(signers=(ROOT,)), vouched(builds=(build(),))):
        assert not nothing(trusted, "tdx.reference_values")
        assert "vouches for are the only ones" in notes(trusted, "tdx.reference_values")


def test_a_build_in_full() -> None:
    assert holds(vouched(builds=(build(repository_id="42", signer="acme/sign/s.yml@refs/tags/v1"),)), "provenance.builds") == (
        "software may be vouched for by a build of acme/model (repository number 42), workflow .github/workflows/release.yml at refs/tags/*,"
        " signed by the reusable workflow acme/sign/s.yml@refs/tags/v1, started by push, release, schedule, workflow_dispatch,"
        " on a runner of GitHub's, certified through https://token.actions.githubusercontent.com"
    )


def test_what_a_build_leaves_open() -> None:
    field = "provenance.builds"
    assert "any ref that refs/tags/* matches" in notes(vouched(builds=(build(),)), field)
    assert "known by name only" in notes(vouched(builds=(build(),)), field)
    assert weakens(vouched(builds=(build(),)), field).startswith("whoever can start one of these builds decides which software may read prompts")
    assert "|" not in weakens(vouched(builds=(build(),)), field)
    exact = vouched(builds=(build(ref="refs/tags/v1.4", repository_id="42"),))
    assert not notes(exact, field)
    assert "from a branch (refs/heads/main)" in weakens(vouched(builds=(build(ref="refs/heads/main"),)), field)
    own = vouched(builds=(build(self_hosted=True),))
    assert "on a machine of its owner's" in weakens(own, field)
    assert "on a runner of GitHub's or of its owner's" in holds(own, field)
    assert nothing(vouched(builds=(build(triggers=()),)), field) == "no trigger is accepted for acme/model"


def test_an_old_release_passes_without_a_witness() -> None:
    assert "an old release" in weakens(vouched(), "provenance.witness")
    assert notes(vouched(), "provenance.max_witness_seconds") == "a witness's word would hold for 7 days, and none is asked"
    witnessed = vouched(witness=build())
    assert "a witness said lately that it is the current release" in holds(witnessed, "provenance.witness")
    assert holds(witnessed, "provenance.max_witness_seconds") == "the witness's word is at most 7 days old"


def test_keys_and_images() -> None:
    assert ROOT in holds(vouched(signers=(ROOT,)), "provenance.signers")
    assert "whoever holds one of these keys decides" in weakens(vouched(signers=(ROOT,)), "provenance.signers")
    assert notes(vouched(), "provenance.require_images")
    assert "named by its digest" in holds(vouched(require_images=True), "provenance.require_images")
