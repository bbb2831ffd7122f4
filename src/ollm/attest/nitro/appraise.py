"""The steps of appraising an AWS Nitro enclave by its attestation document."""

from ollm.attest.certificates import check_marker, check_periods
from ollm.attest.checks import Trail
from ollm.attest.evidence import NitroEvidence
from ollm.attest.facts import CpuFacts
from ollm.attest.nitro import genuine, layout, wanted
from ollm.attest.nitro.checks import CHECKS
from ollm.values.checks import UNKNOWN, Claim
from ollm.values.policy import NitroPolicy, NitroReferenceValues

_COMPARED = "nitro.reference_values"
PLAN = tuple(name for name in CHECKS if name != _COMPARED)


def plan(policy: NitroPolicy, *, compare: bool = True) -> tuple[str, ...]:
    """Names of the checks of a document, in order; `compare`: its PCRs are to equal reference values too."""
    return (*PLAN, _COMPARED) if compare else PLAN


def genuine_document(trail: Trail, evidence: NitroEvidence, policy: NitroPolicy, now: int, *, compare: bool = True) -> CpuFacts:
    """A genuine document of a wanted enclave at `now` (Unix seconds). Raises: EvidenceRefused.

    What the enclave was asked to state is not judged here: user data, nonce and key are in the facts.
    """
    # 1. Read every byte of the document.
    document = layout.parse(evidence.document)
    trail.passed("nitro.format", "nitro.algorithm")

    # 2. The one root that the policy admits, and the certificates below it.
    root = genuine.root_of(policy)
    trail.step("nitro.root", genuine.check_root, document.cabundle, root)
    chain = genuine.load_chain(document)
    trail.step("platform.marker", check_marker, chain.leaf, simulated=root.simulated)
    trail.step("nitro.chain", genuine.check_chain, chain)
    trail.step("nitro.validity", check_periods, chain.periods, now, "nitro.validity")

    # 3. The certified key signed the document.
    trail.step("nitro.signature", genuine.check_signature, document, chain.leaf)

    # 4. The enclave is one that the policy wants, and so is its software.
    trail.step("nitro.debug", wanted.check_debug, document)
    trail.step("nitro.age", wanted.check_age, document, policy, now)
    trail.step("nitro.instance", wanted.check_instance, document, policy)
    matching: tuple[NitroReferenceValues, ...] = ()
    if compare:
        matching = trail.step(_COMPARED, wanted.matching_reference_values, document, policy.reference_values)

    attested = Claim("asserted", "hardware_proven", "AWS Nitro document verified to AWS's root")
    return CpuFacts(
        technology="nitro",
        identity=document.identity,
        report_data=document.user_data or b"",
        nonce=document.nonce,
        public_key=document.public_key,
        hardware_id=document.instance,
        attested=Claim("refuted", "verifier_derived", "simulated") if root.simulated else attested,
        tcb=UNKNOWN,  # a document says nothing of the hypervisor's version, and AWS publishes none
        matching=matching,
        facts={"module_id": document.module_id, **{f"pcr{index}": pcr.hex() for index, pcr in sorted(document.pcrs.items()) if any(pcr)}},
        valid_until=min(document.timestamp_ms // 1000 + policy.max_age_seconds, *(period.end for period in chain.periods)),
    )
