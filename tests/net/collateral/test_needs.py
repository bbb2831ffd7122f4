"""Needs in words: what they fetch, and words that name nothing."""

import pytest

from ollm.errors import ConfigError
from ollm.net.collateral.cache import CollateralCache
from ollm.net.collateral.needs import fetch
from tests.net.collateral.test_endorser import everybody

CHIP = bytes(range(1, 65)).hex()


@pytest.mark.parametrize(
    ("need", "targets"),
    [
        (
            "tdx:53494d000000",
            [
                "/IntelSGXRootCA.der",
                "/sgx/certification/v4/pckcrl?ca=platform&encoding=der",
                "/tdx/certification/v4/qe/identity",
                "/tdx/certification/v4/tcb?fmspc=53494D000000",
            ],
        ),
        ("snp:Genoa", ["/vcek/v1/Genoa/cert_chain", "/vcek/v1/Genoa/crl"]),
        ("snp:Genoa:vlek", ["/vlek/v1/Genoa/cert_chain", "/vlek/v1/Genoa/crl"]),
        (
            f"vcek:Genoa:{CHIP.upper()}:3.0.8.115",
            [f"/vcek/v1/Genoa/{CHIP}?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115", "/vcek/v1/Genoa/cert_chain", "/vcek/v1/Genoa/crl"],
        ),
        ("rim:NV_GPU_DRIVER_GH100_550.90.07", ["/v1/rim/NV_GPU_DRIVER_GH100_550.90.07"]),
    ],
)
async def test_what_a_need_fetches(need: str, targets: list[str]) -> None:
    async with everybody() as of:
        cache = CollateralCache(of.clock)
        await fetch(of.endorser(cache), need)
        assert sorted(of.service.targets) == targets
        assert len(cache.held()) == len(targets)


async def test_turin_has_a_fifth_number_and_a_short_chip() -> None:
    async with everybody() as of:
        of.amd.machine = type(of.amd.machine)(of.amd.machine.pki, of.clock.seconds)
        of.service.script = lambda target, body: of(target.replace("Turin", "Genoa"), body)
        await fetch(of.endorser(CollateralCache(of.clock)), f"vcek:Turin:{CHIP[:16]}:3.0.8.115.1")
        assert of.service.targets[0] == f"/vcek/v1/Turin/{CHIP[:16]}?fmcSPL=01&blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115"


@pytest.mark.parametrize(
    "need",
    [
        "",
        "tdx",
        "tdx:",
        "tdx:53494d0000",
        "tdx:53494d000000:root",
        "tdx:53494d000000:platform:x",
        "snp:Rome",
        "snp:Genoa:ark",
        "vcek:Genoa:abcd:3.0.8.115",
        f"vcek:Genoa:{CHIP}",
        f"vcek:Genoa:{CHIP}:3.0.8",
        f"vcek:Genoa:{CHIP}:3.0.8.256",
        f"vcek:Genoa:{CHIP}:3.0.8.x",
        f"vcek:Genoa:{CHIP}:3.0.8.-1",
        f"vcek:Turin:{CHIP[:16]}:3.0.8.115",
        "rim:",
        "rim:../x",
        "rim:a:b",
        "ocsp:x",
    ],
)
async def test_words_that_name_nothing_are_refused(need: str) -> None:
    async with everybody() as of:
        with pytest.raises(ConfigError, match="names no collateral"):
            await fetch(of.endorser(CollateralCache(of.clock)), need)
        assert of.service.asked == []
