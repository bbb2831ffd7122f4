"""The checks of a TDX quote, in the order of appraisal."""

from ollm.attest.proof import Proof

_QUOTE = "Intel TDX DCAP Quoting Library API, appendix A"
_ABI = "Intel TDX Module ABI, TD_ATTRIBUTES"
_PCK = "Intel SGX PCK Certificate and CRL Profile"
_PCS = "Intel SGX and TDX Provisioning Certification Service API v4"
_LOG = "TCG PC Client Platform Firmware Profile 1.06, §10"
_CC = "UEFI 2.10 §38.4.1"
_OWN = "OLLM attestation policy"

CHECKS: dict[str, Proof] = {
    "quote.format": Proof("the quote is a TDX quote with every length right and nothing left over", _QUOTE),
    "quote.certification_data": Proof("the quote carries the certificates of its platform, and nothing else", _QUOTE),
    "quote.header": Proof("the quote was made by Intel's quoting enclave", f"{_QUOTE}, quote header"),
    "quote.debug": Proof("the host can't read the TD by debugging it", f"{_ABI} bit 0"),
    "quote.sept_ve_disable": Proof("the host can't inject exceptions by unmapping the TD's pages", f"{_ABI} bit 28"),
    "quote.reserved_attributes": Proof("no attribute is set whose meaning is unknown or lets the host profile the TD", _ABI),
    "quote.xfam": Proof("the TD uses only CPU state that is known and kept apart by the module", "Intel TDX Module ABI, XFAM"),
    "quote.migratable": Proof("the TD can't move to a machine that was not attested", f"{_ABI} bit 29"),
    "quote.service_td": Proof("no service TD takes part in this TD", f"{_QUOTE}, TD report 1.5"),
    "quote.seam_signer": Proof("the TDX module was signed by Intel", f"{_PCS}, tdxModule"),
    "quote.current_module": Proof("a TDX module that replaced another under the running TD is not older than it", f"{_QUOTE}, TEE_TCB_SVN_2"),
    "platform.marker": Proof("simulated hardware is met only where the policy admits it, and then nothing else is", "decision 0002"),
    "chain.root": Proof("the chain ends in the root that is pinned", _PCK),
    "collateral.format": Proof("the collateral is complete and readable", _PCS),
    "collateral.validity": Proof("every statement of the collateral is valid now: none expired, none from the future", _PCS),
    "chain.pck": Proof("the platform's certificate was issued under that root and is valid now", _PCK),
    "chain.tcb_signing": Proof("the signers of the collateral were certified by that root", _PCS),
    "chain.revocation": Proof("no certificate relied upon is revoked, by CRLs of their own issuers", _PCK),
    "tcb.info": Proof("the TCB info is signed and is about this platform", f"{_PCS}, TCB info"),
    "tcb.qe_identity": Proof("the quoting enclave is the one that Intel's signed identity describes", f"{_PCS}, QE identity"),
    "quote.signature": Proof("the platform vouches for the attestation key, that key signed the TD report, and no bit was changed", _QUOTE),
    "tcb.level": Proof("the platform's firmware and TDX module have a known level", f"{_PCS}, TCB levels"),
    "quote.library_verdict": Proof("the verifying library accepts quote and collateral as a whole", "dcap-qvl 0.7"),
    "tcb.status": Proof("the level's status is one that the policy accepts", _OWN),
    "tcb.advisories": Proof("no advisory applies that the policy rejects", _OWN),
    "tcb.evaluation_number": Proof("the collateral is not older than the policy's floor", _OWN),
    "platform.configuration": Proof("the platform's configuration is one that the policy allows", _OWN),
    "platform.listed": Proof("the machine is one of those that the policy lists", _OWN),
}
SOFTWARE: dict[str, Proof] = {
    "firmware_log.format": Proof("the firmware's event log is well-formed", _LOG),
    "firmware_log.replay": Proof("it is what the machine measured, and data that is measured as it stands was not changed", f"{_LOG}; {_CC}"),
}
