"""Sigstore bundles: a whole minted Sigstore, of both generations, and one defect at a time; then what was recorded."""

import base64
import importlib.resources
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.provenance import appraise
from ollm.attest.provenance.checks import VERIFIED_BEFORE
from ollm.attest.provenance.reference_values import TINFOIL_BUILD
from ollm.errors import ConfigError, EvidenceRefused
from ollm.net import provenance
from ollm.testing.mint.provenance import BUILD, SUBJECT, Sigstore, built, extensions, packed, statement
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy
from ollm.values.provenance import BuildIdentity, ProvenancePolicy

pytest.importorskip("sigstore", reason="the extra `provenance` is not installed")

NOW = 1_790_000_000
SIGSTORE = Sigstore(NOW)
ROOT = packed(SIGSTORE.trust_root())
PAYLOAD = statement("https://slsa.dev/provenance/v1", {"x": 1})
V1, V2 = SIGSTORE.bundle(PAYLOAD, NOW), SIGSTORE.bundle_v2(PAYLOAD, NOW)
Bundle = dict[str, Any]


def copy(bundle: Bundle) -> Bundle:
    return json.loads(packed(bundle))  # type: ignore[no-any-return]


def refused(bundle: object, root: bytes = ROOT) -> EvidenceRefused:
    with pytest.raises(EvidenceRefused) as refusal:
        provenance.verify_bundle(bundle if isinstance(bundle, bytes) else packed(bundle), root)
    assert len(str(refusal.value)) < 400
    return refusal.value


def entry(bundle: Bundle) -> Bundle:
    return bundle["verificationMaterial"]["tlogEntries"][0]  # type: ignore[no-any-return]


def flipped(text: str, at: int = 40) -> str:
    """Base64 of the same bytes, but for one bit."""
    data = bytearray(base64.b64decode(text))
    data[at % len(data)] ^= 1
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("bundle", [V1, V2], ids=["rekor 1", "rekor 2"])
def test_a_bundle_says_who_built_what_and_when(bundle: Bundle) -> None:
    verified = provenance.verify_bundle(packed(bundle), ROOT)
    assert (verified.by, verified.signed_at, verified.subjects) == (BUILD, NOW, (SUBJECT,))
    assert (verified.predicate_type, verified.predicate) == ("https://slsa.dev/provenance/v1", {"x": 1})


def test_a_bundle_says_who_built_even_if_nobody_wants_that_build() -> None:
    evil = built(repository="evil/enclave", trigger="pull_request")
    assert provenance.verify_bundle(packed(SIGSTORE.bundle(PAYLOAD, NOW, extensions(evil))), ROOT).by == evil


def bent_signature(bundle: Bundle) -> None:
    signature = bundle["dsseEnvelope"]["signatures"][0]
    signature["sig"] = flipped(signature["sig"])


def bent_payload(bundle: Bundle) -> None:
    bundle["dsseEnvelope"]["payload"] = flipped(bundle["dsseEnvelope"]["payload"])


def bent_certificate(bundle: Bundle) -> None:
    certificate = bundle["verificationMaterial"]["certificate"]
    certificate["rawBytes"] = flipped(certificate["rawBytes"], -5)


def bent_entry(bundle: Bundle) -> None:
    entry(bundle)["canonicalizedBody"] = flipped(entry(bundle)["canonicalizedBody"], 0)


def bent_proof(bundle: Bundle) -> None:
    entry(bundle)["inclusionProof"]["hashes"][0] = flipped(entry(bundle)["inclusionProof"]["hashes"][0])


def bent_root_hash(bundle: Bundle) -> None:
    entry(bundle)["inclusionProof"]["rootHash"] = flipped(entry(bundle)["inclusionProof"]["rootHash"])


def bent_checkpoint(bundle: Bundle) -> None:
    checkpoint = entry(bundle)["inclusionProof"]["checkpoint"]
    checkpoint["envelope"] = checkpoint["envelope"].replace("\n2\n", "\n3\n")


def no_proof(bundle: Bundle) -> None:
    del entry(bundle)["inclusionProof"]


def no_checkpoint(bundle: Bundle) -> None:
    del entry(bundle)["inclusionProof"]["checkpoint"]


def no_entry(bundle: Bundle) -> None:
    bundle["verificationMaterial"]["tlogEntries"] = []


def two_entries(bundle: Bundle) -> None:
    bundle["verificationMaterial"]["tlogEntries"] *= 2


def other_version(bundle: Bundle) -> None:
    bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.2"


