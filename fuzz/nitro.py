"""AWS Nitro: CBOR, document, and the appraisal of documents damaged before or after they are signed."""

from collections.abc import Sequence
from functools import cache

import cbor2

from fuzz.target import Target
from fuzz.world import NOW
from ollm.attest.checks import Trail
from ollm.attest.evidence import NitroEvidence
from ollm.attest.nitro import appraise, cbor, layout
from ollm.testing.mint.nitro import PCRS, NitroHypervisor, create_hypervisor
from ollm.values.policy import NitroPolicy, NitroReferenceValues


@cache
def _hypervisor() -> NitroHypervisor:
    return create_hypervisor(NOW)


@cache
def _policy() -> NitroPolicy:
    image = NitroReferenceValues(name="image", source="minted", pcr0=PCRS[0].hex())
    return NitroPolicy(simulated_root_sha256=_hypervisor().root.sha256, reference_values=(image,))


@cache
def _documents() -> Sequence[bytes]:
    full = _hypervisor().document(NOW, user_data=b"data" * 8, nonce=b"nonce" * 4, public_key=b"key" * 30)
    return full, _hypervisor().document(NOW)


def _payloads() -> Sequence[bytes]:
    return [cbor2.loads(document)[2] for document in _documents()]


def _appraised(document: bytes) -> object:
    return appraise.genuine_document(Trail(appraise.plan(_policy())), NitroEvidence(document=document), _policy(), NOW)


def _decoded(data: bytes) -> object:
    return cbor.decode(data, "fuzz.cbor", indefinite=True)


_RECORDED = ("nitro/*.bin", "nitro/qos_*")
TARGETS = (
    Target("nitro-cbor", _decoded, _documents, recorded=_RECORDED),
    Target("nitro-document", layout.parse, _documents, recorded=_RECORDED),
    Target("nitro-document-appraised", _appraised, _documents, recorded=_RECORDED),
    Target("nitro-payload-signed", lambda data: _appraised(_hypervisor().sign(data)), _payloads),
)
