"""The checks of an SEV-SNP report, in the order of appraisal."""

from ollm.attest.proof import Proof

_ABI = "AMD SEV-SNP Firmware ABI (56860)"
_KDS = "AMD VCEK Certificate and KDS Interface (57230)"
_X509 = "RFC 5280"
_OWN = "OLLM attestation policy"

CHECKS: dict[str, Proof] = {
    "snp.format": Proof("the report is of a known version, with every reserved byte zero and nothing left over", f"{_ABI}, ATTESTATION_REPORT"),
    "snp.collateral": Proof("AMD's chain and CRL are there and readable", _KDS),
    "snp.certificate": Proof(
        "the signing key's certificate makes all of AMD's statements, each once and well-formed", f"{_KDS}, certificate extensions"
    ),
    "platform.marker": Proof("simulated hardware is met only where the policy admits it, and then nothing else is", "decision 0002"),
    "snp.signing_key": Proof("the firmware signed the report, with a key of the kind that the certificate is for", f"{_ABI}, SIGNING_KEY"),
    "snp.product": Proof("report and certificate name the same product line, so that TCBs are read in the right layout", f"{_KDS}, product name"),
    "snp.root": Proof("the chain ends in the root key that is pinned for this product line", _KDS),
    "snp.chain": Proof("AMD's root certified the intermediate CA of this kind of key, and that the key", f"{_X509} §6.1; {_KDS}"),
    "snp.validity": Proof("certificates and CRL are valid now: none expired, none from the future", f"{_X509} §6.1.3"),
    "snp.revocation": Proof("neither the intermediate CA nor the key is revoked, by a CRL of AMD's root", f"{_X509} §6.3"),
    "snp.chip": Proof("a chip's key is of the very chip that made the report", f"{_KDS}, hwID"),
    "snp.endorsed_tcb": Proof(
        "the key is certified for exactly the firmware that the report states, neither older nor newer", f"{_KDS}, TCB version"
    ),
    "snp.signature": Proof("that key signed the report, and no bit was changed", f"{_ABI}, signature format"),
    "snp.policy_bits": Proof("the guest's policy has no bit of unknown meaning", f"{_ABI}, GUEST_POLICY"),
    "snp.debug": Proof("the host can't read the guest by debugging it", f"{_ABI}, GUEST_POLICY bit 19"),
    "snp.migration": Proof("no migration agent can move the guest to a machine that was not attested", f"{_ABI}, GUEST_POLICY bit 18"),
    "snp.smt": Proof("the guest shares its cores with nobody, if the policy demands it", f"{_ABI}, GUEST_POLICY bit 16"),
    "snp.single_socket": Proof("the guest stays on one socket, if the policy demands it", f"{_ABI}, GUEST_POLICY bit 20"),
    "snp.vmpl": Proof("what asked for the report runs at a privilege level that the policy accepts", f"{_ABI}, VMPL"),
    "snp.author_key": Proof("the report's flag and its digest of an author key agree", f"{_ABI}, AUTHOR_KEY_EN"),
    "snp.product_accepted": Proof("the product line is one that the policy accepts", _OWN),
    "snp.provider": Proof("a provider's key, in place of the chip's own, is of a provider that the policy accepts", _OWN),
    "snp.chip_listed": Proof("the machine is one that the policy lists", _OWN),
    "snp.tcb_format": Proof("all TCBs are written in the product line's layout", f"{_ABI}, TCB_VERSION"),
    "snp.tcb_order": Proof("the operator reports no newer firmware than is committed, and runs none older", f"{_ABI}, TCB_VERSION"),
    "snp.tcb": Proof("reported, committed, launch and current firmware are all as new as the policy demands", _OWN),
    "snp.reference_values": Proof("what was launched equals reference values of the policy", _OWN),
}
