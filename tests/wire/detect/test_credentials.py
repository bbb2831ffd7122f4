"""Secrets. The samples are put together here, so that no scanner takes this file for a leak."""

import random

import pytest

from ollm.wire.detect.credentials import SECRET
from tests.wire.detect.finding import found
from tools.detector_samples import secret

PEM = "-----BEGIN " + "RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----"
AWS = "wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY"


def test_each_form() -> None:
    rng = random.Random(3)
    for _ in range(200):
        key = secret(rng)
        assert found(SECRET, f'{{"key": "{key}"}}') == [key]


def test_a_key_that_only_its_name_tells() -> None:
    assert found(SECRET, f"aws_secret_access_key = {AWS}") == [AWS]
    assert found(SECRET, f"commit {AWS}") == []


def test_a_password_in_a_url() -> None:
    assert found(SECRET, "at postgres://app:hunter2@db.example/x") == ["postgres://app:hunter2@"]
    assert found(SECRET, "https://example.com:8080/a@b") == []


def test_a_private_key_is_open_until_its_end() -> None:
    assert found(SECRET, f"see {PEM} there") == [PEM]
    assert SECRET.open_from(f"see {PEM[:-3]}") == 4
    assert SECRET.open_from("see -----BEG") == 4
    assert found(SECRET, PEM[:-10]) == [PEM[:-10]]  # cut off


@pytest.mark.parametrize("text", ["sk-learn", "npm_config", "eyJhbGciOiJub25lIg.e.e", "eyJub3RhbGciOjF9.eyJhIjoxfQ.abc", "AKIA123"])
def test_not_found(text: str) -> None:
    assert found(SECRET, text) == []
