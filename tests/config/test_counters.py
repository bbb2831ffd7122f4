"""`[counters]`: what is missing, what nobody would heed, and credentials that stand where they may not."""

import pytest

from ollm.config.counters import check_counters
from ollm.config.load import parse
from ollm.config.settings import CountersSettings
from ollm.errors import ConfigError

URL = "redis://127.0.0.1:6379/0"


@pytest.mark.parametrize(
    "settings",
    [
        CountersSettings(),
        CountersSettings(when_away="local", local_share=0.5, lease_seconds=1),
        CountersSettings(backend="valkey", url=URL),
        CountersSettings(backend="valkey", url="rediss://counters.example:6380/2", username="ollm", password="env:WORD", ca="ca.pem"),
        CountersSettings(backend="valkey", url="unix:///run/valkey.sock?db=3"),
        CountersSettings(backend="valkey", url="unix:///run/valkey.sock"),
    ],
)
def test_what_makes_sense_is_taken(settings: CountersSettings) -> None:
    check_counters(settings)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (CountersSettings(url=URL), 'counters.url is set, and counters.backend is "memory"'),
        (CountersSettings(password="env:WORD"), "counters.password is set"),
        (CountersSettings(backend="valkey"), "counters.url is not set"),
        (CountersSettings(backend="valkey", url="http://127.0.0.1"), "none of redis://"),
        (CountersSettings(backend="valkey", url="redis://127.0.0.1:99999"), "not a URL"),
        (CountersSettings(backend="valkey", url="redis://:word@127.0.0.1"), "has credentials"),
        (CountersSettings(backend="valkey", url="redis://ollm@127.0.0.1"), "has credentials"),
        (CountersSettings(backend="valkey", url="redis:///0"), "names no server"),
        (CountersSettings(backend="valkey", url="unix://host/path"), "names no server"),
        (CountersSettings(backend="valkey", url="unix://"), "names no server"),
        (CountersSettings(backend="valkey", url=URL + "?password=word"), "has a query"),
        (CountersSettings(backend="valkey", url="unix:///run/valkey.sock?db=3&password=word"), "has a query"),
        (CountersSettings(backend="valkey", url=URL + "#x"), "none of redis://"),
        (CountersSettings(backend="valkey", url=URL, ca="ca.pem"), "counters.ca is set"),
    ],
)
def test_what_makes_none_is_refused_without_showing_a_secret(settings: CountersSettings, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refusal:
        check_counters(settings)
    assert refusal.value.mend
    assert "word" not in str(refusal.value).replace("password", "")


def test_the_library_is_an_extra() -> None:
    with pytest.raises(ConfigError, match=r"ollm\[valkey\]"):
        check_counters(CountersSettings(backend="valkey", url=URL), installed=lambda name: None)


@pytest.mark.parametrize("line", ["local_share = 1.5", "lease_seconds = 0", "timeout_seconds = 60", 'prefix = "{a}"', 'when_away = "grant"'])
def test_values_out_of_range_are_refused(line: str) -> None:
    with pytest.raises(ConfigError):
        parse(f"[counters]\n{line}\n".encode())


def test_the_whole_configuration_is_checked() -> None:
    with pytest.raises(ConfigError, match=r"counters\.url"):
        parse(b'[counters]\nbackend = "valkey"\n')
