"""Issuers of the configuration with their keys, out of files and from URLs."""

from pathlib import Path

from ollm.app.initialise import initialise
from ollm.app.issuers import issuers_of
from ollm.config.load import load
from ollm.net.clock import SystemClock
from ollm.net.fetch import HttpFetch
from tests.issuing import AUDIENCE, ISSUER, Authority
from tests.stage import toml


async def test_a_file_lies_beside_the_configuration(tmp_path: Path) -> None:
    table = {"issuer": ISSUER, "audience": AUDIENCE, "algorithms": ["ES256"], "project": "proj_default"}
    tree = {"issuers": {"file": {**table, "jwks": "file:keys.json"}, "url": {**table, "audience": "two", "jwks": "http://127.0.0.1:1/keys"}}}
    loaded = load(initialise(tmp_path, toml(tree)))
    (tmp_path / "keys.json").write_bytes(Authority().jwks)
    fetch = HttpFetch()
    found = issuers_of(loaded, fetch, SystemClock(), {})
    assert {name: issuer.name for name, issuer in found.items()} == {"file": "file", "url": "url"}
    assert await found["file"].keys.find("first", "ES256") is not None
    assert await found["url"].keys.find("first", "ES256") is None
    assert found["url"].keys.problem is not None
    await fetch.close()
