"""Chutes' answers: the list of instances, their evidence in both forms, and the appraisal of all of it."""

import json
from collections.abc import Sequence
from functools import cache

import msgspec

from fuzz.target import Target
from fuzz.world import NOW, machine
from ollm.attest.evidence import MachineCollateral
from ollm.attest.services import door
from ollm.attest.services.chutes import appraise, report
from ollm.attest.services.evidence import Demand, ServiceEvidence
from ollm.attest.services.question import Question
from ollm.sim.reference import policy
from ollm.testing.providers.chutes import FakeInstance
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy

_NONCE = Hex32("a5" * 32)
_DEMAND = Demand(shapes=("chutes",), channel=False, seal=True)


@cache
def _instance() -> FakeInstance:
    return FakeInstance(machine(), 1, NOW)


@cache
def _policy() -> AttestationPolicy:
    return msgspec.structs.replace(policy((machine(),)), require_event_log=False, require_compose=False)


@cache
def _list() -> bytes:
    return json.dumps({"instances": [{"instance_id": _instance().instance_id, "e2e_pubkey": _instance().key, "nonces": []}]}).encode()


@cache
def _report() -> bytes:
    return json.dumps({"evidence": [_instance().evidence(_NONCE)], "failed_instance_ids": []}).encode()


@cache
def _passed_on() -> bytes:
    return json.dumps({"attestation_type": "chutes", "nonce": _NONCE, "all_attestations": [_instance().passed_on(_NONCE)]}).encode()


def _evidence(**documents: bytes) -> ServiceEvidence:
    return ServiceEvidence(documents=documents, nonce=_NONCE, host="api.example", peer_spki_sha256=None)


def _appraised(evidence: ServiceEvidence) -> Appraisal:
    found = tuple(MachineCollateral(cpu=machine().collateral()) for _ in appraise.machines(evidence))
    return door.appraise(Question(evidence, found, (), _policy(), NOW, _DEMAND))[0]


def _seeds(*seeds: bytes) -> Sequence[bytes]:
    return seeds


TARGETS = (
    Target("chutes-list", lambda data: report.read(_evidence(instances=data, report=_report())), lambda: _seeds(_list()), text=True),
    Target("chutes-report", lambda data: report.read(_evidence(instances=_list(), report=data)), lambda: _seeds(_report(), _passed_on()), text=True),
    Target(
        "chutes-report-appraised",
        lambda data: _appraised(_evidence(instances=_list(), report=data)),
        lambda: _seeds(_report()),
        text=True,
        heavy=True,
    ),
    Target(
        "chutes-list-appraised", lambda data: _appraised(_evidence(instances=data, report=_report())), lambda: _seeds(_list()), text=True, heavy=True
    ),
)
