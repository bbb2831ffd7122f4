"""The machine's clock, which the host may set as it likes."""

import time

import pytest

from ollm.errors import ConfigError
from ollm.net.clock import BUILD_TIME, StandingClock, SystemClock


class HostTime:
    """The host's hands on the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, now: float) -> None:
        self.now = now
        monkeypatch.setattr(time, "time", lambda: self.now)


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> HostTime:
    return HostTime(monkeypatch, BUILD_TIME + 100.5)


def test_it_tells_the_hosts_time(host: HostTime) -> None:
    clock = SystemClock()
    assert (clock.now(), clock.now_ms()) == (BUILD_TIME + 100, (BUILD_TIME + 100) * 1000 + 500)
    host.now += 10
    assert clock.now() == BUILD_TIME + 110


def test_it_stands_still_rather_than_go_back(host: HostTime) -> None:
    clock = SystemClock()
    host.now -= 50
    assert clock.now() == BUILD_TIME + 100
    host.now += 49
    assert clock.now() == BUILD_TIME + 100
    host.now += 2
    assert clock.now() == BUILD_TIME + 101


def test_before_the_day_of_this_release_nothing_starts(host: HostTime) -> None:
    host.now = BUILD_TIME - 1
    with pytest.raises(ConfigError):
        SystemClock()


def test_before_the_newest_recorded_time_nothing_starts(host: HostTime) -> None:
    SystemClock(newest_seen=BUILD_TIME + 100)
    with pytest.raises(ConfigError) as refused:
        SystemClock(newest_seen=BUILD_TIME + 101)
    assert "clock" in refused.value.mend


def test_durations_do_not_depend_on_the_host_time(host: HostTime) -> None:
    clock = SystemClock()
    before = clock.monotonic()
    host.now += 1000
    assert 0 <= clock.monotonic() - before < 100


def test_a_standing_clock_stands() -> None:
    clock = StandingClock(1_750_000_000)  # before the build, too: it judges what was

    assert (clock.now(), clock.now_ms()) == (1_750_000_000, 1_750_000_000_000)
    assert clock.monotonic() <= clock.monotonic()
