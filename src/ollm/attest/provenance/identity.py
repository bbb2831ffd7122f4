"""Which build a Fulcio certificate names, and whether the policy admits it.

Fulcio copies claims of GitHub's token into extensions under 1.3.6.1.4.1.57264.1, each a DER UTF8String (the first seven, which hold bare
bytes, are deprecated and never read):

     8  issuer                 https://token.actions.githubusercontent.com
     9  build signer URI       https://github.com/OWNER/NAME/PATH@REF of the workflow that asked for the certificate
    11  runner environment     github-hosted, self-hosted
    12  source repository URI  https://github.com/OWNER/NAME
    13  source digest          the commit
    14  source ref             refs/tags/v1.2.0
    15  repository identifier  GitHub's number of it
    18  build config URI       https://github.com/OWNER/NAME/PATH@REF of the workflow that was started
    20  build trigger          push

9 and 18 differ where a reusable workflow signs for the one that called it. Every comparison is of whole strings, and nothing from a
policy or from a certificate is ever a pattern: a `contains` would admit owner/name-evil, and an unescaped dot any character.

Source: sigstore/fulcio, docs/oid-info.md.
"""

import re
from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat import asn1

from ollm.attest.certificates import refusing
from ollm.errors import EvidenceRefused
from ollm.values.provenance import BuildIdentity, CertifiedBuild

_CHECK = "provenance.identity"
_ARC = "1.3.6.1.4.1.57264.1."
_ISSUER, _SIGNER, _RUNNER, _REPOSITORY, _COMMIT, _REF, _REPOSITORY_ID, _CONFIG, _TRIGGER = 8, 9, 11, 12, 13, 14, 15, 18, 20
_HOST = "https://github.com/"
_TEXT = re.compile(r"[\x21-\x7e]{1,512}")  # no space, control or look-alike character stands in an identity that can be compared by eye
_SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
GITHUB_HOSTED = "github-hosted"


def certified_build(certificate: x509.Certificate) -> CertifiedBuild:
    """What `certificate` says about the build that signed. Raises: EvidenceRefused with provenance.identity."""
    claims = _claims(certificate)
    repository = _after(_HOST, claims[_REPOSITORY], "a repository")
    ref, commit = claims[_REF], claims[_COMMIT]
    started = _after(_HOST, claims[_CONFIG], "a workflow")
    # Repository and ref are known whole, so what lies between them is the workflow, whatever characters it has.
    before, behind = f"{repository}/", f"@{ref}"
    workflow = started[len(before) : -len(behind)]
    if not (workflow and started == f"{before}{workflow}{behind}"):
        raise EvidenceRefused(_CHECK, f"a workflow {_cut(started)} outside the repository or ref that it built", f"{repository}/…@{_cut(ref)}")
    if not _SHA.fullmatch(commit):
        raise EvidenceRefused(_CHECK, f"commit {_cut(commit)}", "a commit in hex")
    return CertifiedBuild(
        repository=repository,
        workflow=workflow,
        ref=ref,
        issuer=claims[_ISSUER],
        signer=_after(_HOST, claims[_SIGNER], "a signing workflow"),
        commit=commit,
        trigger=claims[_TRIGGER],
        runner=claims[_RUNNER],
        repository_id=claims[_REPOSITORY_ID],
    )


def check_build(build: CertifiedBuild, accepted: Sequence[BuildIdentity]) -> BuildIdentity:
    """The first of `accepted` that `build` equals in every field. Raises: EvidenceRefused, naming the fields of the nearest that differ."""
    for identity in accepted:
        if not _differences(build, identity):
            return identity
    if not accepted:
        raise EvidenceRefused(_CHECK, f"a build of {_cut(str(build))}", "no build: the policy admits none")
    differing, nearest = min(((_differences(build, identity), identity) for identity in accepted), key=lambda pair: len(pair[0]))
    got = ", ".join(f"{name} {_cut(value)}" for name, value, _ in differing)
    raise EvidenceRefused(_CHECK, got, ", ".join(f"{name} {want}" for name, _, want in differing) + f" of {nearest.repository}")


def matches(pattern: str, value: str) -> bool:
    """Whether `value` is `pattern`, whose final *, if it has one, stands for one or more characters other than a slash."""
    if not pattern.endswith("*"):
        return value == pattern
    stem = pattern[:-1]
    name = value[len(stem) :]
    return value.startswith(stem) and name != "" and "/" not in name


def _differences(build: CertifiedBuild, identity: BuildIdentity) -> list[tuple[str, str, str]]:
    """Name, got and want of each field in which `build` is another than `identity`."""
    signer = identity.signer if identity.signer is not None else f"{identity.repository}/{identity.workflow}@{build.ref}"
    runner = build.runner if identity.self_hosted else GITHUB_HOSTED
    comparisons = (
        ("issuer", build.issuer, identity.issuer, build.issuer == identity.issuer),
        ("repository", build.repository, identity.repository, build.repository == identity.repository),
        ("repository id", build.repository_id, f"{identity.repository_id}", identity.repository_id in (None, build.repository_id)),
        ("workflow", build.workflow, identity.workflow, build.workflow == identity.workflow),
        ("ref", build.ref, identity.ref, matches(identity.ref, build.ref)),
        ("signer", build.signer, signer, matches(signer, build.signer) if identity.signer is not None else build.signer == signer),
        ("trigger", build.trigger, " or ".join(identity.triggers), build.trigger in identity.triggers),
        ("runner", build.runner, runner, build.runner == runner),
    )
    return [(name, got, want) for name, got, want, equal in comparisons if not equal]


def _claims(certificate: x509.Certificate) -> dict[int, str]:
    """The extensions that are compared, by the last number of their OID."""
    claims = {}
    for number in (_ISSUER, _SIGNER, _RUNNER, _REPOSITORY, _COMMIT, _REF, _REPOSITORY_ID, _CONFIG, _TRIGGER):
        oid = _ARC + str(number)
        with refusing(_CHECK, "a certificate with malformed extensions", "Fulcio's"):
            found = [extension.value for extension in certificate.extensions if extension.oid.dotted_string == oid]
            if len(found) != 1 or not isinstance(found[0], x509.UnrecognizedExtension):
                raise EvidenceRefused(_CHECK, f"no extension {oid}", "a build's certificate, as Fulcio issues them since version 1.2")
            claims[number] = asn1.decode_der(str, found[0].value)
        if not _TEXT.fullmatch(claims[number]):
            raise EvidenceRefused(_CHECK, f"extension {oid} {_cut(claims[number])!a}", "1 to 512 printable ASCII characters")
    return claims


def _after(prefix: str, uri: str, what: str) -> str:
    if not uri.startswith(prefix):
        raise EvidenceRefused(_CHECK, f"{what} {_cut(uri)}", f"one at {prefix}")
    return uri[len(prefix) :]


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
