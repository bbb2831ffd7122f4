"""The providers that OLLM knows: the configuration and the code know the same ones."""

import pytest

from ollm.config.adapters import ADAPTERS
from ollm.config.settings import UpstreamSettings
from ollm.net.fetch import HttpFetch
from ollm.upstream.registry import PROVIDERS
from ollm.values.secret import Sealed
from tests.upstream.verifying import tools


def test_every_adapter_of_the_configuration_has_its_provider() -> None:
    assert set(PROVIDERS) == set(ADAPTERS)


@pytest.mark.parametrize("api_key", [None, Sealed(b"sk-secret")], ids=["without a key", "with a key"])
@pytest.mark.parametrize("name", PROVIDERS)
def test_each_is_made_from_its_settings(name: str, api_key: Sealed | None) -> None:
    for seal in (None, *ADAPTERS[name].seals):
        provider = PROVIDERS[name](UpstreamSettings(url="https://a.example", adapter=name, seal=seal), api_key, tools(HttpFetch()))
        assert bool(provider.demand.shapes) is ADAPTERS[name].evidence
        assert provider.path("/v1/chat/completions").startswith("/")
        head = provider.head("/path", 0, "application/json", {})
        assert head.startswith(b"POST /path HTTP/1.1\r\n") and head.endswith(b"\r\n\r\n")
        assert (b"sk-secret" in head) is (api_key is not None)
