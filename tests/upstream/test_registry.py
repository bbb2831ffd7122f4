"""The providers that OLLM knows: the configuration and the code know the same ones."""

from pathlib import Path

import pytest

from ollm.config.adapters import ADAPTERS
from ollm.config.settings import UpstreamSettings
from ollm.net.fetch import HttpFetch
from ollm.upstream.provider import Requests
from ollm.upstream.registry import MACHINES, OPEN, PROVIDERS
from ollm.values.secret import Sealed
from tests.upstream.verifying import tools


def test_every_adapter_of_the_configuration_has_its_provider() -> None:
    assert set(PROVIDERS) == {name for name, traits in ADAPTERS.items() if traits.evidence}
    assert set(OPEN) == {name for name, traits in ADAPTERS.items() if not traits.evidence}


def test_machines_are_found_where_the_configuration_says_that_they_can_be() -> None:
    assert set(MACHINES) == {name for name, traits in ADAPTERS.items() if traits.machines}


@pytest.mark.parametrize("api_key", [None, Sealed(b"sk-secret")], ids=["without a key", "with a key"])
@pytest.mark.parametrize("name", ADAPTERS)
def test_each_is_made_from_its_settings(name: str, api_key: Sealed | None) -> None:
    for seal in (None, *ADAPTERS[name].seals):
        settings = UpstreamSettings(url="https://a.example", adapter=name, seal=seal, model="m")
        provider: Requests = OPEN[name](settings, api_key) if name in OPEN else PROVIDERS[name](settings, api_key, tools(HttpFetch()))
        assert provider.path("/v1/chat/completions").startswith("/")
        head = provider.head("/path", 0, "application/json", {})
        assert head.startswith(b"POST /path HTTP/1.1\r\n") and head.endswith(b"\r\n\r\n")
        assert (b"sk-secret" in head) is (api_key is not None)
        listing = provider.listing()
        asked = listing.heads.get(listing.source.target, credential=listing.source.credential)
        assert (b"sk-secret" in asked) is (api_key is not None and listing.source.credential)


@pytest.mark.parametrize("name", ADAPTERS)
def test_each_has_its_page_with_an_upstream_that_names_it(name: str) -> None:
    page = (Path(__file__).parents[2] / f"docs/providers/{name}.md").read_text(encoding="utf-8")
    assert f"(`{name}`)" in page.splitlines()[0]
    assert f'adapter = "{name}"' in page


# What the error statuses of each mean where they mean something else than elsewhere. `docs/providers/` says why.
STATUSES: dict[str, dict[int, int]] = {
    "aci": {},
    "near": {503: 429},
    "phala": {},
    "tinfoil": {503: 429},
    "chutes": {},
    "privatemode": {},
    "openai": {},
    "anthropic": {529: 503},
    "openrouter": {403: 400},
    "openai-compatible": {},
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_error_statuses_of_each(name: str) -> None:
    settings = UpstreamSettings(url="https://a.example", adapter=name, model="m")
    provider: Requests = OPEN[name](settings, None) if name in OPEN else PROVIDERS[name](settings, None, tools(HttpFetch()))
    assert dict(provider.statuses) == STATUSES[name]
    assert not set(provider.statuses) & set(provider.stale_key_status), "what says that the key is stale is not the client's affair"
