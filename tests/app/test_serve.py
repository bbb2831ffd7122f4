"""`ollm serve` as a process: hardened, announced, warm, drained."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import msgspec
import pytest

from ollm.app.initialise import initialise
from ollm.app.serve import living, running, serve
from ollm.config.load import Loaded, load
from ollm.errors import ConfigError
from ollm.net.connection import Origin, client_tls, open_connection
from ollm.serving.server import Server
from ollm.sim.identity import create_tls, spki_sha256
from ollm.sim.service import SimEnclave, SimOptions
from tests.stage import configuration, eventually, toml


def on_any_port(loaded: Loaded, **gateway: object) -> Loaded:
    settings = msgspec.structs.replace(loaded.settings.gateway, listen="127.0.0.1:0", **gateway)
    return msgspec.structs.replace(loaded, settings=msgspec.structs.replace(loaded.settings, gateway=settings))


async def test_it_serves_until_its_context_ends(loaded: Loaded) -> None:
    async with running(on_any_port(loaded)) as (gateway, server), httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}") as http:
        response = await http.get("/healthz")
        assert response.status_code == 200
        assert response.headers["x-aci-keyset-digest"] == gateway.keyset_digest
        port = server.port
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_upstreams_are_verified_before_the_first_request(tmp_path: Path) -> None:
    async with SimEnclave(SimOptions()) as good, SimEnclave(SimOptions(broken="debug-bit")) as bad:
        loaded = load(initialise(tmp_path, toml(configuration({"good": good, "bad": bad}))))
        async with running(loaded) as (gateway, _):
            await eventually(lambda: gateway.keepers["good"].held() and gateway.keepers["bad"].state().last_result == "refused")
            assert (good.counters.prompt_requests, bad.counters.prompt_requests) == (0, 0)


async def test_with_tls_it_shows_the_key_that_its_keyset_names(loaded: Loaded) -> None:
    certificate, tls = create_tls(1_800_000_000)
    (loaded.directory / "cert.pem").write_bytes(tls.certificate)
    (loaded.directory / "key.pem").write_bytes(tls.key.expose())
    async with running(on_any_port(loaded, tls_certificate="cert.pem", tls_key="key.pem")) as (_, server):
        connection = await open_connection(Origin("127.0.0.1", server.port), client_tls(), timeout=5, pinned=frozenset((spki_sha256(certificate),)))
        connection.abort("close", "done")


@pytest.mark.parametrize("listen", ["8400", "127.0.0.1:", ":8400", "127.0.0.1:http", "127.0.0.1:99999"])
async def test_an_address_that_is_none_is_named(loaded: Loaded, listen: str) -> None:
    settings = msgspec.structs.replace(loaded.settings.gateway, listen=listen)
    broken = msgspec.structs.replace(loaded, settings=msgspec.structs.replace(loaded.settings, gateway=settings))
    with pytest.raises(ConfigError):
        async with running(broken):
            pass


async def test_an_address_that_is_taken_is_an_error_and_lets_the_store_go(loaded: Loaded) -> None:
    taken = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    settings = msgspec.structs.replace(loaded.settings.gateway, listen=f"127.0.0.1:{port}")
    busy = msgspec.structs.replace(loaded, settings=msgspec.structs.replace(loaded.settings, gateway=settings))
    with pytest.raises(ConfigError, match="can't listen"):
        async with running(busy):
            pass
    taken.close()
    async with running(busy) as (_, server):
        assert server.port == port


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it(loaded: Loaded, number: signal.Signals) -> None:
    announced = asyncio.Event()
    service = asyncio.create_task(serve(on_any_port(loaded), lambda gateway, server: announced.set()))
    await asyncio.wait_for(announced.wait(), 5)
    os.kill(os.getpid(), number)
    await asyncio.wait_for(service, 5)


async def test_sighup_reads_the_configuration_again(loaded: Loaded, caplog: pytest.LogCaptureFixture) -> None:
    path = loaded.directory / "ollm.toml"
    good = '[gateway]\nlisten = "127.0.0.1:0"\n'
    path.write_text(good)
    announced: list[Server] = []
    service = asyncio.create_task(serve(load(path), lambda gateway, server: announced.append(server), lambda: load(path)))
    await eventually(lambda: announced)
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{announced[0].port}") as http:
        digests = [(await http.get("/healthz")).headers["x-aci-keyset-digest"]]
        for text in (good + "max_concurrent = 5\n", "[gateway]\nlisten = 5\n", '[secrets]\npepper = "env:OTHER"\n', good):
            caplog.clear()
            path.write_text(text)
            os.kill(os.getpid(), signal.SIGHUP)
            await eventually(lambda: "reloaded" in caplog.text, seconds=30)
            digests.append((await http.get("/healthz")).headers["x-aci-keyset-digest"])
            assert ("was reloaded" in caplog.text) is text.startswith(good)
    assert digests[0] != digests[1] == digests[2] == digests[3] != digests[4]
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(service, 5)


async def test_a_renewed_certificate_is_shown_after_a_reload(loaded: Loaded) -> None:
    def written() -> str:
        certificate, tls = create_tls(1_800_000_000)
        (loaded.directory / "cert.pem").write_bytes(tls.certificate)
        (loaded.directory / "key.pem").write_bytes(tls.key.expose())
        return spki_sha256(certificate)

    first = written()
    secure = on_any_port(loaded, tls_certificate="cert.pem", tls_key="key.pem")
    async with living(secure) as live:
        second = written()
        await live.reload(secure)
        connection = await open_connection(Origin("127.0.0.1", live.server.port), client_tls(), timeout=5, pinned=frozenset((second,)))
        connection.abort("close", "done")
        assert first != second
        (loaded.directory / "key.pem").write_bytes(b"nonsense")
        before = live.gateway
        with pytest.raises(ConfigError, match="can't be used together"):
            await live.reload(secure)
        assert live.gateway is before


HARDENED = """
import ctypes, resource, sys
from ollm.app.serve import harden
harden()
libc = ctypes.CDLL(None)
print(resource.getrlimit(resource.RLIMIT_CORE), libc.prctl(3, 0, 0, 0, 0))  # 3: PR_GET_DUMPABLE
"""


@pytest.mark.process
def test_the_process_leaves_no_core_and_can_not_be_attached_to() -> None:
    done = subprocess.run([sys.executable, "-c", HARDENED], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "(0, 0) 0\n"
