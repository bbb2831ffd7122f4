"""The checks of Privatemode's evidence, in the order of appraisal; the coordinator's machine stands behind the first two."""

from ollm.attest.proof import Proof

_PRIVATEMODE = "Privatemode: privatemode-public, internal/oss"
_CONTRAST = "Contrast: coordinator, attestation over HTTP"
_OWN = "OLLM attestation policy"

CHECKS: dict[str, Proof] = {
    "privatemode.format": Proof("the coordinator's attestation and the agreement on a secret are well-formed", _CONTRAST),
    "privatemode.manifest": Proof("the coordinator has had one manifest, and it is the one that the policy pins", _OWN),
    "privatemode.coordinator": Proof("the machine was started as the manifest's coordinator, of which there is one", _CONTRAST),
    "privatemode.admitted": Proof("the coordinator's machine is one that the manifest admits", _CONTRAST),
    "privatemode.mesh_ca": Proof("the attested mesh CA may issue certificates now", "RFC 5280 §4.2.1"),
    "privatemode.secret_service": Proof("the mesh CA certified the secret service's key, under the name that the policy gives it", _OWN),
    "privatemode.secret": Proof("the secret service agreed with us, in this exchange, on the secret that bodies are sealed under", _PRIVATEMODE),
}
