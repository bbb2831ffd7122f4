"""Sentences about who may vouch for software."""

from collections.abc import Iterable, Iterator

from ollm.config.explain.points import Context, Said, Table, holds, note, nothing, shown, span, weakens
from ollm.values.provenance import BuildIdentity


def _described(build: BuildIdentity) -> str:
    number = f" (repository number {build.repository_id})" if build.repository_id is not None else ""
    by = f", signed by the reusable workflow {build.signer}" if build.signer is not None else ""
    where = "on a runner of GitHub's or of its owner's" if build.self_hosted else "on a runner of GitHub's"
    return (
        f"{build.repository}{number}, workflow {build.workflow} at {build.ref}{by}, started by {shown(build.triggers) or 'nothing'},"
        f" {where}, certified through {build.issuer}"
    )


def _build(build: BuildIdentity) -> Iterator[Said]:
    if build.ref.endswith("*"):
        yield note(f"any ref that {build.ref} matches will do for {build.repository}: whoever may push such a one there may vouch")
    if not build.ref.startswith("refs/tags/"):
        yield weakens(f"{build.repository} may vouch from a branch ({build.ref}): whatever is pushed there is accepted")
    if build.repository_id is None:
        yield note(f"{build.repository} is known by name only: a name that its owner gives up can be registered by others (repository_id)")
    if build.self_hosted:
        yield weakens(f"{build.repository} may build on a machine of its owner's, who can change what is built")
    if not build.triggers:
        yield nothing(f"no trigger is accepted for {build.repository}")


def _builds(builds: tuple[BuildIdentity, ...], context: Context) -> Iterable[Said]:
    if not builds:
        yield note("no build may vouch for software by a Sigstore attestation")
    else:
        yield weakens("whoever can start one of these builds decides which software may read prompts; this policy need not change for it")
    for build in builds:
        yield holds(f"software may be vouched for by a build of {_described(build)}")
        yield from _build(build)


def _witness(witness: BuildIdentity | None, context: Context) -> Iterable[Said]:
    if witness is None:
        yield weakens("no witness is asked: an old release that was vouched for once passes for ever, with flaws found since (witness)")
    else:
        yield holds(f"of what a build vouches for, a witness said lately that it is the current release: {_described(witness)}")
        yield from _build(witness)


def _max_witness(seconds: int, context: Context) -> Iterable[Said]:
    provenance = context.policy.provenance
    if provenance is None or provenance.witness is None:
        yield note(f"a witness's word would hold for {span(seconds)}, and none is asked")
    else:
        yield holds(f"the witness's word is at most {span(seconds)} old")


def _require_images(required: bool, context: Context) -> Iterable[Said]:
    if required:
        yield holds("each image of the compose file is named by its digest, and built by one of these builds")
    else:
        yield note("images of the compose file are not looked at one by one: the reference values' compose hash alone speaks for them")


def _signers(keys: tuple[str, ...], context: Context) -> Iterable[Said]:
    if not keys:
        yield note("no key may vouch for a file of reference values")
        return
    yield holds(f"a file of reference values may be vouched for by one of these Ed25519 keys: {shown(keys)}")
    yield weakens("whoever holds one of these keys decides which software may read prompts; this policy need not change for it")


PROVENANCE: Table = {
    "builds": _builds,
    "signers": _signers,
    "witness": _witness,
    "max_witness_seconds": _max_witness,
    "require_images": _require_images,
}
