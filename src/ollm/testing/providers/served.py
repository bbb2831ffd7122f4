"""What every server that plays a provider is: a listener with TLS on loopback and, where it has a machine, what vendors say about its hardware."""

from collections.abc import Iterable
from typing import Self

from ollm.serving.http import Receive, Scope, Send
from ollm.serving.server import Server
from ollm.serving.tls import TlsIdentity
from ollm.sim.control import Control
from ollm.sim.enclave import Counters
from ollm.sim.machine import Hardware


class Served:
    """`async with Double() as server:`, then `server.url`. A double says in `_serve` what it answers."""

    def __init__(self, identity: TlsIdentity) -> None:
        """`identity`: what the listener shows of itself."""
        self._server = Server(self._serve, host="127.0.0.1", port=0, tls=identity)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._server.port}"

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._server.drain(0)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise NotImplementedError


class Endorsed(Served):
    """`Served`, with Intel's collateral about `machine` at `pcs_url`."""

    def __init__(self, identity: TlsIdentity, machine: Hardware) -> None:
        super().__init__(identity)
        self._pcs = Server(Control(machine, Counters(), ""), host="127.0.0.1", port=0)

    @property
    def pcs_url(self) -> str:
        return f"http://127.0.0.1:{self._pcs.port}"

    @property
    def root_crl_url(self) -> str:
        return self.pcs_url + "/IntelSGXRootCA.der"

    async def __aenter__(self) -> Self:
        await self._pcs.start()
        return await super().__aenter__()

    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        await self._pcs.drain(0)


def headers_of(scope: Scope) -> dict[str, str]:
    """The headers of a request, by their lowercase names."""
    return {name.decode(): value.decode() for name, value in scope["headers"]}


async def answer(send: Send, status: int, body: bytes, kind: bytes = b"application/json", headers: Iterable[tuple[bytes, bytes]] = ()) -> None:
    """A whole answer of media type `kind`."""
    fields = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), *headers]
    await send({"type": "http.response.start", "status": status, "headers": fields})
    await send({"type": "http.response.body", "body": body})
