"""How a field becomes a sentence, and that every field of every struct has a sentence in both of its states."""

import msgspec
import pytest

from ollm.config.explain import machine, nitro, nvidia, points, provenance, service, snp, tdx
from ollm.config.explain.points import Context, Table
from ollm.values import policy
from ollm.values.provenance import ProvenancePolicy
from tests.config import samples
from tests.config.samples import TODAY

TABLES: dict[type[msgspec.Struct], Table] = {
    policy.AttestationPolicy: machine.MACHINE,
    policy.TdxPolicy: tdx.TDX,
    policy.TdxReferenceValues: tdx.REFERENCE_VALUES,
    policy.SnpPolicy: snp.SNP,
    policy.SnpReferenceValues: snp.REFERENCE_VALUES,
    policy.NitroPolicy: nitro.NITRO,
    policy.NitroReferenceValues: nitro.REFERENCE_VALUES,
    policy.NvidiaPolicy: nvidia.NVIDIA,
    policy.ServicePolicy: service.SERVICE,
    ProvenancePolicy: provenance.PROVENANCE,
}
# Structs that one sentence tells as a whole: `test_document` changes each of their fields.
TOLD_WHOLE = {"Grace", "SnpTcb", "SnpGrace", "BuildIdentity"}
HEADINGS = {"name"}  # stands above the explanation, or before each sentence about a set of reference values


def test_every_struct_of_a_policy_is_told() -> None:
    assert {kind.__name__ for kind in samples.structs()} == {kind.__name__ for kind in TABLES} | TOLD_WHOLE


@pytest.mark.parametrize("kind", TABLES, ids=lambda kind: kind.__name__)
def test_every_field_has_a_sentence(kind: type[msgspec.Struct]) -> None:
    assert set(TABLES[kind]) == set(kind.__struct_fields__), "give each field sentences in its table in config/explain"


CASES = [
    pytest.param(kind, field, id=f"{kind.__name__}.{field.name}")
    for kind in TABLES
    for field in msgspec.structs.fields(kind)
    if field.name not in HEADINGS and samples.is_plain(field)
]


@pytest.mark.parametrize(("kind", "field"), CASES)
def test_a_field_says_something_absent_and_set(kind: type[msgspec.Struct], field: msgspec.structs.FieldInfo) -> None:
    context = Context(samples.full(), TODAY)
    states = [value for value in (field.default, *samples.two_values(field)) if value is not msgspec.NODEFAULT]
    for value in states:
        assert list(TABLES[kind][field.name](value, context)), f"{kind.__name__}.{field.name} = {value!r} says nothing"


def test_a_list_in_a_sentence_is_cut() -> None:
    assert points.shown(("a", "b")) == "a, b"
    assert points.shown(tuple("abcdef")) == "a, b, c, d and 2 more"
    assert points.shown(3) == "3"


@pytest.mark.parametrize(("seconds", "told"), [(1, "1 seconds"), (90, "90 seconds"), (600, "10 minutes"), (7200, "2 hours"), (86400 * 90, "90 days")])
def test_a_span(seconds: int, told: str) -> None:
    assert points.span(seconds) == told
