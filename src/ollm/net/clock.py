"""The machine's clock, and the sanity checks on it that verification rests on."""

import time

from ollm.errors import ConfigError

BUILD_TIME = 1795392000  # 2026-11-23: no genuine clock is before the day this release was made


class StandingClock:
    """A clock that stands at `moment` (Unix seconds): to judge evidence as it would have been judged then."""

    def __init__(self, moment: int) -> None:
        self._moment = moment

    def now(self) -> int:
        return self._moment

    def now_ms(self) -> int:
        return self._moment * 1000

    def monotonic(self) -> float:
        return time.monotonic()


class SystemClock:
    """Wall time that refuses to run backwards: the host sets it, and expired collateral would come to life again."""

    monotonic = staticmethod(time.monotonic)  # a request asks a dozen times

    def __init__(self, newest_seen: int = 0) -> None:
        """`newest_seen`: newest Unix time in ledger and log. Raises: ConfigError when the clock is before it, or before the build."""
        now = int(time.time())
        if now < max(BUILD_TIME, newest_seen):
            raise ConfigError(
                "the machine's clock is before the newest time that was recorded here", "set the clock; evidence can't be judged without it"
            )
        self._newest = time.time()

    def now(self) -> int:
        now = time.time()
        if now < self._newest:
            return int(self._newest)  # stand still rather than go back; real time catches up
        self._newest = now
        return int(now)

    def now_ms(self) -> int:
        now = time.time()
        if now < self._newest:
            return int(self._newest * 1000)
        self._newest = now
        return int(now * 1000)
