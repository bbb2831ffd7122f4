"""Which genuine Nitro documents are wanted: fresh, of a production enclave on a listed machine, of a known image. Each function is one check."""

from ollm.attest.nitro.layout import NitroDocument
from ollm.errors import EvidenceRefused
from ollm.values.policy import NitroPolicy, NitroReferenceValues

_CLOCK_SKEW = 5  # seconds by which our clock may be behind; the certificate of a fresh document began 3 seconds before it
_MEASURED_AT_START = {0: "image", 1: "kernel and boot", 2: "application"}


def check_debug(document: NitroDocument) -> None:
    """An enclave in debug mode has a console that the host reads; its first PCRs are zero. Raises: EvidenceRefused with nitro.debug.

    Source: AWS Nitro Enclaves user guide, "Cryptographic attestation". Each of the three must be there and say something.
    """
    for index, what in _MEASURED_AT_START.items():
        if not any(document.pcrs.get(index, b"")):
            raise EvidenceRefused("nitro.debug", f"PCR{index} ({what}) zero or absent, as in debug mode", "a measured production enclave")


def check_age(document: NitroDocument, policy: NitroPolicy, now: int) -> None:
    """The document was made lately, and not in the future. Raises: EvidenceRefused with nitro.age."""
    made = document.timestamp_ms // 1000
    if made > now + _CLOCK_SKEW:
        raise EvidenceRefused("nitro.age", f"made at {made}", f"at or before {now}")
    if now - made > policy.max_age_seconds:
        raise EvidenceRefused("nitro.age", f"{now - made} seconds old", f"at most {policy.max_age_seconds}")


def check_instance(document: NitroDocument, policy: NitroPolicy) -> None:
    """The machine is one that the policy lists, if it lists any. Raises: EvidenceRefused with nitro.instance."""
    if policy.modules is not None and document.instance not in policy.modules:
        raise EvidenceRefused("nitro.instance", f"{document.instance[:80]!a}", "an instance that the policy lists")


def matching_reference_values(document: NitroDocument, accepted: tuple[NitroReferenceValues, ...]) -> tuple[NitroReferenceValues, ...]:
    """Those of `accepted` whose every stated PCR equals the document's; at least one. Raises: EvidenceRefused with nitro.reference_values."""
    matching = tuple(values for values in accepted if not _differences(document, values))
    if not matching:
        raise EvidenceRefused("nitro.reference_values", _nearest(document, accepted), "equal in all")
    return matching


def _nearest(document: NitroDocument, accepted: tuple[NitroReferenceValues, ...]) -> str:
    if not accepted:
        return "no reference values in the policy"
    differing, values = min(((_differences(document, values), values) for values in accepted), key=lambda pair: len(pair[0]))
    return f"{', '.join(differing)} other than in {values.name}"


def _differences(document: NitroDocument, values: NitroReferenceValues) -> list[str]:
    wanted = {0: values.pcr0, 1: values.pcr1, 2: values.pcr2, 3: values.pcr3, 4: values.pcr4, 8: values.pcr8, 16: values.pcr16}
    return [f"PCR{index}" for index, pcr in wanted.items() if pcr is not None and document.pcrs.get(index, b"").hex() != pcr]
