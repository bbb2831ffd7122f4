"""What the servers that play providers share: a listener, collateral beside it, whole answers."""

import httpx2
import pytest

from ollm.net.clock import SystemClock
from ollm.net.connection import Origin, certified_tls, open_connection
from ollm.serving.http import Receive, Scope, Send
from ollm.sim.machine import SimulatedMachine
from ollm.sim.pki import create_pki
from ollm.testing.providers.served import Endorsed, Served, answer, headers_of
from ollm.testing.providers.tls import certified


class Teapot(Endorsed):
    def __init__(self) -> None:
        clock = SystemClock()
        found = certified(clock.now())
        self.ca = found.ca
        super().__init__(found.identity, SimulatedMachine(create_pki(clock.now()), clock))

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await answer(send, 418, headers_of(scope)["x-tea"].encode(), b"text/plain", [(b"x-pot", b"short")])


async def test_it_answers_over_tls_and_its_collateral_stands_beside_it() -> None:
    async with Teapot() as server:
        port = int(server.url.rpartition(":")[2])
        connection = await open_connection(Origin("127.0.0.1", port), certified_tls(server.ca), timeout=5, pinned=None)
        response = await connection.exchange(b"GET / HTTP/1.1\r\nhost: a\r\nx-tea: green\r\n\r\n", b"", headers_timeout=5)
        assert (response.status, response.headers[b"x-pot"], response.headers[b"content-type"]) == (418, b"short", b"text/plain")
        assert await response.read_all(100, 5) == b"green"
        connection.abort("close", "done")
        async with httpx2.AsyncClient(verify=certified_tls(server.ca)) as client:
            assert (await client.get(server.root_crl_url)).status_code == 200


async def test_a_server_that_says_nothing_is_not_one() -> None:
    bare = Served(certified(SystemClock().now()).identity)
    with pytest.raises(NotImplementedError):
        await bare._serve({}, None, None)  # type: ignore[arg-type]  # nothing of them is looked at