def no_envelope(bundle: Bundle) -> None:
    del bundle["dsseEnvelope"]


def two_signatures(bundle: Bundle) -> None:
    bundle["dsseEnvelope"]["signatures"] *= 2


def unknown_member(bundle: Bundle) -> None:
    bundle["extra"] = 1


BENDS: list[tuple[Callable[[Bundle], None], set[str]]] = [
    (bent_signature, {"provenance.signature", "provenance.log", "provenance.library_verdict"}),
    (bent_payload, {"provenance.signature"}),
    (bent_certificate, {"provenance.certificate", "provenance.bundle"}),
    (bent_entry, {"provenance.log"}),
    (bent_proof, {"provenance.log"}),
    (bent_root_hash, {"provenance.log"}),
    (bent_checkpoint, {"provenance.log"}),
    (no_proof, {"provenance.bundle"}),
    (no_checkpoint, {"provenance.bundle"}),
    (no_entry, {"provenance.bundle"}),
    (two_entries, {"provenance.bundle"}),
    (other_version, {"provenance.bundle"}),
    (no_envelope, {"provenance.bundle"}),
    (two_signatures, {"provenance.library_verdict", "provenance.bundle"}),
    (unknown_member, {"provenance.bundle"}),
]


@pytest.mark.parametrize(("bend", "checks"), BENDS, ids=[bend.__name__ for bend, _ in BENDS])
@pytest.mark.parametrize("bundle", [V1, V2], ids=["rekor 1", "rekor 2"])
def test_each_part_is_verified(bundle: Bundle, bend: Callable[[Bundle], None], checks: set[str]) -> None:
    bent = copy(bundle)
    bend(bent)
    assert refused(bent).check in checks


@pytest.mark.exhaustive
@pytest.mark.timeout(900)
@pytest.mark.parametrize("bundle", [V1, V2], ids=["rekor 1", "rekor 2"])
def test_no_byte_of_what_is_signed_can_change(bundle: Bundle) -> None:
    places: list[tuple[Callable[[Bundle], Bundle], str]] = [
        (lambda bent: bent["dsseEnvelope"], "payload"),
        (lambda bent: bent["dsseEnvelope"]["signatures"][0], "sig"),
        (lambda bent: bent["verificationMaterial"]["certificate"], "rawBytes"),
        (entry, "canonicalizedBody"),
        (lambda bent: entry(bent)["inclusionProof"], "rootHash"),
        *([(lambda bent: entry(bent)["inclusionPromise"], "signedEntryTimestamp")] if bundle is V1 else []),
    ]
    for place, name in places:
        text = place(bundle)[name]
        for at in range(len(base64.b64decode(text))):
            bent = copy(bundle)
            place(bent)[name] = flipped(text, at)
            assert refused(bent).check in {*VERIFIED_BEFORE, "provenance.identity"}


def test_the_logs_promise_dates_the_signature() -> None:
    moved, unsigned, undated = copy(V1), copy(V1), copy(V1)
    entry(moved)["integratedTime"] = str(NOW + 60)
    assert refused(moved).check == "provenance.log"
    entry(unsigned)["inclusionPromise"]["signedEntryTimestamp"] = entry(V1)["inclusionProof"]["hashes"][0]
    assert refused(unsigned).check == "provenance.log"
    del entry(undated)["inclusionPromise"]
    assert refused(undated).check == "provenance.bundle"


def test_a_timestamp_dates_the_signature_where_the_log_promises_nothing() -> None:
    foreign, twice, none = copy(V2), copy(V2), copy(V2)
    stamps = foreign["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"]
    stamps[0]["signedTimestamp"] = base64.b64encode(SIGSTORE.timestamps.stamp(b"another signature", NOW)).decode()
    assert refused(foreign).check == "provenance.log"
    stamps[0]["signedTimestamp"] = base64.b64encode(
        Sigstore(NOW).timestamps.stamp(base64.b64decode(V2["dsseEnvelope"]["signatures"][0]["sig"]), NOW)
    ).decode()
    assert refused(foreign).check == "provenance.log"
    twice["verificationMaterial"]["timestampVerificationData"]["rfc3161Timestamps"] *= 2
    assert refused(twice).got == "no time, or several"
    none["verificationMaterial"]["timestampVerificationData"] = {}
    assert refused(none).check == "provenance.bundle"
    stamps[0]["signedTimestamp"] = "AAAA"
    assert refused(foreign).check == "provenance.bundle"


