"""NVIDIA's reference files: the XML out of the service's answer, and nothing that is not what was asked for."""

import base64
import hashlib
import json
from typing import Any

import pytest

from ollm.errors import CollateralError, UpstreamError
from ollm.net.collateral.asking import Asker
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.rim import RimService, unwrapped
from ollm.net.fetch import HttpFetch
from tests.net.collateral.vendor import DAY, NOW, MovableClock, certificate, ok, rim, vendor

ID = "NV_GPU_DRIVER_GH100_550.90.07"
RIM = rim(certificate(end=NOW + 300 * DAY))


def answer(**changes: Any) -> bytes:
    said = {
        "id": ID,
        "rim": base64.b64encode(RIM).decode(),
        "sha256": hashlib.sha256(RIM).hexdigest(),
        "last_updated": "2027-01-01T00:00:00",
        "rim_format": "TCG",
        "request_id": "1",
        **changes,
    }
    return json.dumps({name: value for name, value in said.items() if value is not None}).encode()


async def test_a_file_is_had_once_a_day() -> None:
    clock, fetch = MovableClock(), HttpFetch()
    async with vendor(lambda target, body: ok(answer())) as service:
        rims = RimService(CollateralCache(clock), Asker(fetch, clock), rim_url=service.url)
        copy = await rims.get(ID)
        assert (copy.body, copy.term.end) == (RIM, NOW + 300 * DAY)
        assert await rims.get(ID) is copy
        clock.seconds += DAY
        assert (await rims.get(ID)).fetched_at == NOW + DAY
        assert service.targets == [f"/v1/rim/{ID}"] * 2
        with pytest.raises(UpstreamError):
            await rims.get("../v1/other")
        assert len(service.asked) == 2
    await fetch.close()


def test_older_mirrors_do_not_name_the_format() -> None:
    assert unwrapped(answer(rim_format=None), ID) == RIM
    assert unwrapped(answer(sha256=hashlib.sha256(RIM).hexdigest().upper()), ID) == RIM


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "no usable answer"),
        (b"[]", "no usable answer"),
        (b"[" * 10_000, "no usable answer"),
        (answer(rim=5), "no usable answer"),
        (answer(rim="%%"), "no usable answer"),
        (answer(sha256=None), "no usable answer"),
        (answer(id="NV_GPU_DRIVER_GH100_550.90.08"), "another RIM"),
        (answer(rim_format="CORIM"), "another format"),
        (answer(sha256="00" * 32), "digest"),
    ],
)
def test_another_answer_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(CollateralError, match=why):
        unwrapped(body, ID)
