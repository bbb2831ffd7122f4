"""Collateral as an installation has it: where it is stored, whom it asks for whom, and that commands leave it as it is."""

import hashlib
from pathlib import Path

import pytest

from ollm.app.collateral import Collateral, collateral_of, shelf_of, sigstore_root
from ollm.app.initialise import initialise
from ollm.attest.evidence import CollateralNeed
from ollm.config.load import Loaded, load
from ollm.errors import ConfigError, UpstreamError
from ollm.net.clock import SystemClock
from ollm.net.collateral import sigstore
from ollm.net.fetch import HttpFetch

POLICIES = '[policies.real]\nlevel = "tee"\n[policies.played]\nlevel = "simulated"\n[policies.played.tdx]\nsimulated_root_sha256 = "{0}"\n'
UPSTREAMS = """
[upstreams.own]
url = "https://one.example"
policy = "played"
pcs_url = "http://127.0.0.1:9"
root_crl_url = "http://127.0.0.1:9/crl"

[upstreams.common]
url = "https://two.example"
policy = "real"
"""
NEED = CollateralNeed("00906ED50000", "platform")


def loaded(folder: Path, collateral: str = "") -> Loaded:
    return load(initialise(folder, f"[collateral]\n{collateral}\n{POLICIES.format('ab' * 32)}{UPSTREAMS}"))


def asked(collateral: Collateral, upstream: str | None) -> tuple[str, str]:
    keys = collateral.tdx(upstream).keys(NEED)
    return keys[0].identity, keys[3].identity


async def test_each_upstream_is_endorsed_from_where_the_configuration_says(tmp_path: Path) -> None:
    found = loaded(tmp_path, 'pcs_url = "https://pccs.example"\npcs_update = "early"')
    async with collateral_of(found, SystemClock()) as collateral:
        tcb = "/tdx/certification/v4/tcb?fmspc=00906ED50000&update=early"
        assert asked(collateral, "own") == (f"http://127.0.0.1:9{tcb}", "http://127.0.0.1:9/crl")
        vendors = (f"https://pccs.example{tcb}", "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der")
        assert asked(collateral, "common") == asked(collateral, None) == vendors
        assert (collateral.upstream_of("real"), collateral.upstream_of("played"), collateral.upstream_of("unknown")) == ("common", "own", None)
        assert collateral.machine("own").snp.issuer_keys("Genoa", "vcek")[0].origin == "https://kdsintf.amd.com"


async def test_it_is_stored_under_the_data_directory_unless_nowhere(tmp_path: Path) -> None:
    shelf = shelf_of(loaded(tmp_path / "one"), read_only=True)
    assert shelf is not None
    assert shelf.path == tmp_path / "one" / "state" / "collateral"
    assert not shelf.path.exists()
    assert shelf_of(loaded(tmp_path / "two", 'directory = ""'), read_only=True) is None


async def test_offline_nobody_is_asked(tmp_path: Path) -> None:
    fetch = HttpFetch()
    collateral = Collateral(loaded(tmp_path, "offline = true"), fetch, SystemClock(), read_only=True)
    try:
        with pytest.raises(UpstreamError, match="offline"):
            await collateral.tdx("common").get(NEED)
    finally:
        await collateral.close()
        await fetch.close()


async def test_sigstores_root_is_the_pinned_one_or_the_librarys_own(tmp_path: Path) -> None:
    document, now = b'{"mediaType": "a root"}', SystemClock().now()
    pin = f'sigstore_root_sha256 = "{hashlib.sha256(document).hexdigest()}"'
    own = sigstore_root(loaded(tmp_path / "own"), now)
    assert own.startswith(b"{") and own != document
    pinned = loaded(tmp_path / "pinned", pin)
    with pytest.raises(ConfigError, match="is not in the store"):
        sigstore_root(pinned, now)
    shelf = shelf_of(pinned, read_only=False)
    assert shelf is not None
    shelf.write(sigstore.brought(document, now), now)
    assert sigstore_root(pinned, now) == document
