"""Values of provenance name themselves for people."""

from ollm.values.provenance import BuildIdentity, CertifiedBuild, ProvenancePolicy, SigningKey


def test_a_signer_is_named_by_what_identifies_it() -> None:
    build = CertifiedBuild(
        repository="a/b", workflow="w.yml", ref="refs/tags/v1", issuer="i", signer="s", commit="c", trigger="push", runner="r", repository_id="1"
    )
    assert str(build) == "a/b/w.yml@refs/tags/v1"
    assert str(SigningKey(public_key="00")) == "key 00"


def test_what_a_policy_leaves_out_is_strict() -> None:
    identity = BuildIdentity(repository="a/b", workflow="w.yml")
    assert (identity.ref, identity.signer, identity.self_hosted) == ("refs/tags/*", None, False)
    assert not {"pull_request", "pull_request_target", "issue_comment", "workflow_run"} & set(identity.triggers)
    assert ProvenancePolicy() == ProvenancePolicy(builds=(), signers=(), witness=None, require_images=False)
