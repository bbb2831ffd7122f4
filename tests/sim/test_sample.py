"""A JSON Schema always gets the same, fitting value."""

from typing import Any

import pytest

from ollm.sim.sample import MAX_DEPTH, sample


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "Paris"),
        ({"type": "string", "minLength": 7}, "Parisxx"),
        ({"type": "string", "maxLength": 2}, "Pa"),
        ({"type": "string", "format": "date"}, "2025-01-01"),
        ({"type": "integer"}, 1),
        ({"type": "integer", "minimum": 5}, 5),
        ({"type": "number", "exclusiveMinimum": 5}, 6),
        ({"type": "number", "maximum": -3}, -3),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"type": ["integer", "null"]}, 1),
        ({"type": []}, "Paris"),
        ({"const": {"a": 1}}, {"a": 1}),
        ({"enum": ["celsius", "fahrenheit"]}, "celsius"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3}, [1, 1, 1]),
        ({"type": "array", "items": {}, "minItems": 10**9}, ["Paris"] * 8),
        ({"type": "object", "properties": {"a": {"type": "boolean"}}}, {"a": True}),
        ({"type": "object"}, {}),
        ({"properties": {"a": {"$ref": "#/$defs/kind"}}, "$defs": {"kind": {"enum": ["x"]}}}, {"a": "x"}),
        ({"properties": {"a": {"$ref": "#/nowhere"}}}, {"a": "Paris"}),
        ({"$ref": "#"}, "Paris"),
        ({}, "Paris"),
    ],
)
def test_a_schema_gets_its_value(schema: dict[str, Any], value: object) -> None:
    assert sample(schema, "Paris") == value


def test_optional_members_deep_inside_are_left_out() -> None:
    inner = {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "required": ["b"]}
    assert sample({"type": "object", "properties": {"inner": inner}}) == {"inner": {"b": None}}


def test_a_recursive_schema_ends() -> None:
    node = {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]}
    value = sample(node)
    depth = 0
    while value is not None:
        value, depth = value["next"], depth + 1
    assert depth <= MAX_DEPTH
