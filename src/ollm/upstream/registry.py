"""The providers that OLLM knows: one line each."""

import ssl
from collections.abc import Callable

from ollm.config.settings import UpstreamSettings
from ollm.upstream.aci import AciAdapter
from ollm.upstream.session import Adapter
from ollm.values.secret import Sealed

ADAPTERS: dict[str, Callable[[UpstreamSettings, ssl.SSLContext, Sealed | None], Adapter]] = {
    "aci": AciAdapter,
}
