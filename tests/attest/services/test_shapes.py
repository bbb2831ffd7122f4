"""Shapes are told by members, and by nothing else that whoever sent the report could choose."""

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.services.evidence import Shape
from ollm.attest.services.shapes import MAX_REPORT, shape_of
from ollm.errors import EvidenceRefused
from tests.attest.service import refused_check

TINFOIL = "https://tinfoil.sh/predicate/"
SHAPES: dict[Shape, list[dict[str, Any]]] = {
    "aci": [{"api_version": "aci/1"}, {"api_version": None, "intel_quote": "", "signing_address": ""}],
    "dstack": [{"intel_quote": "04…", "signing_address": "0x…"}],
    "near-gateway": [{"gateway_attestation": {}, "model_attestations": []}],
    "chutes": [{"attestation_type": "chutes"}, {"evidence": [], "failed_instance_ids": []}],
    "tinfoil-v2": [{"format": f"{TINFOIL}{kind}-guest/v2", "body": ""} for kind in ("sev-snp", "tdx")],
    "tinfoil-v3-june": [{"format": f"{TINFOIL}attestation/v3", "cpu": {}}],
    "tinfoil-v3": [{"format": f"{TINFOIL}attestation/v3", "cpu_evidence": ""}],
    "privatemode": [{"AttestationDoc": ""}],
}
MEMBERS = sorted({member for documents in SHAPES.values() for document in documents for member in document})
OTHERS: list[object] = [
    *({}, [], "aci", 5, None, ["api_version"]),
    *({"intel_quote": ""}, {"signing_address": ""}, {"evidence": []}, {"failed_instance_ids": []}, {"attestation_type": "another"}),
    *({"format": ""}, {"format": f"{TINFOIL}tdx-guest/v1"}, {"format": f"{TINFOIL}attestation/v4"}, {"format": None}),
    *({"format": 5}, {"format": []}, {"format": {}}, {"format": [TINFOIL]}),
]


def told(document: object) -> Shape | None:
    return shape_of({"report": json.dumps(document).encode()})


@pytest.mark.parametrize(("shape", "document"), [(shape, document) for shape, documents in SHAPES.items() for document in documents])
def test_a_shape_is_told_by_its_members(shape: Shape, document: dict[str, Any]) -> None:
    assert told(document) == shape
    assert told({"host": "api.example", **document, "other": 1}) == shape


def test_every_shape_can_be_told() -> None:
    assert set(SHAPES) == set(get_args(Shape))


@pytest.mark.parametrize("document", OTHERS, ids=repr)
def test_what_has_no_known_shape_is_said_so(document: object) -> None:
    assert told(document) is None


@pytest.mark.parametrize(
    "documents",
    [{}, {"hpke_keys": b"{}"}, {"report": b""}, {"report": b"{"}, {"report": b'{"a":1,"a":2}'}, {"report": b'"' + b"x" * MAX_REPORT + b'"'}],
    ids=["nothing", "another role", "empty", "cut", "a member twice", "too large"],
)
def test_what_can_not_be_read_is_refused(documents: dict[str, bytes]) -> None:
    assert refused_check(lambda: shape_of(documents)) == "report.format"


VALUES = st.recursive(
    st.none() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(MEMBERS), inner)
)


@given(VALUES)
def test_nothing_but_a_refusal_escapes(document: object) -> None:
    try:
        found = told(document)
    except EvidenceRefused:
        return
    assert found is None or found in SHAPES
