"""What a reload can't bring is refused by name."""

from pathlib import Path
from typing import Any

import pytest

from ollm.app.fixed import FIXED, check_unchanged
from ollm.config.load import Loaded, parse
from ollm.config.settings import Settings
from ollm.errors import ConfigError
from ollm.values.hexes import sha256_of
from tests.stage import toml


def loaded(tree: dict[str, Any]) -> Loaded:
    data = toml(tree).encode()
    return Loaded(parse(data), Path(), sha256_of(data))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"gateway": {"listen": "127.0.0.1:1"}}, "gateway.listen"),
        ({"gateway": {"data_dir": "other", "durability": "process"}}, "gateway.data_dir, gateway.durability"),
        ({"gateway": {"tls_certificate": "a.pem", "tls_key": "b.pem"}}, "gateway.tls_certificate, gateway.tls_key"),
        ({"secrets": {"pepper": "env:PEPPER"}}, "secrets.pepper"),
        ({"store": {"url": "postgresql://user@host/database"}}, "store.url"),
        ({"counters": {"backend": "valkey", "url": "redis://127.0.0.1:1/0"}}, "counters.backend, counters.url"),
        ({"evidence": {"quote_source": "dstack:socket"}}, "evidence.quote_source"),
    ],
    ids=str,
)
def test_what_only_a_restart_brings(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_unchanged(loaded({}), loaded(changed))
    assert refused.value.cause == f"{named} can't change while the gateway runs"


def test_everything_else_can_change() -> None:
    check_unchanged(loaded({}), loaded({"gateway": {"max_concurrent": 5}, "evidence": {"keyset_days": 5}, "routing": {"attempts": 1}}))


def test_the_names_are_those_of_settings() -> None:
    settings = Settings()
    for table, fields in FIXED.items():
        assert set(fields or ()) <= set(getattr(settings, table).__struct_fields__)
