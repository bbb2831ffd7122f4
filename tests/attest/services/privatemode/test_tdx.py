"""A TDX quote comes out of its message as it was signed."""

import pytest

from ollm.attest.services.privatemode import tdx
from ollm.attest.services.privatemode.protobuf import Message
from ollm.attest.tdx.layout import parse_quote
from ollm.errors import EvidenceRefused
from ollm.testing.mint.contrast import field, tdx_quote
from tests.attest.services.privatemode.deployments import machine

CHECK = "privatemode.format"


def read(data: bytes) -> bytes:
    return tdx.evidence(Message(data, CHECK, "an attestation")).quote


def test_a_quote_is_put_together_again_without_what_stands_behind_it() -> None:
    quote = machine().quote(bytes(range(64)))
    assert read(tdx_quote(quote)) == quote
    assert parse_quote(quote).td_report.report_data == bytes(range(64))


def test_each_bit_of_the_header_has_its_place() -> None:
    quote = bytearray(machine().quote(bytes(64)))
    quote[:48] = bytes(range(1, 49))
    assert read(tdx_quote(bytes(quote))) == bytes(quote)


def test_what_is_no_quote_is_refused() -> None:
    whole = tdx_quote(machine().quote(bytes(64)))
    for wrong in (b"", field(1, b""), whole[: len(whole) // 2], whole.replace(field(12, bytes(64)), field(12, bytes(63)))):
        with pytest.raises(EvidenceRefused) as problem:
            read(wrong)
        assert problem.value.check == CHECK
