"""YAML that has one reading."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.provenance import yaml_tree
from tests.attest.provenance.common import caught, refusal


def parse(text: str) -> yaml_tree.Tree:
    return yaml_tree.parse(text, check="a.check")


def test_mappings_sequences_and_texts_are_read() -> None:
    text = """
# a comment — with a dash
services:
  "app":
    image: 'name@sha256:00'
    command: ["serve", --port, 80]
    healthcheck: {test: [CMD, true], retries: 0x10}
    environment:
    - A=yes
    -
      - nested
    script: |
      image: not a key
        build: .
    empty:
"""
    assert parse(text) == {
        "services": {
            "app": {
                "image": "name@sha256:00",
                "command": ["serve", "--port", "80"],
                "healthcheck": {"test": ["CMD", "true"], "retries": "0x10"},
                "environment": ["A=yes", ["nested"]],
                "script": "image: not a key\n  build: .\n",
                "empty": "",
            }
        }
    }
    assert parse("just a text") == "just a text"
    assert parse("--- [a, {b: c}]\n") == ["a", {"b": "c"}]


@pytest.mark.parametrize(
    "text",
    [
        "a: &x 1\nb: 2",
        "a: &x {b: 1}\nc: *x",
        "*x",
        "a: {<<: {b: 1}}",
        '"<<": {b: 1}',
        "a: !!str 1",
        "a: !reset null",
        "a: ! b",
        "!x {a: b}",
        "a: 1\na: 2",
        'a: 1\n"a": 2',
        "{a: 1, a: 2}",
        "[a]: b",
        "? {a: b}\n: c",
        "a: b\n---\nc: d",
        "%YAML 1.1\n---\na: b",
        "%TAG ! tag:x,2000:\n---\na: b",
        "a: b\n...\nc",
        "",
        "# nothing",
        "a: b: c",
        "a: 'b",
        "{",
        "a:\tb",
        "a: b\r\n",
        "\ufeffa: b",
        "a: b\u2028c: d",
        "a: b\x85c: d",
        "a: \x00",
        "a: \ud800",
        "[" * 40 + "]" * 40,
        "- " * 40 + "x",
        "a: " + "b" * yaml_tree.MAX_TEXT,
    ],
)
def test_what_another_reader_could_take_otherwise_is_refused(text: str) -> None:
    assert refusal(parse, text).check == "a.check"


def test_depth_is_counted_not_recursed() -> None:
    assert parse("[" * 31 + "]" * 31)
    assert "at most 32" in refusal(parse, "[" * 32 + "]" * 32).want
    assert refusal(parse, "{a: " * 20_000).check == "a.check"


def test_a_file_of_many_parts_is_refused() -> None:
    assert "too many parts" in refusal(parse, "[" + "a," * yaml_tree.MAX_EVENTS + "]").got


_TEXT = "ab:-[]{}\n #&*!|>'\"%?,<"
_BOTH = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]


@given(st.text(alphabet=_TEXT, max_size=60))
def test_what_both_scanners_read_they_read_alike(text: str) -> None:
    trees = []
    for loader in _BOTH:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(yaml_tree, "_LOADER", loader)
            if caught(parse, text) is None:
                trees.append(parse(text))
    assert all(tree == trees[0] for tree in trees)


@given(st.text(alphabet=_TEXT, max_size=60))
def test_only_a_refusal_escapes(text: str) -> None:
    caught(parse, text)


@given(
    st.recursive(
        st.text("abc", min_size=1),
        lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text("abc", min_size=1), below, max_size=3),
        max_leaves=20,
    )
)
def test_what_json_says_is_said_in_yaml_too(tree: yaml_tree.Tree) -> None:

    assert parse(json.dumps(tree)) == tree
