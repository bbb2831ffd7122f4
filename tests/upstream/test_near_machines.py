"""NEAR's machines of one model: how many there are is asked, where they are follows from the configuration."""

import json
from typing import Any

import pytest

from ollm.config.settings import UpstreamSettings
from ollm.errors import UpstreamError, WireError
from ollm.ports import Fetched
from ollm.upstream.near_machines import NearMachines


class Proxy:
    """NEAR's proxy, as far as counting goes."""

    def __init__(self, body: object, status: int = 200) -> None:
        self.answer = Fetched(status, {}, body if isinstance(body, bytes) else json.dumps(body).encode())
        self.asked: list[str] = []

    async def get(self, url: str) -> Fetched:
        self.asked.append(url)
        return self.answer

    async def post(self, url: str, body: bytes, media_type: str) -> Fetched:
        raise AssertionError(url)


async def urls(proxy: Any, url: str = "https://qwen35-122b.completions.near.ai", most: int = 8) -> tuple[str, ...]:
    return await NearMachines(UpstreamSettings(url=url, policy="p", adapter="near", max_machines=most), proxy).urls()


async def test_a_host_for_each_healthy_machine() -> None:
    proxy = Proxy({"domain": "qwen35-122b.completions.near.ai", "requested_domain": "elsewhere.example", "healthy": 2, "total": 3})
    assert await urls(proxy) == ("https://qwen35-122b-i0.completions.near.ai", "https://qwen35-122b-i1.completions.near.ai")
    assert proxy.asked == ["https://completions.near.ai/backends/count?domain=qwen35-122b.completions.near.ai"]


async def test_a_port_is_kept() -> None:
    proxy = Proxy({"healthy": 1})
    assert await urls(proxy, "https://m.machines.test:8443") == ("https://m-i0.machines.test:8443",)
    assert proxy.asked == ["https://machines.test:8443/backends/count?domain=m.machines.test"]


@pytest.mark.parametrize(("healthy", "found"), [(0, 0), (-3, 0), (3, 3), (4, 3), (10**9, 3)])
async def test_no_more_than_configured_whatever_it_says(healthy: int, found: int) -> None:
    assert len(await urls(Proxy({"healthy": healthy}), most=3)) == found


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", {"healthy": "2"}, {"healthy": 1.5}, {"healthy": None}, b"\xff", b"[" * 10000])
async def test_what_is_no_number(body: object) -> None:
    with pytest.raises(WireError, match="not a number of machines"):
        await urls(Proxy(body))


async def test_an_error_is_one() -> None:
    with pytest.raises(UpstreamError, match="answered 404"):
        await urls(Proxy({"healthy": 2}, 404))
