"""What `[counters]` must say to make sense."""

from importlib.util import find_spec
from typing import Any
from urllib.parse import parse_qs, urlsplit

from ollm.config.settings import CountersSettings
from ollm.errors import ConfigError

_SCHEMES = ("redis", "rediss", "unix")
_ONLY_VALKEY = ("url", "username", "password", "ca")


def check_counters(settings: CountersSettings, installed: Any = find_spec) -> None:
    """Everything that the chosen backend needs is there, and nothing that only another one would heed. Raises: ConfigError."""
    if settings.backend == "memory":
        for field in _ONLY_VALKEY:
            if getattr(settings, field) is not None:
                raise ConfigError(f'counters.{field} is set, and counters.backend is "memory"', 'set counters.backend = "valkey", or leave it out')
        return
    if settings.url is None:
        raise ConfigError('counters.backend is "valkey", and counters.url is not set', "for example rediss://counters.internal:6379/0")
    _check_url(settings.url)
    if settings.ca is not None and not settings.url.startswith("rediss://"):
        raise ConfigError("counters.ca is set, and counters.url is not rediss://", "leave it out")
    if installed("redis") is None:
        raise ConfigError('counters.backend is "valkey", and the library for it is not installed', "pip install 'ollm[valkey]'")


def _check_url(url: str) -> None:
    try:
        split = urlsplit(url)
        _ = split.port  # read by name only: it is checked then
    except ValueError:
        raise ConfigError("counters.url is not a URL", "write redis://host:port/0, rediss://host:port/0 or unix:///path?db=0") from None
    if split.scheme not in _SCHEMES or split.fragment:
        raise ConfigError("counters.url is none of redis://, rediss:// and unix://", "write redis://host:port/0, rediss://… or unix:///path?db=0")
    if split.username or split.password:
        raise ConfigError("counters.url has credentials in it", "name their source in counters.username and counters.password")
    if set(parse_qs(split.query, keep_blank_values=True)) - ({"db"} if split.scheme == "unix" else set()):
        raise ConfigError("counters.url has a query", "leave it out; only unix:///path?db=0 has one")
    if (split.scheme == "unix") != (not split.hostname) or (split.scheme == "unix" and not split.path):
        raise ConfigError("counters.url names no server", "write redis://host:port/0, rediss://host:port/0 or unix:///path?db=0")
