"""The checks of an NVIDIA device's own report, in the order of appraisal."""

from ollm.attest.proof import Proof

_SPDM = "DMTF DSP0274 1.1"
_RFC5280 = "RFC 5280 §6.1"
_RIM = "TCG RIM Information Model 1.01"
_DSIG = "W3C XML Signature 1.1"
_OCSP = "RFC 6960"
_OWN = "OLLM attestation policy"

RIM_CHECKS: dict[str, Proof] = {
    "rim.present": Proof("NVIDIA's reference files for what the device runs are there", _RIM),
    "rim.format": Proof("each reference file has the one form in which nothing can hide, and describes measurements", _RIM),
    "rim.root": Proof("the signers of the reference files descend from the root that is pinned", _RFC5280),
    "rim.chain": Proof("each signer was certified under that root, for signing", _RFC5280),
    "rim.validity": Proof("every certificate of the reference files' signers is valid now", f"{_RFC5280}.3"),
    "rim.signature": Proof("each reference file is signed as a whole by its signer, and no bit of it was changed", _DSIG),
}
OCSP_CHECKS: dict[str, Proof] = {
    "ocsp.format": Proof("the revocation answers are readable and successful", f"{_OCSP} §4.2.1"),
    "ocsp.responder": Proof("each answer is about a certificate relied upon and signed by whom its issuer made responder", f"{_OCSP} §4.2.2.2"),
    "ocsp.status": Proof("no answer says revoked, on hold or unknown", f"{_OCSP} §2.2"),
    "ocsp.present": Proof("there is an answer that holds now about every certificate that NVIDIA issued, the roots apart", f"{_OCSP} §4.2.2.1"),
}
CHECKS: dict[str, Proof] = {
    "device.format": Proof("the report is one SPDM exchange with every length right and nothing left over", f"{_SPDM} §10.11"),
    "device.certificates": Proof("the device's certificates are readable", _RFC5280),
    "platform.marker": Proof("simulated hardware is met only where the policy admits it, and then nothing else is", "decision 0002"),
    "device.root": Proof("the device's chain ends in the root that is pinned", _RFC5280),
    "device.chain": Proof("the device's certificate was issued under that root, each by the one above it", _RFC5280),
    "device.validity": Proof("every certificate of the device is valid now", f"{_RFC5280}.3"),
    "device.architecture": Proof("the device is a GPU of an accepted architecture or a switch, by its certificates", _OWN),
    "device.signature": Proof("the device signed the question and its answer, and no bit was changed", f"{_SPDM} §10.11.2"),
    "device.nonce": Proof("the report was made for our nonce, so it is not an old one", f"{_SPDM} §10.11.1"),
    "device.listed": Proof("the device is one that the policy lists, where it lists any", _OWN),
    "device.mode": Proof("the GPU is passed through in a way whose meaning is known", "NVIDIA attestation SDK, feature flag"),
    "device.fwid": Proof("the firmware that signed is the one that the chip certified", "TCG DICE Attestation Architecture 1.1 §6.1"),
    "device.driver": Proof("the driver is not older than the policy's floor and not rejected", _OWN),
    "device.vbios": Proof("the VBIOS is not one that the policy rejects", _OWN),
    **RIM_CHECKS,
    "rim.version": Proof("the reference files are about this chip and the versions that it reports", _RIM),
    "rim.disjoint": Proof("no measurement is described by two reference files", "NVIDIA attestation SDK"),
    "device.measurements": Proof(
        "firmware, driver and configuration, debug state included, are what NVIDIA published: every active value is equal", _RIM
    ),
    **OCSP_CHECKS,
}
