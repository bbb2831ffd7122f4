"""Damage repeats by its seed, is of every kind, and stays within bounds."""

import random

import pytest

from fuzz import mutate

SEED = b'{"name":"value","list":[1,22,333],"chain":"-----BEGIN CERTIFICATE-----"}<?xml version="1"?><a x="1">text</a>'


def test_the_same_seed_gives_the_same_damage() -> None:
    one, other = random.Random(5), random.Random(5)
    assert [mutate.damaged([SEED], one, text=True) for _ in range(200)] == [mutate.damaged([SEED], other, text=True) for _ in range(200)]


@pytest.mark.parametrize("edit", {*mutate.EDITS, *mutate.TEXT_EDITS}, ids=lambda edit: edit.__name__)
def test_each_edit_changes_something_sometimes_and_never_fails(edit: mutate.Edit) -> None:
    rng, changed = random.Random(1), 0
    for seed in (SEED, b"", b"\x00", b"1", bytes(range(256))) * 50:
        data = bytearray(seed)
        edit(data, rng)
        changed += data != seed
        assert len(data) < len(seed) + 4 * mutate.MAX_GROWTH
    assert changed > 20


def test_text_is_nested_repeated_and_made_huge() -> None:
    rng = random.Random(2)
    found = b"\n".join(mutate.damaged([SEED], rng, text=True) for _ in range(600))
    for sign in (b"[" * 1000, b'{"a":' * 130, b"<a>" * 1000, b"9" * 4301, b"<!DOCTYPE", b'"name":"value","name":"value"', b"\\ud800"):
        assert sign in found, sign


def test_seeds_are_spliced() -> None:
    rng = random.Random(3)
    results = [mutate.damaged([b"a" * 64, b"b" * 64], rng) for _ in range(1000)]
    assert any(b"aaaa" in result and b"bbbb" in result for result in results)
