"""A trust anchor lies in the store and is believed for the pin in the configuration alone."""

import hashlib
from pathlib import Path

import pytest

from ollm.errors import CollateralError, ConfigError
from ollm.net.collateral.shelf import Shelf
from ollm.net.collateral.sigstore import KEY, brought, trusted_root
from tests.net.collateral.vendor import NOW

ROOT = b'{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1"}'
PIN = hashlib.sha256(ROOT).hexdigest()


def test_without_a_pin_the_librarys_own_is_used(tmp_path: Path) -> None:
    assert trusted_root(Shelf(tmp_path), None, NOW) is None


def test_the_one_that_is_pinned_is_used(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    shelf.write(brought(ROOT, NOW), NOW)
    assert trusted_root(shelf, PIN, NOW) == ROOT
    assert trusted_root(shelf, PIN.upper(), NOW + 10**9) == ROOT


def test_another_one_or_none_is_refused(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    for store in (None, shelf):
        with pytest.raises(ConfigError, match="is not in the store"):
            trusted_root(store, PIN, NOW)
    shelf.write(brought(ROOT + b" ", NOW), NOW)
    with pytest.raises(ConfigError):
        trusted_root(shelf, PIN, NOW)


@pytest.mark.parametrize("document", [b"", b"[]", b"no JSON"])
def test_what_is_no_trusted_root_is_not_brought(document: bytes) -> None:
    with pytest.raises(CollateralError):
        brought(document, NOW)
    assert KEY.traits.stored
