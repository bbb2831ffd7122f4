"""Rows about a request: what they may hold is listed here, so that a field which could hold content can't come in unseen."""

import enum
import typing

import msgspec
import pytest
from rich.pretty import pretty_repr

from ollm.values.ledger import Entry, Intent, KeyRow, Status
from ollm.values.terms import Terms
from ollm.values.usage import Tier, Usage

MINTED = {"request_id", "key_id", "session_id", "price_version", "project_id", "owner", "replaces"}  # by us, or a digest of evidence, or configured
CONFIGURED = {"model", "upstream", "level", "endpoint", "name", "require", "project", "role"}  # names from the configuration, a route, or an admin's
NUMBERS = {
    "started_ms", "http_status", "streamed", "cost_micro", "verify_us", "headers_us", "first_us", "total_us", "created_at", "expires_at",
    "revoked_at", "reserved_micro", "disabled_at",
}  # fmt: skip
UNREADABLE = {"receipt", "mac", "row_mac"}  # sealed to the caller's key, or an HMAC

INTENT = {"request_id", "key_id", "model", "upstream", "level", "session_id", "started_ms", "project", "reserved_micro"}
ENTRY = INTENT | {
    "endpoint", "status", "http_status", "streamed", "usage", "cost_micro", "price_version", "verify_us", "headers_us", "first_us", "total_us",
    "receipt",
}  # fmt: skip
KEY_ROW = {
    "key_id", "name", "mac", "require", "created_at", "expires_at", "revoked_at", "row_mac", "project_id", "owner", "role", "terms", "disabled_at",
    "replaces",
}  # fmt: skip


@pytest.mark.parametrize(("row", "fields"), [(Intent, INTENT), (Entry, ENTRY), (KeyRow, KEY_ROW)], ids=["intent", "entry", "key"])
def test_fields_are_those_that_can_not_hold_content(row: type[msgspec.Struct], fields: set[str]) -> None:
    assert set(row.__struct_fields__) == fields
    assert fields <= MINTED | CONFIGURED | NUMBERS | UNREADABLE | {"status", "usage", "terms"}
    for name, kind in typing.get_type_hints(row).items():
        plain = set(typing.get_args(kind) or (kind,)) - {type(None)}
        if name in MINTED | CONFIGURED:
            assert plain == {str}
        elif name in NUMBERS:
            assert plain in ({int}, {bool})
        elif name in UNREADABLE:
            assert plain == {bytes}
        else:
            assert plain in ({Status}, {Usage}, {Terms})


def test_usage_is_numbers_and_one_of_our_words() -> None:
    hints = typing.get_type_hints(Usage)
    assert hints.pop("tier") == Tier | None
    assert set(hints.values()) == {int, bool}


def test_states_of_a_request_are_an_enum_of_stable_names() -> None:
    assert issubclass(Status, enum.StrEnum)
    assert [str(status) for status in Status] == ["completed", "client_gone", "upstream_failed", "refused", "lost"]


def key_row() -> KeyRow:
    return KeyRow(
        key_id="k" * 16, name="ci", mac=b"canary-mac", require="tee", created_at=1, expires_at=None, revoked_at=None, row_mac=b"canary-row-mac"
    )  # fmt: skip


def test_a_key_row_never_shows_its_macs() -> None:
    row = key_row()
    shown = [repr(row), str(row), f"{row}", repr([row]), pretty_repr(row), pretty_repr({"row": row})]
    assert all("ci" in text and "canary" not in text for text in shown)
    assert repr(row) == "KeyRow('kkkkkkkkkkkkkkkk', 'ci', require='tee', role='member', mac=<hidden>)"


def test_rows_do_not_change() -> None:
    row = key_row()
    intent = Intent("0" * 32, "k" * 16, "demo", "enclave", "tee", None, 1)
    for frozen, name in ((row, "revoked_at"), (intent, "upstream")):
        with pytest.raises(AttributeError):
            setattr(frozen, name, None)
