"""The checks of a token of NVIDIA's attestation service, in the order of appraisal."""

from ollm.attest.proof import Proof

_CLAIMS = "NVIDIA Attestation, claims guide"
_EAT = "RFC 9711 (EAT)"
_JWS = "RFC 7515 (JWS)"
_JWT = "RFC 7519 (JWT)"
_BCP = "RFC 8725 (JSON Web Token Best Current Practices)"
_OWN = "OLLM attestation policy"

CHECKS: dict[str, Proof] = {
    "nras.accepted": Proof("the policy takes the word of NVIDIA's attestation service about a device", _OWN),
    "nras.format": Proof("the bundle is an overall token and a token for each device, each in its one spelling, and nothing else", f"{_EAT} §5"),
    "nras.algorithm": Proof("every token is signed with ES384, and its header brings no key and changes nothing", f"{_BCP} §3.1"),
    "nras.issuer": Proof("every token says that it is by the one service that the policy admits", f"{_JWT} §4.1.1"),
    "nras.key_set": Proof("the keys of the service are a well-formed JWK set", "RFC 7517 (JWK)"),
    "nras.key": Proof("every token names a key that the service published", f"{_JWS} §4.1.4"),
    "platform.marker": Proof("simulated hardware is met only where the policy admits it, and then nothing else is", "decision 0002"),
    "nras.key_chain": Proof("the key is that of its certificate, which is valid now; a simulated one ends in the pinned root", "RFC 7517 §4.7"),
    "nras.signature": Proof("the service signed every token, and no bit was changed", f"{_JWS} §5.2"),
    "nras.validity": Proof("every token is valid now and not for implausibly long", f"{_JWT} §4.1.4 to §4.1.6"),
    "nras.digests": Proof("the devices are exactly those that the overall token is about", f"{_EAT} §4.2.18.2"),
    "nras.result": Proof("the service found all devices in order", _CLAIMS),
    "nras.nonce": Proof("the service judged evidence that was made for our nonce", f"{_EAT} §4.1"),
    "nras.verification": Proof("each step of the service's verification was made for each device and was good", _CLAIMS),
    "nras.measurements": Proof("each device's measurements equal NVIDIA's reference values", _CLAIMS),
    "nras.secure_boot": Proof("each device started signed firmware only", _CLAIMS),
    "nras.debug": Proof("no device can be read through its debug port", _CLAIMS),
    "nras.warning": Proof("the service has nothing to warn of, such as a certificate on hold", _CLAIMS),
    "nras.device": Proof("each device is of a kind that is known, names itself, and is there once", _CLAIMS),
    "nras.architecture": Proof("each GPU is of an architecture that the policy lists", _OWN),
    "nras.driver": Proof("no GPU runs a driver that the policy rejects", _OWN),
    "nras.vbios": Proof("no device has a VBIOS that the policy rejects", _OWN),
    "nras.listed": Proof("each device is one that the policy lists", _OWN),
}
