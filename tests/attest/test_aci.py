"""The ACI/1 report: strict where meaning hangs on it, and each binding by its own check."""

import copy
import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest import aci
from ollm.attest.dstack.eventlog import MAX_LOG
from ollm.attest.tdx.layout import MAX_QUOTE, parse_quote
from ollm.errors import EvidenceRefused
from ollm.sim.machine import SimulatedMachine
from ollm.values.aci import E2EE_ALGOS, HPKE_ALGO, E2eeKey, Keyset, TlsKey
from tests.attest.service import HPKE_CONFIG, HPKE_KEY, KEYSET, NONCE, SPKI, evidence, refused_check, report
from tests.sim.hardware import NOW


def refused(check: str, match: str | None = None) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, match=match, check=lambda error: error.check == check)


@pytest.fixture
def document(machine: SimulatedMachine) -> dict[str, Any]:
    return report(machine)


def parsed(document: object) -> aci.Report:
    return aci.parse_report(json.dumps(document).encode())


def test_the_members_that_are_read(machine: SimulatedMachine, document: dict[str, Any]) -> None:
    read = parsed(document)

    assert read.tee_type == "tdx"
    assert aci.check_keyset(read.keyset)[0] == KEYSET
    assert read.keyset_digest == KEYSET.digest()
    assert read.quote.hex() == document["attestation"]["evidence"]["quote"]
    assert read.event_log == machine.event_log_json
    assert read.app_compose == machine.app_compose


def test_members_that_aci_does_not_name_are_passed_over(document: dict[str, Any]) -> None:
    document["attestation"]["evidence"]["ollm"] = {"config": "sha256:"}
    document["service_capabilities"] = "of a later version"

    assert parsed(document) == parsed(document)


def _set(*path: str, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for name in path[:-1]:
            document = document[name]
        document[path[-1]] = to

    return change


@pytest.mark.parametrize(
    ("check", "change"),
    [
        ("report.version", _set("api_version", to="aci/2")),
        ("report.version", _set("api_version", to=None)),
        ("report.version", _set("workload_id", to="sha256:00")),
        ("report.version", _set("attestation", "tee_type", to="sev_snp")),
        ("report.format", _set("attestation", to=[])),
        ("report.format", _set("attestation", "evidence", to={})),
        ("report.format", _set("attestation", "workload_keyset", to=[])),
        ("report.format", _set("workload_keyset_digest", to=7)),
        ("report.format", _set("attestation", "evidence", "quote", to="")),
        ("report.format", _set("attestation", "evidence", "quote", to="0")),
        ("report.format", _set("attestation", "evidence", "quote", to="04 00")),
        ("report.format", _set("attestation", "evidence", "quote", to="AB")),
        ("report.format", _set("attestation", "evidence", "quote", to="00" * (MAX_QUOTE + 1))),
        ("report.format", _set("attestation", "evidence", "event_log", to=[])),
        ("report.format", _set("attestation", "evidence", "event_log", to=" " * (MAX_LOG + 1))),
        ("report.format", _set("attestation", "evidence", "app_compose", to={})),
    ],
)
def test_a_report_that_is_not_right_is_refused(document: dict[str, Any], check: str, change: Callable[[dict[str, Any]], None]) -> None:
    document = copy.deepcopy(document)
    change(document)

    with refused(check):
        parsed(document)


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b'{"api_version":"aci/1","api_version":"aci/1"}', b" " * (aci.MAX_REPORT + 1)])
def test_what_is_no_report_is_refused(body: bytes) -> None:
    with refused("report.format"):
        aci.parse_report(body)


# The keyset


def test_a_keyset_is_digested_as_received() -> None:
    assert aci.check_keyset(KEYSET.document()) == (KEYSET, KEYSET.digest())


