"""Keys of the attestation service: in memory, for an hour at most."""

import pytest

from ollm.errors import UpstreamError
from ollm.net.collateral.asking import Asker
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.nras import NrasKeys
from ollm.net.fetch import HttpFetch
from tests.net.collateral.vendor import HOUR, NOW, MovableClock, ok, vendor


async def test_keys_are_renewed_soon_and_end_with_the_hour() -> None:
    clock, fetch = MovableClock(), HttpFetch()
    async with vendor(lambda target, body: ok(b'{"keys": [1]}')) as service:
        keys = NrasKeys(CollateralCache(clock), Asker(fetch, clock), nras_url=service.url + "/")
        assert (await keys.get()).jwks == b'{"keys": [1]}'
        service.script = lambda target, body: ok(b'{"keys": [2]}')
        clock.seconds += 200
        assert (await keys.get()).jwks == b'{"keys": [1]}'
        clock.seconds += 100
        assert (await keys.get()).jwks == b'{"keys": [2]}'
        service.script = lambda target, body: (503, {}, b"")
        clock.seconds += HOUR - 1
        assert (await keys.get()).jwks == b'{"keys": [2]}'
        clock.seconds += 1
        with pytest.raises(UpstreamError):
            await keys.get()
        assert set(service.targets) == {"/.well-known/jwks.json"}
    await fetch.close()
    assert clock.seconds == NOW + 300 + HOUR


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>"])
async def test_what_is_no_key_set_is_refused(body: bytes) -> None:
    clock, fetch = MovableClock(), HttpFetch()
    async with vendor(lambda target, asked: ok(body)) as service:
        with pytest.raises(UpstreamError):
            await NrasKeys(CollateralCache(clock), Asker(fetch, clock), nras_url=service.url).get()
    await fetch.close()
