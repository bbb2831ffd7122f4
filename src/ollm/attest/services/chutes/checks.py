"""The checks of Chutes' evidence, in the order of appraisal; the instance's machine stands behind them."""

from ollm.attest.proof import Proof

_CHUTES = "Chutes: chutes-api, evidence and e2e routes; recorded answers"
_OWN = "OLLM attestation policy"

CHECKS: dict[str, Proof] = {
    "chutes.format": Proof("the list of instances and their evidence are well-formed", _CHUTES),
    "chutes.nonce": Proof("the evidence is over our nonce, or the policy accepts the provider's own; by this document's word alone", _OWN),
    "chutes.instances": Proof("there is an instance that has both a key and evidence that can be read", _CHUTES),
    "chutes.key": Proof("the instance's key is one of ML-KEM-768", "FIPS 203 §7.2"),
}
