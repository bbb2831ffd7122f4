"""Tinfoil's attestation documents in their true form, of machines that are software.

    keys = create_keys(now)                          what a machine makes when it boots
    guest = TdxGuest(SimulatedMachine(…))            or SnpGuest(SnpMachine(…))
    v2(guest, keys), june(guest, keys, nonce), v3(guest, keys, nonce)

`change` edits a document: of June's before it is signed. Private keys protect nothing.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ollm.attest.evidence import CpuCollateral, NvidiaEvidence
from ollm.attest.services.tinfoil import document_june, document_v2, document_v3
from ollm.attest.services.tinfoil.bound import ALGORITHM, june_report_data, v3_report_data
from ollm.sim.machine import SimulatedMachine
from ollm.testing.mint.snp import SnpMachine
from ollm.testing.mint.x509 import DAY, issue
from ollm.values.hexes import Hex32

REPOSITORY = "tinfoilsh/confidential-model-router"
PLATFORMS = "tinfoilsh/hardware-measurements"

Document = dict[str, Any]
Change = Callable[[Document], object]


class Keys(msgspec.Struct, frozen=True):
    """What a machine makes when it boots: TLS with its certificate, and the key that bodies are sealed to."""

    tls: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    sealing: X25519PrivateKey

    @property
    def spki(self) -> Hex32:
        der = self.tls.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return Hex32(hashlib.sha256(der).hexdigest())

    @property
    def hpke(self) -> bytes:
        return self.sealing.public_key().public_bytes_raw()

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


def create_keys(now: int, *, curve: ec.EllipticCurve | None = None) -> Keys:
    """Fresh keys of a machine that boots at `now`; `curve` of the TLS key other than P-384 is a defect."""
    key = ec.generate_private_key(curve or ec.SECP384R1())
    certificate = issue("a simulated enclave", None, start=now - DAY, end=now + 90 * DAY, authority=False, key=key, constrained=False)
    return Keys(key, certificate.certificate, X25519PrivateKey.generate())


def named_certificate(keys: Keys, now: int, **payloads: bytes) -> bytes:
    """The answer with a certificate for the keys' TLS key whose names spell `payloads`, by their kind (hpke, hatt)."""
    names = [x509.DNSName("enclave.example")]
    for kind, payload in payloads.items():
        text = base64.b32encode(payload).decode().lower().rstrip("=")
        size = 63 - len(f".{kind}.tinfoil.sh") - 2
        names += [x509.DNSName(f"{at:02}{text[at * size : (at + 1) * size]}.{kind}.tinfoil.sh") for at in range(-(-len(text) // size))]
    extensions = [(x509.SubjectAlternativeName(names), False)]
    leaf = issue("enclave.example", None, start=now - DAY, end=now + 90 * DAY, authority=False, key=keys.tls, extensions=extensions)
    return json.dumps({"certificate": leaf.certificate.public_bytes(serialization.Encoding.PEM).decode()}).encode()


class Guest(Protocol):
    """A machine that signs report data."""

    platform: str

    def sign(self, report_data: bytes) -> bytes: ...

    def collateral(self) -> CpuCollateral: ...


class TdxGuest:
    """A TDX machine that measures as Tinfoil's do: nothing in RTMR3, no configuration of the host's."""

    platform = "tdx"

    def __init__(self, machine: SimulatedMachine) -> None:
        self.machine = machine
        self.state = msgspec.structs.replace(machine.td_report, rtmr3=bytes(48), mr_config_id=bytes(48))

    def sign(self, report_data: bytes) -> bytes:
        return self.machine.quote_report(msgspec.structs.replace(self.state, report_data=report_data))

    def collateral(self) -> CpuCollateral:
        return self.machine.collateral()


class SnpGuest:
    """An SEV-SNP machine."""

    platform = "sev-snp"

    def __init__(self, machine: SnpMachine) -> None:
        self.machine = machine

    def sign(self, report_data: bytes) -> bytes:
        return self.machine.report(report_data=report_data)

    def collateral(self) -> CpuCollateral:
        return self.machine.collateral()


def build_predicate(tdx: TdxGuest | None = None, snp: SnpGuest | None = None) -> Document:
    """What a release says that it measures: Tinfoil's predicate for code."""
    measured = ("b1" * 48, "b2" * 48) if tdx is None else (tdx.state.rtmr1.hex(), tdx.state.rtmr2.hex())
    launch = "b3" * 48 if snp is None else snp.machine.fields().measurement.hex()
    return {"snp_measurement": launch, "tdx_measurement": dict(zip(("rtmr1", "rtmr2"), measured, strict=True))}


def platforms_predicate(*guests: TdxGuest) -> Document:
    """What firmware and shape of `guests` measure: Tinfoil's predicate for hardware."""
    return {f"platform-{at}": {"mrtd": guest.state.mrtd.hex(), "rtmr0": guest.state.rtmr0.hex()} for at, guest in enumerate(guests)}


def v2(guest: Guest, keys: Keys, *, sealing: bool = True) -> bytes:
    """A document of v2. `sealing` False: as before there was a key for that."""
    report = guest.sign(bytes.fromhex(keys.spki) + (keys.hpke if sealing else bytes(32)))
    return packed_v2(document_v2.TDX if guest.platform == "tdx" else document_v2.SNP, gzip.compress(report))


def packed_v2(format_uri: str, body: bytes) -> bytes:
    """The document around a body."""
    return json.dumps({"format": format_uri, "body": _b64(body)}).encode()


def june(
    guest: Guest,
    keys: Keys,
    nonce: Hex32,
    *,
    gpus: Sequence[NvidiaEvidence] = (),
    switches: Sequence[NvidiaEvidence] = (),
    honest_switches: bool = True,
    change: Change | None = None,
) -> bytes:
    """A document of June 2026. `honest_switches` False: switches' evidence is hashed in another spelling than it is sent in, as was done."""
    stated: Document = {"tls_key_fp": keys.spki, "hpke_key": keys.hpke.hex(), "nonce": nonce}
    document: Document = {"format": document_june.FORMAT_URI, "report_data": stated, "cpu": {}}
    digests: list[bytes] = []
    for name, entries, arch in (("gpu", gpus, "HOPPER"), ("nvswitch", switches, "LS10")):
        if entries:
            document[name] = _collected(entries, nonce, arch) if name == "gpu" else {**_collected(entries, nonce, arch), "result_code": 0}
            text = _compact(document[name]) if name == "gpu" or honest_switches else json.dumps(document[name], indent=1).encode()
            digests.append(hashlib.sha256(text).digest())
            stated[f"{name}_evidence_hash"] = digests[-1].hex()
    report = guest.sign(june_report_data(keys.spki, keys.hpke, nonce, *digests))
    document["cpu"] = {"platform": guest.platform, "report": _b64(report)}
    document |= {"certificate": keys.pem, "signature": ""}
    if change is not None:
        change(document)
    signed = _compact(document)
    signature = _b64(keys.tls.sign(signed, ec.ECDSA(hashes.SHA256())))
    return signed.replace(b'"signature":""', b'"signature":"' + signature.encode() + b'"') + b"\n"


def v3(
    guest: Guest,
    keys: Keys,
    nonce: Hex32,
    *,
    gpus: Sequence[NvidiaEvidence] = (),
    switches: Sequence[NvidiaEvidence] = (),
    collateral: Sequence[Document] = (),
    keys_changed: Change | None = None,
    devices_changed: Change | None = None,
    change: Change | None = None,
) -> bytes:
    """A document of v3. `keys_changed` and `devices_changed` edit the sections before they are hashed, `change` the whole after."""
    items: list[Document] = [
        {"id": f"gpu{at}", "kind": "gpu", "vendor": "nvidia", "format": document_v3.GPU, "evidence": _entry(gpu, nonce, "HOPPER")}
        for at, gpu in enumerate(gpus)
    ]
    if switches:
        evidence = {**_collected(switches, nonce, "LS10"), "result_code": 0, "result_message": "Ok"}
        items.append({"id": "nvswitch0", "kind": "nvswitch", "vendor": "nvidia", "format": document_v3.SWITCHES, "evidence": evidence})
    stated: list[Document] = [
        {"id": "tls", "format": document_v3.SPKI_DIGEST, "data": keys.spki},
        {"id": "hpke", "format": document_v3.X25519, "data": keys.hpke.hex()},
    ]
    sections: list[bytes] = []
    for format_uri, entries, edit in (
        (document_v3.CRYPTO_MATERIAL, stated, keys_changed),
        (document_v3.DEVICE_EVIDENCE, items, devices_changed),
    ):
        section: Document = {"format": format_uri, "items": entries}
        if edit is not None:
            edit(section)
        sections.append(_compact(section))
    report_data = v3_report_data(bytes.fromhex(nonce), *sections)
    document: Document = {
        "format": document_june.FORMAT_URI,
        "challenge": {"nonce": nonce, "report_data": report_data.hex(), "report_data_algorithm": ALGORITHM},
        "cpu_evidence": {
            "format": f"https://tinfoil.sh/format/{'tdx-quote' if guest.platform == 'tdx' else 'sev-snp-report'}/v1",
            "report_base64": _b64(guest.sign(report_data)),
            "endorsed": {
                "crypto_material_hash": hashlib.sha256(sections[0]).hexdigest(),
                "device_evidence_hash": hashlib.sha256(sections[1]).hexdigest(),
            },
        },
        "crypto_material": _b64(sections[0]),
        "device_evidence": _b64(sections[1]),
        "collateral": list(collateral),
    }
    if change is not None:
        change(document)
    return _compact(document)


def bundle_entry(kind: str, repository: str, bundle: Document) -> Document:
    """Collateral of v3 that carries a Sigstore bundle; `kind` is code, platform or freshness."""
    data = {"repo": repository, "tag": "v1.2.0", "digest": "d1" * 32, "sigstore_bundle": bundle}
    return {"id": f"{kind}-{repository}", "role": "reference-values", "format": f"https://tinfoil.sh/collateral/sigstore-{kind}/v1", "data": data}


def vcek_entry(leaf: bytes, chain: str) -> Document:
    """Collateral of v3 that carries AMD's certificate of a chip."""
    data = {"vcek_der_base64": _b64(leaf), "cert_chain_pem": chain}
    return {"id": "cpu-endorsement", "role": "endorsement", "format": document_v3.VCEK, "subjects": ["cpu"], "data": data}


def _collected(entries: Sequence[NvidiaEvidence], nonce: str, arch: str) -> Document:
    return {"evidences": [_entry(device, nonce, arch) for device in entries]}


def _entry(device: NvidiaEvidence, nonce: str, arch: str) -> Document:
    return {"arch": arch, "certificate": _b64(device.certificate_chain.encode()), "evidence": _b64(device.report), "nonce": nonce}


def _compact(document: Document) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()
