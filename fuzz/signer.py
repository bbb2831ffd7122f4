"""Signers in dstack machines: their reports, alone and behind a gateway, statements of managers, signatures over answers, and the appraisal."""

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import msgspec

from fuzz.target import Target
from fuzz.world import NOW, StoppedClock, machine
from ollm.attest.evidence import MachineCollateral
from ollm.attest.services import door, signed_answers
from ollm.attest.services.dstack_signer import appraise, manager, report
from ollm.attest.services.evidence import AnswerSigner, Demand, ServiceEvidence
from ollm.attest.services.question import Question
from ollm.sim.reference import policy
from ollm.testing.mint.signer import MODEL, FakeSigner, Key, KmsMachine, ecdsa, ed25519
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32, sha256_of
from ollm.values.policy import AttestationPolicy, ServicePolicy

_NONCE, _SPKI = Hex32("a5" * 32), Hex32("51" * 32)
_DEMAND = Demand(shapes=("dstack", "near-gateway"))


@cache
def _signer(*, front: bool = False) -> FakeSigner:
    if front:
        return FakeSigner(machine=KmsMachine(machine().pki, StoppedClock(), name="front", build="front-build"), key=ed25519(b"\x08" * 32))
    return FakeSigner(machine=KmsMachine(machine().pki, StoppedClock()), key=ed25519())


@cache
def _policy() -> AttestationPolicy:
    service = ServicePolicy(gateway_tdx=policy((_signer(front=True).machine,)).tdx)
    return msgspec.structs.replace(policy((_signer().machine,)), service=service)


@cache
def _report() -> bytes:
    return json.dumps(_signer().report(_NONCE, _SPKI)).encode()


@cache
def _gateway() -> bytes:
    behind = [_signer().report(_NONCE, "5c" * 32)]
    return json.dumps({"gateway_attestation": _signer(front=True).gateway_report(_NONCE, _SPKI), "model_attestations": behind}).encode()


@cache
def _statement() -> bytes:
    return json.dumps(_signer().manager(_NONCE)).encode()


@cache
def _signing(kind: Callable[[], Key]) -> FakeSigner:
    return msgspec.structs.replace(_signer(), key=kind())


def _answer(name: str, kind: Callable[[], Key], algorithm: Literal["ed25519", "ecdsa"]) -> Target:
    """Signatures of one kind; whatever isn't taken for a missing one is judged."""

    def judged(data: bytes) -> object:
        signer = AnswerSigner(algorithm, _signing(kind).key.address.hex())
        return signed_answers.is_missing(data) or signed_answers.check(data, signer, model=None, request=sha256_of(b""), response=sha256_of(b""))

    return Target(name, judged, lambda: _seeds(json.dumps(_signing(kind).reply(MODEL, b"", b"")).encode()), text=True)


def _read(data: bytes) -> object:
    appraise.gpu_payload(data, MODEL)  # never refuses: what can't be read gives nothing
    return report.parse_report(report.parse_document(data))


def _appraised(data: bytes) -> Appraisal:
    evidence = ServiceEvidence(documents={"report": data}, nonce=_NONCE, host="h", peer_spki_sha256=_SPKI, model=MODEL)
    collateral = tuple(MachineCollateral(cpu=machine().collateral()) for _ in door.machines(evidence, _DEMAND))
    return door.appraise(Question(evidence, collateral, (), _policy(), NOW, _DEMAND))[0]


def _seeds(*seeds: bytes) -> Sequence[bytes]:
    return seeds


TARGETS = (
    Target("signer-report", _read, lambda: _seeds(_report()), text=True),
    Target("signer-manager", lambda data: manager.parse(report.parse_document(data), None), lambda: _seeds(_statement()), text=True),
    _answer("signer-answer-ed25519", ed25519, "ed25519"),
    _answer("signer-answer-ecdsa", ecdsa, "ecdsa"),
    Target("signer-appraised", _appraised, lambda: _seeds(_report(), _gateway()), text=True, heavy=True),
)
