"""What is asked of a Tinfoil document, in order, before the machine behind it is judged; `machine` and `channel.spki` come after."""

from ollm.attest.proof import Proof

_V2 = "Tinfoil attestation v2"
_V3 = "Tinfoil attestation v3"
_OWN = "OLLM attestation policy"

CHECKS: dict[str, Proof] = {
    "tinfoil.format": Proof("the document has exactly the members of its form, each written in the one way that there is", _V3),
    "tinfoil.freshness": Proof("the policy takes evidence that was made when the machine booted, not for our nonce (v2)", _OWN),
    "tinfoil.nonce": Proof("the document is the answer to our nonce; that the CPU's report is too, binding.statement shows (v3)", _V3),
    "tinfoil.sections": Proof("the hashes that the document states are those of the bytes that it carries (v3)", _V3),
    "tinfoil.signature": Proof("who holds the attested TLS key signed the document as it was sent (v3 as of June 2026)", f"{_V3}, June 2026"),
    "tinfoil.keys": Proof("the machine states the key of its TLS, and one to seal to where bodies are sealed", f"{_V2}, v3"),
}