@pytest.mark.parametrize(
    "change",
    [
        _set("receipt_signing_keys", to=[]),
        _set("receipt_signing_keys", to=[{"key_id": "a", "algo": "ecdsa-secp256k1", "public_key": "02" * 33}]),
        _set("receipt_signing_keys", to=[{"key_id": "a", "algo": "ed25519", "public_key": "02" * 33}]),
        _set("receipt_signing_keys", to=[{"key_id": "a", "algo": "ed25519", "public_key": HPKE_KEY.hex()}]),
        _set("e2ee_public_keys", to=[{"key_id": "a", "algo": HPKE_ALGO, "public_key": "zz" * 32}]),
        _set("tls_public_keys", to=[{"spki_sha256": "AB" * 32}]),
        _set("tls_public_keys", to=None),
        _set("not_after", to="2030"),
        _set("not_after", to=2**53),
        _set("subject", to="\ud800"),
        _set("comment", to=""),
    ],
)
def test_a_malformed_keyset_is_refused(change: Callable[[dict[str, Any]], None]) -> None:
    document = KEYSET.document()
    change(document)

    with refused("keyset.format"):
        aci.check_keyset(document)


def test_entries_of_unknown_algorithms_are_passed_over() -> None:
    document = KEYSET.document()
    document["e2ee_public_keys"] = [{"key_id": "later", "algo": "x-wing", "public_key": "of any form"}]

    keyset, _ = aci.check_keyset(document)

    assert keyset.hpke_key() is None


def test_the_stated_digest_is_the_computed_one() -> None:
    aci.check_digest(KEYSET.digest(), KEYSET.digest())
    with refused("keyset.digest"):
        aci.check_digest("sha256:", KEYSET.digest())


def test_a_keyset_is_valid_until_before_its_end_and_not_for_ever() -> None:
    aci.check_expiry(KEYSET, KEYSET.not_after - 1, 3600)
    aci.check_expiry(KEYSET, KEYSET.not_after - 3600, 3600)
    with refused("keyset.expiry", "ended 0 s ago"):
        aci.check_expiry(KEYSET, KEYSET.not_after, 3600)
    with refused("keyset.expiry", "valid for another 3601 s"):
        aci.check_expiry(KEYSET, KEYSET.not_after - 3601, 3600)


# The bindings


def test_the_quote_commits_to_keyset_and_nonce_in_all_64_bytes(machine: SimulatedMachine) -> None:
    td_report = parse_quote(aci.parse_report(evidence(machine).report).quote).td_report

    aci.check_report_data(td_report, KEYSET.digest(), NONCE)
    spoiled = (td_report.report_data[:63] + b"\x01", b"\x01" + td_report.report_data[1:])
    for report_data in spoiled:
        with refused("binding.report_data"):
            aci.check_report_data(msgspec.structs.replace(td_report, report_data=report_data), KEYSET.digest(), NONCE)


def _listing(*spkis: str) -> Keyset:
    return msgspec.structs.replace(KEYSET, tls_public_keys=tuple(TlsKey(spki) for spki in spkis))


def test_the_peers_key_is_one_of_the_listed(machine: SimulatedMachine) -> None:
    fetched = evidence(machine)

    assert aci.check_spki(_listing("00" * 32, SPKI), fetched) == SPKI
    for keyset in (_listing(), _listing("00" * 32)):
        with refused("channel.spki"):
            aci.check_spki(keyset, fetched)
    with refused("channel.spki", "no TLS peer"):
        aci.check_spki(KEYSET, msgspec.structs.replace(fetched, peer_spki_sha256=None))


def test_the_served_sealing_key_is_the_attested_one() -> None:
    assert aci.check_hpke_key(KEYSET, HPKE_CONFIG) == HPKE_KEY


@pytest.mark.parametrize(
    "config",
    [
        None,
        b"",
        HPKE_CONFIG[:-1],
        HPKE_CONFIG + HPKE_CONFIG,
        HPKE_CONFIG.replace(b"\x00\x00\x20", b"\x00\x00\x10", 1),
        HPKE_CONFIG[:-1] + b"\x01",
        HPKE_CONFIG.replace(HPKE_KEY, bytes(32)),
    ],
    ids=["none", "empty", "cut", "two", "P-256", "AES-128", "another key"],
)
def test_any_other_key_configuration_is_refused(config: bytes | None) -> None:
    with refused("channel.hpke_key"):
        aci.check_hpke_key(KEYSET, config)


