"""What the verifying library says when it refuses -> which of our checks failed.

dcap-qvl raises ValueError("Verification failed: <sentence>"); only the beginning of the sentence is stable, so entries are
matched as prefixes. A sentence that is not in the table is refused all the same, under `quote.library_verdict`; the
sentences were taken from version 0.7.0 by provoking them (tests do so again for each release).
"""

from ollm.errors import EvidenceRefused

CATCH_ALL = "quote.library_verdict"
_PREFIX = "Verification failed: "

TABLE: tuple[tuple[str, str], ...] = (
    ("Failed to decode quote", "quote.format"),
    ("Unsupported DCAP quote version", "quote.format"),
    ("Unsupported quote version", "quote.format"),
    ("Unsupported DCAP attestation key type", "quote.format"),
    ("Unknown QE vendor ID", "quote.header"),
    ("Failed to parse certs", "quote.certification_data"),
    ("Failed to extract PCK certificates", "quote.certification_data"),
    ("Failed to extract certificates from PEM chain", "quote.certification_data"),
    ("Certificate chain is too short in quote", "quote.certification_data"),
    ("Failed to parse PCK certificate", "quote.certification_data"),
    ("Failed to decode certificate", "quote.certification_data"),
    ("Failed to get Intel extension from certificate", "quote.certification_data"),
    ("Intel extension", "quote.certification_data"),
    ("Failed to get subobject", "quote.certification_data"),
    ("Failed to find", "quote.certification_data"),
    ("CpuSvn length mismatch", "quote.certification_data"),
    ("PceSvn length mismatch", "quote.certification_data"),
    ("Fmspc length mismatch", "quote.certification_data"),
    ("Unsupported DCAP PCK cert format", "quote.certification_data"),
    ("Invalid QE auth data length", "quote.certification_data"),
    ("Debug mode is enabled", "quote.debug"),
    ("SEPT_VE_DISABLE is not enabled", "quote.sept_ve_disable"),
    ("Reserved bits in TD attributes are set", "quote.reserved_attributes"),
    ("TD profiling is enabled", "quote.reserved_attributes"),
    ("SERVTD_EXT is enabled", "quote.reserved_attributes"),
    ("TD migration is enabled", "quote.migratable"),
    ("Invalid MR service TD", "quote.service_td"),
    ("TDX module identity check", "quote.seam_signer"),
    ("Failed to load root ca", "chain.root"),
    ("Failed to parse root CA certificate", "chain.root"),
    ("Failed to verify certificate chain", "chain.pck"),
    ("CertRevoked", "chain.revocation"),
    ("CrlExpired", "collateral.validity"),
    ("Failed to parse root CA CRL", "chain.revocation"),
    ("Failed to parse PCK CRL", "chain.revocation"),
    ("Failed to parse CRL", "chain.revocation"),
    ("CRL number too large", "chain.revocation"),
    ("TCBInfo expired", "collateral.validity"),
    ("TCBInfo issue date is in the future", "collateral.validity"),
    ("QE Identity expired", "collateral.validity"),
    ("QE Identity issue date is in the future", "collateral.validity"),
    ("Failed to parse TCB Info issue date", "collateral.format"),
    ("Failed to parse TCB Info next update", "collateral.format"),
    ("Failed to parse QE Identity issue date", "collateral.format"),
    ("Failed to parse QE Identity next update", "collateral.format"),
    ("Failed to decode TcbInfo", "collateral.format"),
    ("Certificate chain is too short for TCB Info", "chain.tcb_signing"),
    ("Failed to parse TCB Info leaf certificate", "chain.tcb_signing"),
    ("Signature is invalid for tcb_info", "tcb.info"),
    ("Invalid key length", "tcb.info"),
    ("TDX quote with non-TDX TCB info", "tcb.info"),
    ("Failed to decode TCB FMSPC", "tcb.info"),
    ("Fmspc mismatch", "tcb.info"),
    ("Failed to decode QeIdentity", "collateral.format"),
    ("Certificate chain is too short for QE Identity", "chain.tcb_signing"),
    ("Failed to parse QE Identity leaf certificate", "chain.tcb_signing"),
    ("Signature is invalid for qe_identity", "tcb.qe_identity"),
    ("Unsupported QE Identity", "tcb.qe_identity"),
    ("No TCB levels found in QE Identity", "tcb.qe_identity"),
    ("Failed to decode QE report", "quote.signature"),
    ("Signature is invalid for qe_report", "quote.signature"),
    ("QE report", "quote.signature"),
    ("QE MRSIGNER mismatch", "tcb.qe_identity"),
    ("QE ISVPRODID mismatch", "tcb.qe_identity"),
    ("QE ATTRIBUTES mismatch", "tcb.qe_identity"),
    ("QE MISCSELECT mismatch", "tcb.qe_identity"),
    ("QE ISVSVN", "tcb.qe_identity"),
    ("ISV enclave report signature is invalid", "quote.signature"),
    ("No matching TCB level found", "tcb.level"),
    ("SGX component count mismatch", "tcb.level"),
    ("TDX component count mismatch", "tcb.level"),
    ("TDX module TCB level check", "tcb.level"),
    ("TDX module identity", "tcb.level"),
    ("Invalid TCB level tcbDate", "tcb.level"),
    ("Invalid TDX module tcbDate", "tcb.level"),
    ("TCB status is invalid: Revoked", "tcb.status"),
    ("Unrecognized TCB status", "tcb.status"),
)


def refusal(message: str) -> EvidenceRefused:
    """Our refusal for the library's `message`. The sentence goes along, cut: it speaks of platform data only."""
    sentence = message.split("\n", 1)[0].removeprefix(_PREFIX)
    check = next((check for beginning, check in TABLE if sentence.startswith(beginning)), CATCH_ALL)
    return EvidenceRefused(check, f"refused by dcap-qvl: {sentence[:120]}", "accepted by it")
