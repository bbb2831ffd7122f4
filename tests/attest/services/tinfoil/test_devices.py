"""Devices' evidence in Tinfoil's documents."""

import base64
import json
from typing import Any

import pytest

from ollm.attest.services.tinfoil import devices
from tests.attest.service import refused_check

ENTRY = {
    "arch": "HOPPER",
    "certificate": base64.b64encode(b"-----BEGIN").decode(),
    "evidence": base64.b64encode(b"\x11\xe0").decode(),
    "nonce": "00" * 32,
}


def packed(*entries: object, **members: object) -> bytes:
    return json.dumps({"evidences": entries, **members}).encode()


def test_one_gpu_and_several() -> None:
    found, arch = devices.gpu(json.dumps(ENTRY).encode())
    assert (found.report, found.certificate_chain, arch) == (b"\x11\xe0", "-----BEGIN", "HOPPER")
    assert devices.gpus(packed(ENTRY, ENTRY)) == ((found, found), "HOPPER")


def test_switches_are_as_the_tool_printed_them() -> None:
    assert len(devices.switches(packed({**ENTRY, "vbios_version": "96.10"}, result_code=0, result_message="Ok"))) == 1


@pytest.mark.parametrize(
    "raw",
    [
        packed(),
        packed(*[ENTRY] * 65),
        packed({**ENTRY, "driver": "550"}),
        packed(ENTRY, result_code=0),
        packed({**ENTRY, "certificate": base64.b64encode(b"\xff").decode()}),
        packed({**ENTRY, "evidence": "EeA"}),
        packed({"arch": "HOPPER"}),
        b"null",
    ],
    ids=["none", "too many", "unknown member", "unknown member beside", "no PEM", "base64", "members missing", "null"],
)
def test_what_is_not_gpus_is_refused(raw: bytes) -> None:
    assert refused_check(lambda: devices.gpus(raw)) == "tinfoil.format"


def test_no_switches_are_not_switches() -> None:
    call: Any = lambda: devices.switches(packed(result_code=1))  # noqa: E731 - the one call of the test
    assert refused_check(call) == "tinfoil.format"
