"""A signer in a dstack machine that is software: reports in the true form of NEAR's inference proxy and of dstack's, with every defect to be had.

signer = FakeSigner(machine, ed25519())               or ecdsa()
signer.report(nonce, fingerprint)                      what it answers, a JSON object to bend before it is sent
signer.reply(model, sent, answered)                    its signature over an exchange
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature

from ollm.attest.dstack.keccak import keccak_256
from ollm.attest.dstack.secp256k1 import recover
from ollm.sim import eventlog
from ollm.sim.machine import SimulatedMachine
from ollm.testing.mint.nvidia import Device

KMS = "3059" + "5a" * 89
MODEL = "acme/Model-1:latest"
ACTIONS: tuple[dict[str, Any], ...] = (
    {"timestamp": "2026-11-01T00:00:00Z", "action": "compose_manager_started", "container": "compose-manager", "image": "acme/manager@sha256:00"},
    {"timestamp": "2026-11-01T00:00:01Z", "action": "compose_up", "tag": "v1", "commit": "11" * 20, "file": "old.yaml", "file_sha256": "11" * 32},
    {"timestamp": "2026-11-01T00:00:02Z", "action": "compose_down", "tag": "v1", "commit": "11" * 20, "file": "old.yaml"},
    {"timestamp": "2026-11-01T00:00:03Z", "action": "compose_up", "tag": "v2", "commit": "22" * 20, "file": "model.yaml", "file_sha256": "22" * 32},
)
_OTHER_ORDER = ("timestamp", "action", "tag", "commit", "file", "file_sha256", "services")


class KmsMachine(SimulatedMachine):
    """A simulated machine whose keys come from a key service, and with GPUs in its configuration."""

    gpus = 0
    key_provider = json.dumps({"name": "kms", "id": KMS}).encode()

    def _boot(self) -> tuple[eventlog.Event, ...]:
        events = eventlog.runtime_events(
            app_id=self.app_id, compose_hash=self.compose_hash, instance_id=self.instance_id, key_provider=self.key_provider
        )
        return eventlog.boot_events(self.build) + events

    @property
    def vm_config(self) -> str:
        return json.dumps({**json.loads(super().vm_config), "num_gpus": self.gpus})


class LocalMachine(KmsMachine):
    """One that made its keys itself."""

    key_provider = json.dumps({"name": "local-sgx", "id": "00"}).encode()


class Key(Protocol):
    """A signer's key, in the forms in which its report and signatures have it."""

    algorithm: str
    address: bytes
    public: bytes

    def sign(self, text: bytes) -> str: ...


class _Ed25519:
    algorithm = "ed25519"

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self.address = self._key.public_key().public_bytes_raw()

    def sign(self, text: bytes) -> str:
        return self._key.sign(text).hex()


class _Ecdsa:
    algorithm = "ecdsa"

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256K1())
        numbers = self._key.public_key().public_numbers()
        self.public = numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big")
        self.address = keccak_256(self.public)[-20:]

    def sign(self, text: bytes) -> str:
        digest = keccak_256(b"\x19Ethereum Signed Message:\n%d" % len(text) + text)
        r, s = decode_dss_signature(self._key.sign(digest, ec.ECDSA(Prehashed(hashes.SHA256()))))
        parity = next(parity for parity in (0, 1) if recover(digest, r, s, parity) == self.public)
        return "0x" + r.to_bytes(32, "big").hex() + s.to_bytes(32, "big").hex() + bytes([27 + parity]).hex()


def ed25519(seed: bytes = b"\x07" * 32) -> Key:
    """An Ed25519 key."""
    return _Ed25519(seed)


def ecdsa() -> Key:
    """A fresh key on secp256k1, named by its Ethereum address."""
    return _Ecdsa()


