"""Tinfoil's documents of every form, and the appraisal of an enclave that answers with one."""

from collections.abc import Sequence
from functools import cache

import msgspec

from fuzz.target import Target
from fuzz.world import NOW, machine
from ollm.attest.evidence import MachineCollateral
from ollm.attest.services import door
from ollm.attest.services.evidence import Demand, ServiceEvidence
from ollm.attest.services.question import Question
from ollm.attest.services.tinfoil import document_june, document_v2, document_v3
from ollm.sim.reference import policy
from ollm.testing.mint import tinfoil as mint
from ollm.values.checks import Appraisal
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy, ServicePolicy

_NONCE = Hex32("a5" * 32)
_DEMAND = Demand(shapes=("tinfoil-v3", "tinfoil-v3-june", "tinfoil-v2"))


@cache
def _keys() -> mint.Keys:
    return mint.create_keys(NOW)


@cache
def _guest() -> mint.TdxGuest:
    return mint.TdxGuest(machine())


@cache
def _policy() -> AttestationPolicy:
    service = ServicePolicy(freshness="server")
    return msgspec.structs.replace(policy((machine(),)), require_event_log=False, require_compose=False, service=service)


@cache
def _v2() -> bytes:
    return mint.v2(_guest(), _keys())


@cache
def _june() -> bytes:
    return mint.june(_guest(), _keys(), _NONCE)


@cache
def _v3() -> bytes:
    return mint.v3(_guest(), _keys(), _NONCE, collateral=[mint.bundle_entry("code", "a/b", {}), mint.vcek_entry(b"certificate", "chain")])


def _appraised(report: bytes) -> Appraisal:
    evidence = ServiceEvidence(documents={"report": report}, nonce=_NONCE, host="enclave.example", peer_spki_sha256=_keys().spki)
    return door.appraise(Question(evidence, (MachineCollateral(cpu=machine().collateral()),), (), _policy(), NOW, _DEMAND))[0]


def _seeds(*seeds: bytes) -> Sequence[bytes]:
    return seeds


TARGETS = (
    Target("tinfoil-v2", document_v2.parse, lambda: _seeds(_v2()), text=True),
    Target("tinfoil-june", document_june.parse, lambda: _seeds(_june()), text=True),
    Target("tinfoil-v3", document_v3.parse, lambda: _seeds(_v3()), text=True),
    Target("tinfoil-v3-bundles", lambda data: document_v3.bundles(data, {"a/b"}), lambda: _seeds(_v3()), text=True),
    Target("tinfoil-appraised", _appraised, lambda: _seeds(_v3(), _june(), _v2()), text=True, heavy=True),
)
