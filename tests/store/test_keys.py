"""Keys: one spelling, no shortcut to the secret, rows that can't be made or widened without the row key."""

import hmac

import msgspec
import pytest
from rich.pretty import pretty_repr

from ollm.store import keys
from ollm.store.keys import RANDOM_BYTES, NewKey, authenticate, mint_key, parse_key
from ollm.store.subjects import authenticated, is_authentic
from ollm.values.ledger import KeyRow
from ollm.values.standing import Credential
from ollm.values.terms import Terms
from tests.callers import standing_for
from tests.store.making import PEPPER, ROW_KEY

RANDOM = bytes(range(RANDOM_BYTES))
TEXT = "sk-ollm-aaaqeayeaudaocaj-CgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCk"
NOW = 1_700_000_000


def minted(**changed: object) -> tuple[str, KeyRow]:
    random = changed.pop("random", RANDOM)
    return mint_key(NewKey(**({"name": "app", "created_at": NOW} | changed)), pepper=PEPPER, row_key=ROW_KEY, random=random)  # type: ignore[arg-type]


class Memory:
    """ports.Keys over a dict that remembers what was asked."""

    def __init__(self, *rows: KeyRow) -> None:
        self.rows = {row.key_id: row for row in rows}
        self.asked: list[str] = []

    blind = False

    def lookup(self, key_id: str) -> Credential | None:
        self.asked.append(key_id)
        row = self.rows.get(key_id)
        return Credential(row, standing_for(row)) if row is not None else None


def test_a_minted_key_has_the_documented_form() -> None:
    text, row = minted()
    assert text == TEXT
    assert (row.key_id, row.require, row.created_at, row.revoked_at) == ("aaaqeayeaudaocaj", "tee", NOW, None)
    assert parse_key(text) == (row.key_id, RANDOM[10:])
    assert RANDOM[10:].hex() not in repr(row)
    with pytest.raises(ValueError, match="random bytes"):
        minted(random=bytes(32))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sk-ollm-",
        TEXT[:-1],
        TEXT + "A",
        TEXT + "=",
        TEXT + "\n",
        TEXT[:-1] + "l",  # the same secret, other spare bits
        TEXT[:-1] + "+",
        TEXT.upper(),
        TEXT.replace("sk-ollm", "sk-proj"),
        TEXT.replace("aaaq", "aaa1"),
        TEXT.replace("aaaq", "aaaä"),
        TEXT.replace("aaaq", "aaa\ud800"),
        "' OR '1'='1",
    ],
)
def test_other_spellings_are_no_keys(text: str) -> None:
    assert parse_key(text) is None
    assert authenticate(text, Memory(minted()[1]), PEPPER, NOW) is None


def test_the_right_key_is_let_in_with_its_secret() -> None:
    text, row = minted()
    assert authenticate(text, Memory(row), PEPPER, NOW) == (standing_for(row), RANDOM[10:])


def test_wrong_secret_unknown_id_and_other_pepper_are_refused() -> None:
    text, row = minted()
    wrong, _ = minted(random=RANDOM[:10] + bytes(32))
    assert authenticate(wrong, Memory(row), PEPPER, NOW) is None
    assert authenticate(text, Memory(), PEPPER, NOW) is None
    assert authenticate(text, Memory(row), bytes(32), NOW) is None


def test_unknown_and_malformed_keys_take_the_same_steps_as_wrong_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    digest, compare = keys._peppered, hmac.compare_digest

    def counted_digest(key: bytes, message: bytes) -> bytes:
        steps.append(len(message))
        return digest(key, message)

    def counted_compare(one: bytes, other: bytes) -> bool:
        steps.append(len(other))
        return compare(one, other)

    monkeypatch.setattr("ollm.store.keys._peppered", counted_digest)
    monkeypatch.setattr(hmac, "compare_digest", counted_compare)
    text, row = minted()
    wrong, _ = minted(random=RANDOM[:10] + bytes(32))
    taken: list[tuple[int, ...]] = []
    for tried, rows in ((wrong, Memory(row)), (text, Memory()), ("nonsense", Memory(row))):
        steps.clear()
        assert authenticate(tried, rows, PEPPER, NOW) is None
        taken.append(tuple(steps))
        assert len(rows.asked) == 1
    assert taken[0][:2] == (32, 32)
    assert len(set(taken)) == 1


def test_no_secret_is_let_in_by_the_mac_that_stands_for_none() -> None:
    assert authenticate("nonsense", Memory(), b"", NOW) is None


@pytest.mark.parametrize(("expires_at", "let_in"), [(None, True), (NOW + 1, True), (NOW, False), (NOW - 1, False)])
def test_expiry_is_the_first_second_without_access(expires_at: int | None, let_in: bool) -> None:
    text, row = minted(expires_at=expires_at)
    assert (authenticate(text, Memory(row), PEPPER, NOW) is not None) is let_in


@pytest.mark.parametrize("ended", ["revoked_at", "disabled_at"])
def test_a_key_that_was_ended_is_refused(ended: str) -> None:
    text, row = minted()
    assert authenticate(text, Memory(msgspec.structs.replace(row, **{ended: NOW})), PEPPER, NOW) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"key_id": "bbbbbbbbbbbbbbbb"},
        {"name": "other"},
        {"mac": bytes(32)},
        {"require": "simulated"},
        {"created_at": NOW + 1},
        {"expires_at": None},
        {"expires_at": NOW + 1_000_000},
        {"revoked_at": NOW},
        {"row_mac": bytes(32)},
        {"project_id": "proj_other"},
        {"owner": "svc_other"},
        {"role": "owner"},
        {"terms": Terms(models=("dear",))},
        {"disabled_at": NOW},
        {"replaces": "bbbbbbbbbbbbbbbb"},
    ],
)
def test_a_row_that_was_changed_is_not_authentic(changed: dict[str, object]) -> None:
    _, row = minted(expires_at=NOW + 10)
    assert is_authentic(row, ROW_KEY)
    assert not is_authentic(msgspec.structs.replace(row, **changed), ROW_KEY)
    assert not is_authentic(row, bytes(32))


def test_the_row_mac_has_one_reading() -> None:
    _, row = minted(name="a")
    moved = msgspec.structs.replace(row, name="", key_id=row.key_id + "a")
    assert authenticated(moved, ROW_KEY).row_mac != row.row_mac
    early, late = (authenticated(msgspec.structs.replace(row, **{name: 5}), ROW_KEY) for name in ("expires_at", "revoked_at"))
    assert early.row_mac != late.row_mac


def test_macs_are_not_shown() -> None:
    _, row = minted()
    for shown in (repr(row), str(row), f"{row}", pretty_repr(row)):
        assert row.key_id in shown
        for mac in (row.mac, row.row_mac):
            assert mac.hex() not in shown
            assert repr(mac)[2:12] not in shown