class FakeSigner(msgspec.Struct, frozen=True, kw_only=True):
    """A machine, its key, and what it says of itself."""

    machine: SimulatedMachine
    key: Key
    model: str | None = MODEL
    devices: tuple[Device, ...] = ()
    actions: Sequence[dict[str, Any]] | None = ACTIONS
    ohttp: bool = True

    def statement(self, nonce: str, fingerprint: str | None) -> bytes:
        """Its report data."""
        if fingerprint is None:
            return self.key.address.ljust(32, b"\x00") + bytes.fromhex(nonce)
        return hashlib.sha256(self.key.address + bytes.fromhex(fingerprint)).digest() + bytes.fromhex(nonce)

    def report(self, nonce: str, fingerprint: str | None) -> dict[str, Any]:
        """Its report over `nonce`, 64 hex; `fingerprint` is its channel's."""
        document = {
            "signing_address": ("0x" if self.key.algorithm == "ecdsa" else "") + self.key.address.hex(),
            "signing_algo": self.key.algorithm,
            "signing_public_key": self.key.public.hex(),
            "request_nonce": nonce,
            "intel_quote": self.machine.quote(self.statement(nonce, fingerprint)).hex(),
            "nvidia_payload": json.dumps(self.payload(nonce)),
            "event_log": json.loads(self.machine.event_log_json),
            "info": {"app_id": "said", "tcb_info": {"app_compose": self.machine.app_compose}, "vm_config": self.machine.vm_config},
            "invented_since": True,
        }
        if self.model is not None:
            document["model_name"] = self.model
        if fingerprint is not None:
            document["tls_cert_fingerprint"] = fingerprint
        if self.actions is not None:
            document["compose_manager_attestation"] = self.manager(nonce)
        if self.ohttp:
            document |= self.oblivious()
        return document

    def payload(self, nonce: str) -> dict[str, Any]:
        """The evidence of its GPUs."""
        evidence = [device.evidence(bytes.fromhex(nonce)) for device in self.devices]
        return {
            "arch": "HOPPER",
            "nonce": nonce,
            "evidence_list": [
                {
                    "arch": "HOPPER",
                    "certificate": base64.b64encode(each.certificate_chain.encode()).decode(),
                    "evidence": base64.b64encode(each.report).decode(),
                }
                for each in evidence
            ],
        }

    def manager(self, nonce: str, *, in_order: bool = True, by: SimulatedMachine | None = None) -> dict[str, Any]:
        """The statement of what was started in it, hashed with sorted members or, not `in_order`, in those of the first release."""
        listed = [dict(sorted(each.items())) for each in self.actions or ()]
        if not in_order:
            listed = [{name: each[name] for name in sorted(each, key=_written)} for each in listed]
        digest = hashlib.sha256(json.dumps(listed, separators=(",", ":"), ensure_ascii=False).encode()).digest()
        machine = by or self.machine
        return {
            "actions": list(self.actions or ()),
            "actions_hash": digest.hex(),
            "quote": machine.quote(digest + bytes.fromhex(nonce)).hex(),
            "event_log": machine.event_log_json,
            "nonce": nonce,
            "vm_config": machine.vm_config,
        }

    def oblivious(self) -> dict[str, Any]:
        """A key configuration for oblivious HTTP, signed."""
        config = b"\x01\x00\x20" + bytes(32) + b"\x00\x04\x00\x01\x00\x01"
        signature = self.key.sign(config)
        stated = {"signing_algo": "ed25519", "signing_key": self.key.public.hex(), "key_config": config.hex(), "signature": signature}
        return {"ohttp_key_config": config.hex(), "ohttp_attestation": stated}

    def gateway_report(self, nonce: str, fingerprint: str) -> dict[str, Any]:
        """Its report as a gateway of NEAR's writes it."""
        report = self.report(nonce, fingerprint)
        kept = ("signing_address", "signing_algo", "intel_quote", "request_nonce", "info", "tls_cert_fingerprint")
        return {**{name: report[name] for name in kept}, "event_log": self.machine.event_log_json, "report_data": "said"}

    def reply(self, model: str, sent: bytes, answered: bytes) -> dict[str, Any]:
        """Its signature over an exchange."""
        text = f"{model}:{hashlib.sha256(sent).hexdigest()}:{hashlib.sha256(answered).hexdigest()}"
        address = ("0x" if self.key.algorithm == "ecdsa" else "") + self.key.address.hex()
        return {"text": text, "signature": self.key.sign(text.encode()), "signing_address": address, "signing_algo": self.key.algorithm}


def _written(name: str) -> tuple[int, str]:
    return (_OTHER_ORDER.index(name) if name in _OTHER_ORDER else len(_OTHER_ORDER), name)