@pytest.mark.parametrize("bundle", ["bundle", "bundle_v2"])
@pytest.mark.parametrize("at", [NOW - 3600, NOW + 3600])
def test_a_certificate_holds_when_it_is_used(bundle: str, at: int) -> None:
    """A key certified for ten minutes signs at another time."""
    early = SIGSTORE.certificate(at, extensions())
    late = getattr(SIGSTORE, bundle)(PAYLOAD, NOW, key=early.key)
    late["verificationMaterial"]["certificate"]["rawBytes"] = base64.b64encode(early.der).decode()
    assert refused(late).check == "provenance.certificate"


def test_a_certificate_was_logged() -> None:
    assert refused(SIGSTORE.bundle(PAYLOAD, NOW, logged=False)).check == "provenance.certificate"


def test_a_certificate_of_no_build_is_refused() -> None:
    assert refused(SIGSTORE.bundle(PAYLOAD, NOW, {})).check == "provenance.identity"
    assert refused(SIGSTORE.bundle(PAYLOAD, NOW, {**extensions(), 18: b"\x04\x00"})).check == "provenance.identity"


def test_the_payload_is_a_statement() -> None:
    assert refused(SIGSTORE.bundle(b"{}", NOW)).check == "provenance.statement"
    assert refused(SIGSTORE.bundle(statement("urn:x", {}, extra=1), NOW)).check == "provenance.statement"


def test_another_sigstore_is_not_believed() -> None:
    other = Sigstore(NOW)
    assert refused(other.bundle(PAYLOAD, NOW)).check == "provenance.certificate"
    for name in ("tlogs", "ctlogs", "certificateAuthorities"):
        root = {**SIGSTORE.trust_root(), name: other.trust_root()[name]}
        assert refused(V1, packed(root)).check in {"provenance.certificate", "provenance.log"}
    root = {**SIGSTORE.trust_root(), "timestampAuthorities": other.trust_root()["timestampAuthorities"]}
    assert refused(V2, packed(root)).check == "provenance.log"
    assert provenance.verify_bundle(packed(V1), packed(root)).by == BUILD


@pytest.mark.parametrize("name", ["tlogs", "ctlogs", "certificateAuthorities"])
@pytest.mark.parametrize("period", [{"start": "2020-01-01T00:00:00Z", "end": "2026-09-01T00:00:00.999Z"}, {"start": "2027-01-01T00:00:00Z"}])
def test_a_key_counts_only_for_the_time_that_the_root_gives_it(name: str, period: dict[str, str]) -> None:
    root = SIGSTORE.trust_root()
    for member in root[name]:
        (member if name == "certificateAuthorities" else member["publicKey"])["validFor"] = period
    refusal = refused(V1, packed(root))
    assert (refusal.check, name in refusal.got) == ("provenance.trust_root", True)


def test_a_timestamp_authority_counts_only_for_its_time() -> None:
    root = SIGSTORE.trust_root()
    root["timestampAuthorities"][0]["validFor"] = {"start": "2027-01-01T00:00:00Z"}
    assert refused(V2, packed(root)).check == "provenance.library_verdict"
    assert provenance.verify_bundle(packed(V1), packed(root)).by == BUILD


def test_the_clock_of_the_machine_decides_nothing() -> None:
    """A root that begins in the future of this machine: the library alone would leave its keys out."""
    far = 4_000_000_000
    sigstore = Sigstore(far)
    for bundle in (sigstore.bundle(PAYLOAD, far), sigstore.bundle_v2(PAYLOAD, far)):
        assert provenance.verify_bundle(packed(bundle), packed(sigstore.trust_root())).signed_at == far


@pytest.mark.parametrize(
    "root",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        packed({**SIGSTORE.trust_root(), "mediaType": "application/json"}),
        packed({**SIGSTORE.trust_root(), "tlogs": [{}]}),
        packed({**SIGSTORE.trust_root(), "tlogs": 7}),
        packed({**SIGSTORE.trust_root(), "certificateAuthorities": [{"validFor": {"start": "2020-01-01"}}]}),
        packed({**SIGSTORE.trust_root(), "ctlogs": [{"publicKey": {"validFor": {"start": "yesterday"}}}]}),
        b" " * (provenance.MAX_TRUST_ROOT + 1),
    ],
)
def test_a_trust_root_is_readable(root: bytes) -> None:
    assert refused(V1, root).check == "provenance.trust_root"


