"""The providers that OLLM knows: one line each."""

from collections.abc import Callable

from ollm.config.settings import UpstreamSettings
from ollm.upstream.aci import AciProvider
from ollm.upstream.provider import Provider, Tools
from ollm.values.secret import Sealed

PROVIDERS: dict[str, Callable[[UpstreamSettings, Sealed | None, Tools], Provider]] = {
    "aci": AciProvider,
}
