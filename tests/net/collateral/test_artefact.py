"""A key names one request, and a copy knows when it is asked for anew and when it ends."""

import pytest

from ollm.errors import CollateralError
from ollm.net.collateral.artefact import Artefact, Key, artefact
from ollm.net.collateral.kinds import KINDS
from tests.net.collateral.vendor import DAY, HOUR, NOW, certificate, crl, crl_key, der


def copy_of(body: bytes, kind: str = "root-crl") -> Artefact:
    return artefact(Key(kind, "x", "https://vendor.example/x"), body, {"etag": "1"}, NOW)


def test_keys_of_two_services_never_mix() -> None:
    one, other = Key("root-crl", "x", "https://one.example/x"), Key("root-crl", "x", "https://two.example/x")
    assert one.digest != other.digest != Key("amd-crl", "x", "https://two.example/x").digest
    assert len(one.digest) == 64
    assert (one.origin, crl_key(origin="http://127.0.0.1:81").origin) == ("https://one.example", "http://127.0.0.1:81")


def test_a_key_is_shown_by_its_kind_and_subject() -> None:
    assert str(Key("vcek", "Milan ab", "")) == "AMD VCEK of Milan ab"
    assert str(Key("nras-keys", "", "")) == "NRAS keys"


def test_revocation_is_asked_for_anew_within_the_hour() -> None:
    assert copy_of(crl(end=NOW + 30 * DAY)).soft_end == NOW + HOUR
    assert copy_of(crl(end=NOW + 60)).soft_end == NOW + 60
    revocation = [kind for kind in KINDS.values() if "revocation" in kind.because]
    assert len(revocation) == 4
    assert all(kind.refresh is not None and kind.refresh <= HOUR for kind in revocation)


def test_a_vcek_is_asked_for_once() -> None:
    assert copy_of(der(certificate(end=NOW + 2000 * DAY)), "vcek").soft_end == NOW + 2000 * DAY


def test_only_headers_that_belong_to_the_artefact_are_kept() -> None:
    copy = copy_of(crl())
    assert copy.headers == {}
    assert copy.size == len(copy.body)


def test_bytes_without_a_period_are_no_artefact() -> None:
    with pytest.raises(CollateralError):
        copy_of(b"garbage")


def test_every_kind_gives_its_reason_and_what_is_not_signed_is_not_stored() -> None:
    assert all(kind.because and kind.max_bytes > 0 for kind in KINDS.values())
    assert [name for name, kind in KINDS.items() if not kind.stored] == ["nras-keys"]
