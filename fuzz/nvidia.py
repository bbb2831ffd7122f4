"""NVIDIA: SPDM report, device certificates, RIM files, OCSP answers; damaged before or after they are signed."""

from collections.abc import Sequence
from functools import cache

import msgspec
from lxml import etree

from fuzz.target import Target, member, members
from fuzz.world import NOW
from ollm.attest.checks import Trail
from ollm.attest.evidence import NvidiaCollateral, NvidiaEvidence
from ollm.attest.nvidia import appraise, chain, layout, ocsp, rim
from ollm.testing.mint import nvidia as mint
from ollm.testing.mint.nvidia_rim import raw_signature, sign_xml
from ollm.values.policy import NvidiaPolicy

_NONCE = bytes(range(32))
_SIGNATURE = 96  # bytes at the end of a report


@cache
def _gpu() -> mint.Device:
    return mint.create(NOW).device()


@cache
def _switch() -> mint.Device:
    return mint.create(NOW, "LS_10", beside=_gpu().hierarchy).device()


@cache
def _collateral() -> NvidiaCollateral:
    return _gpu().collateral(NOW)


@cache
def _policy() -> NvidiaPolicy:
    return _gpu().hierarchy.policy()


@cache
def _reports() -> Sequence[bytes]:
    return _gpu().report(_NONCE), _switch().report(_NONCE)


def _appraised(evidence: NvidiaEvidence, collateral: NvidiaCollateral) -> object:
    return appraise.genuine_device(Trail(appraise.plan(_policy())), evidence, collateral, _policy(), NOW, nonce=_NONCE)


def _appraised_report(data: bytes) -> object:
    return _appraised(NvidiaEvidence(report=data, certificate_chain=_gpu().pem), _collateral())


def _signed_report(data: bytes) -> object:
    return _appraised_report(data + raw_signature(_gpu().leaf.key, data))


def _needed(data: bytes) -> object:
    return appraise.collateral_need(NvidiaEvidence(report=data, certificate_chain=_gpu().pem))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _chain(data: bytes) -> object:
    return chain.identify(chain.load_device_chain(_text(data)))


def _appraised_chain(data: bytes) -> object:
    return _appraised(NvidiaEvidence(report=_reports()[0], certificate_chain=_text(data)), _collateral())


@cache
def _rims() -> Sequence[bytes]:
    return _gpu().driver_rim(), _gpu().bios_rim()


def _verified(data: bytes) -> object:
    return rim.verify(rim.parse(data, "RIM"))


def _unsigned_rims() -> Sequence[bytes]:
    return [data[: data.index(b"<ds:Signature")] + data[data.index(b"</ds:Signature>") + 15 :] for data in _rims()]


def _signed_rim(data: bytes) -> object:
    signers = _gpu().hierarchy.rim_chain
    try:
        signed = sign_xml(data.decode(), signers[0].key, signers)
    except (etree.LxmlError, ValueError):
        return None  # nobody could sign that
    return _verified(signed)


def _answer_seeds() -> Sequence[bytes]:
    return members(_collateral().ocsp)


def _answered(data: bytes) -> object:
    answers = _collateral().ocsp
    name, value = member([str(index) for index in range(len(answers))], data)
    replaced = tuple(value if index == int(name) else answer for index, answer in enumerate(answers))
    collateral = msgspec.structs.replace(_collateral(), ocsp=replaced)
    return _appraised(NvidiaEvidence(report=_reports()[0], certificate_chain=_gpu().pem), collateral)


# libxml2 keeps every name that it ever read, one dictionary for each thread, and damage makes new names: 110 bytes an input were seen.
_NAMES = 256
_RIMS = ("nvidia/*.xml", "nvidia/*.swidtag")
TARGETS = (
    Target("nvidia-report", layout.parse_report, _reports),
    Target("nvidia-need", _needed, lambda: _reports()[:1], heavy=True),
    Target("nvidia-report-appraised", _appraised_report, lambda: _reports()[:1], heavy=True),
    Target("nvidia-report-signed", _signed_report, lambda: [_reports()[0][:-_SIGNATURE]], heavy=True),
    Target("nvidia-chain", _chain, lambda: [device.pem.encode() for device in (_gpu(), _switch())], text=True),
    Target("nvidia-chain-appraised", _appraised_chain, lambda: [_gpu().pem.encode()], text=True, heavy=True),
    Target("nvidia-rim", _verified, _rims, text=True, recorded=_RIMS, keeps=_NAMES),
    Target("nvidia-rim-signed", _signed_rim, _unsigned_rims, text=True, heavy=True, keeps=_NAMES),
    Target("nvidia-ocsp", lambda data: ocsp.parse((data,)), lambda: _collateral().ocsp, recorded=("nvidia/*ocsp_response.dat",)),
    Target("nvidia-ocsp-appraised", _answered, _answer_seeds, heavy=True),
)