def test_a_bundle_is_capped_and_strict() -> None:
    text = packed(V1).decode()
    for bad in (b" " * (provenance.MAX_BUNDLE + 1), b"", b"[]", text.replace('"mediaType"', '"mediaType": "x", "mediaType"', 1).encode()):
        assert refused(bad).check == "provenance.bundle"


def test_the_time_that_counts_is_the_one_that_the_library_read() -> None:
    """It takes a member in two spellings; whichever it prefers, no other time is believed."""
    both = copy(V1)
    entry(both)["integrated_time"] = str(NOW - 10**8)
    try:
        assert provenance.verify_bundle(packed(both), ROOT).signed_at == NOW
    except EvidenceRefused as refusal:
        assert refusal.check in VERIFIED_BEFORE  # noqa: PT017 - either is right


_SCALAR: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=8) | st.just([]) | st.just({})


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(below for key, member in members for below in _paths(member, (*path, key)))]


@pytest.mark.parametrize("bundle", [V1, V2], ids=["rekor 1", "rekor 2"])
@given(data=st.data())
def test_only_a_refusal_escapes(bundle: Bundle, data: st.DataObject) -> None:
    bent = copy(bundle)
    *way, last = data.draw(st.sampled_from(_paths(bundle)[1:]))
    member: Any = bent
    for step in way:
        member = member[step]
    member[last] = data.draw(st.just(flipped(member[last], data.draw(st.integers(0, 500)))) if _is_base64(member[last]) else _SCALAR)
    if bent == bundle:
        return
    try:
        verified = provenance.verify_bundle(packed(bent), ROOT)
    except EvidenceRefused as refusal:
        assert refusal.check in {*VERIFIED_BEFORE, "provenance.identity"}  # noqa: PT017 - most are refused; what isn't must say the same
    else:
        assert (verified.by, verified.signed_at, verified.subjects, verified.predicate) == (BUILD, NOW, (SUBJECT,), {"x": 1})


def _is_base64(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value) > 16 and bool(base64.b64decode(value, validate=True))
    except ValueError:
        return False


def test_without_the_extra_the_mend_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sigstore", None)
    for call in (provenance.embedded_trust_root, lambda: provenance.verify_bundle(packed(V1), ROOT)):
        with pytest.raises(ConfigError) as missing:
            call()
        assert missing.value.mend == "pip install 'ollm[provenance]'"


def test_sigstores_own_root_is_read_from_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    root = json.loads(provenance.embedded_trust_root())
    assert {log["baseUrl"] for log in root["tlogs"]} >= {"https://rekor.sigstore.dev"}
    assert refused(V1, provenance.embedded_trust_root()).check == "provenance.certificate"
    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
    with pytest.raises(ConfigError, match=r"trusted_root\.json"):
        provenance.embedded_trust_root()


@pytest.fixture(scope="module")
def recorded(evidence_dir: Path) -> Bundle:
    return json.loads((evidence_dir / "tinfoil" / "attestation-bundle.json").read_bytes())  # type: ignore[no-any-return]


def test_a_recorded_build_verifies_under_sigstores_own_root(recorded: Bundle) -> None:
    verified = provenance.verify_bundle(packed(recorded["sigstoreBundle"]), provenance.embedded_trust_root())
    assert verified.subjects[0].sha256 == recorded["digest"]
    assert (str(verified.by), verified.signed_at) == ("tinfoilsh/confidential-model-router/.github/workflows/build.yml@refs/tags/v0.0.38", 1769121722)
    assert verified.predicate_type == TINFOIL_BUILD
    wanted = ProvenancePolicy(builds=(BuildIdentity(repository="tinfoilsh/confidential-model-router", workflow=".github/workflows/build.yml"),))
    policy = AttestationPolicy(name="router", level=Level.TEE, cpu=("sev-snp",), provenance=wanted)
    values = appraise.augmented(policy, (verified,), verified.signed_at).snp.reference_values
    assert [item.measurement for item in values] == [verified.predicate["snp_measurement"]]


@pytest.mark.parametrize(("bend", "checks"), BENDS, ids=[bend.__name__ for bend, _ in BENDS])
def test_a_recorded_build_verifies_whole_or_not_at_all(recorded: Bundle, bend: Callable[[Bundle], None], checks: set[str]) -> None:
    bent = copy(recorded["sigstoreBundle"])
    if bend is bent_checkpoint:
        envelope = entry(bent)["inclusionProof"]["checkpoint"]
        envelope["envelope"] = envelope["envelope"].replace("rekor", "rekkor", 1)
    else:
        bend(bent)
    assert refused(bent, provenance.embedded_trust_root()).check in checks
