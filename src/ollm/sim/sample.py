"""A JSON value that fits a JSON Schema, always the same one: arguments of tool calls and structured answers of the responder.

Covers what OpenAI's structured outputs allow (object, array, string, number, integer, boolean, null, enum, const,
anyOf, local $ref, simple bounds). A schema beyond that gets a value of the nearest kind, never an exception.
"""

from collections.abc import Mapping, Sequence
from typing import Any

MAX_DEPTH = 12  # OpenAI allows ten levels of nesting; recursive schemas need an end
MAX_ITEMS = 8

_FORMATS = {
    "date-time": "2025-01-01T00:00:00Z",
    "date": "2025-01-01",
    "time": "12:00:00",
    "duration": "PT1M",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def sample(schema: Mapping[str, Any], word: str = "example") -> Any:
    """The value for `schema`; `word` stands wherever a free string is wanted."""
    return _sample(schema, schema, word, 0)


def _sample(schema: Any, root: Mapping[str, Any], word: str, depth: int) -> Any:
    if not isinstance(schema, Mapping) or depth > MAX_DEPTH:
        return None
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    values = schema.get("enum")
    if isinstance(values, Sequence) and values:
        return values[0]
    for union in ("anyOf", "oneOf", "allOf"):
        choices = schema.get(union)
        if isinstance(choices, list) and choices:
            # Deep inside a recursive schema it is the last branch, by custom null, that ends it.
            return _sample(choices[0] if depth < MAX_DEPTH // 2 else choices[-1], root, word, depth + 1)
    return _of_type(schema, root, word, depth)


def _of_type(schema: Mapping[str, Any], root: Mapping[str, Any], word: str, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "string"
    match kind:
        case "object":
            return _object(schema, root, word, depth)
        case "array":
            count = min(_integer(schema.get("minItems"), 1 if depth < MAX_DEPTH // 2 else 0), MAX_ITEMS)
            return [_sample(schema.get("items", {}), root, word, depth + 1) for _ in range(count)]
        case "integer" | "number":
            return _number(schema)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, word)


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(MAX_DEPTH):
        reference = schema.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#"):
            return schema
        target: Any = root
        for step in reference.lstrip("#").strip("/").split("/") if reference != "#" else ():
            target = target.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(target, Mapping) else None
        if not isinstance(target, Mapping):
            return {}
        schema = target
    return {}


def _object(schema: Mapping[str, Any], root: Mapping[str, Any], word: str, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return {}
    required = schema.get("required")
    names = required if isinstance(required, list) and depth > 0 else list(properties)
    return {name: _sample(properties[name], root, word, depth + 1) for name in names if name in properties}


def _number(schema: Mapping[str, Any]) -> int | float:
    low, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    if isinstance(low, (int, float)):
        return low
    if isinstance(above, (int, float)):
        return above + 1
    high = schema.get("maximum")
    return min(1, high) if isinstance(high, (int, float)) else 1


def _string(schema: Mapping[str, Any], word: str) -> str:
    text = _FORMATS.get(str(schema.get("format")), word)
    text = text.ljust(min(_integer(schema.get("minLength"), 0), 4096), "x")
    return text[: max(_integer(schema.get("maxLength"), len(text)), 0)]


def _integer(value: Any, default: int) -> int:
    return value if isinstance(value, int) else default