def test_a_keyset_without_a_sealing_key_seals_nothing() -> None:
    with refused("channel.hpke_key", "no key for sealing"):
        aci.check_hpke_key(msgspec.structs.replace(KEYSET, e2ee_public_keys=()), HPKE_CONFIG)


# Fuzz

_ANY = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=9)
    | st.sampled_from(["tdx", "ed25519", "00" * 32, "\ud800"])
)
_VALUES = st.recursive(_ANY, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3))
_KEYSETS = st.fixed_dictionaries({name: st.just(value) | _VALUES for name, value in KEYSET.document().items()}, optional={"\ud800": _VALUES})
_EVIDENCE = st.fixed_dictionaries({"quote": st.just("04") | _VALUES}, optional={"event_log": _VALUES})
_ATTESTATIONS = st.fixed_dictionaries({"tee_type": st.just("tdx"), "workload_keyset": _KEYSETS | _VALUES, "evidence": _EVIDENCE | _VALUES})
_REPORTS = st.fixed_dictionaries(
    {"api_version": st.just("aci/1"), "workload_keyset_digest": st.text(max_size=9) | _VALUES, "attestation": _ATTESTATIONS | _VALUES}
)


def _judge(document: dict[str, Any]) -> None:
    read = parsed(document)
    keyset, digest = aci.check_keyset(read.keyset)
    aci.check_expiry(keyset, NOW, 1)
    aci.check_digest(read.keyset_digest, digest)


@given(_REPORTS)
def test_only_our_refusal_escapes_for_any_report(document: dict[str, Any]) -> None:
    assert refused_check(lambda: _judge(document)) in ("report.format", "keyset.format", "keyset.digest", "keyset.expiry")


@given(_KEYSETS)
def test_only_our_refusal_escapes_for_any_keyset(document: dict[str, Any]) -> None:
    assert refused_check(lambda: aci.check_keyset(document)) in (None, "keyset.format")


# ACI's own field encryption

X25519, SECP256K1 = E2EE_ALGOS


def with_keys(*keys: tuple[str, str]) -> Keyset:
    listed = tuple(E2eeKey(f"e2ee-{at}", algo, public) for at, (algo, public) in enumerate(keys))
    return msgspec.structs.replace(KEYSET, e2ee_public_keys=(*KEYSET.e2ee_public_keys, *listed))


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        ([(X25519, "11" * 32)], (X25519, "11" * 32)),
        ([(SECP256K1, "04" + "22" * 64), (X25519, "11" * 32)], (X25519, "11" * 32)),
        ([(SECP256K1, "04" + "22" * 64)], (SECP256K1, "04" + "22" * 64)),
        ([(SECP256K1, "22" * 64), ("another", "33")], (SECP256K1, "22" * 64)),
    ],
)
def test_the_key_of_the_suite_that_we_take_first(keys: list[tuple[str, str]], taken: tuple[str, str]) -> None:
    assert aci.check_field_key(with_keys(*keys)) == (taken[0], bytes.fromhex(taken[1]))


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [("another", "11" * 32)],
        [(X25519, "11" * 32), (X25519, "22" * 32)],
        [(X25519, "11" * 31)],
        [(X25519, "AA" * 32)],
        [(X25519, "")],
        [(SECP256K1, "02" + "22" * 32)],
        [(SECP256K1, "05" + "22" * 64)],
        [(X25519, KEYSET.e2ee_public_keys[0].public_key)],
        [(X25519, KEYSET.receipt_signing_keys[0].public_key)],
        [(X25519, "11" * 31), (SECP256K1, "04" + "22" * 64)],
    ],
)
def test_a_keyset_without_one_such_key_for_that_alone_is_refused(keys: list[tuple[str, str]]) -> None:
    with refused("channel.field_key"):
        aci.check_field_key(with_keys(*keys))
