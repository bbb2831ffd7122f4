"""A gateway in front of simulated enclaves, started in this process as `ollm serve` starts it: real sockets, TLS and SQLite.

`staged()` is a play with one enclave; `opened()` runs a gateway over whatever machines a test brings itself.
"""

import asyncio
import atexit
import contextlib
import json
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx2
import msgspec

from ollm.app.build import store_of
from ollm.app.initialise import initialise
from ollm.app.serve import running
from ollm.config.load import Loaded, key_bytes, load
from ollm.gateway.context import Gateway
from ollm.net.clock import SystemClock
from ollm.receipts.receipt import verify_receipt
from ollm.serving.server import Server
from ollm.sim.agent import GuestAgent
from ollm.sim.machine import SimulatedMachine
from ollm.sim.reference import policy
from ollm.sim.service import SimEnclave, SimOptions
from ollm.store.keys import NewKey
from ollm.values.aci import parse_keyset
from ollm.values.ledger import Entry
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy

CHAT = "/v1/chat/completions"
MODEL = "demo"
PROMPT = "Hello there"
SPECIAL_MODELS = ("sim-slow-headers", "sim-slow-first", "sim-slow-stream", "sim-cut", "sim-error-stream", "sim-error-429", "sim-error-500")


class Machine(Protocol):
    """What the configuration names of an upstream: SimEnclave has it, and ScriptedEnclave."""

    @property
    def url(self) -> str: ...

    @property
    def pcs_url(self) -> str: ...

    @property
    def root_crl_url(self) -> str: ...

    @property
    def policy(self) -> AttestationPolicy: ...


class Stage:
    """A running gateway and a client of it. `http` carries the API key."""

    def __init__(self, loaded: Loaded, gateway: Gateway, server: Server, api_key: str, http: httpx2.AsyncClient) -> None:
        self.loaded = loaded
        self.gateway = gateway
        self.server = server
        self.api_key = api_key
        self.http = http
        self.enclave: SimEnclave

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.port}"

    async def chat(self, text: str = PROMPT, **members: Any) -> httpx2.Response:
        return await self.http.post(CHAT, content=chat_body(text, **members))

    async def entry(self, response: httpx2.Response) -> Entry:
        """The ledger's row of the request that `response` answers."""
        entry = await self.gateway.ledger.find(stem(response))
        assert entry is not None, "the request has no ledger row"
        return entry

    async def receipt(self, response: httpx2.Response) -> dict[str, Any]:
        """The request's receipt, fetched with its key and verified under the gateway's keyset."""
        answer = await self.http.get(f"/v1/aci/receipts/{response.headers['x-receipt-id']}")
        assert answer.status_code == 200, answer.text
        keyset, digest = parse_keyset(json.loads((self.loaded.path("state") / "keyset.json").read_bytes()))
        return verify_receipt(answer.content, keyset, digest)

    async def new_key(self, *, require: Level = Level.SIMULATED, expires_at: int | None = None, **said: Any) -> str:
        """Another API key, made by another process's way in: the store opened as administration does."""
        return await new_key(self.loaded, require=require, expires_at=expires_at, **said)

    @property
    def under_way(self) -> int:
        """Requests with an intent and no row yet."""
        count: int = self.gateway.ledger.under_way  # type: ignore[attr-defined]  # SqlLedger's own
        return count


def chat_body(text: str = PROMPT, **members: Any) -> bytes:
    return json.dumps({"model": MODEL, "messages": [{"role": "user", "content": text}], **members}).encode()


def stem(response: httpx2.Response) -> str:
    """The stem of all ids of the request that `response` answers."""
    return response.headers["x-request-id"].removeprefix("req_")


def error_of(response: httpx2.Response) -> dict[str, Any]:
    """The error object of `response`, complete as OpenAI's are."""
    body: dict[str, Any] = response.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    error: dict[str, Any] = body["error"]
    return error


def events(stream: bytes) -> list[dict[str, Any]]:
    """The JSON events of a stream, [DONE] left out."""
    assert stream.endswith(b"\n\n")
    texts = [event.removeprefix(b"data: ") for event in stream.split(b"\n\n")[:-1]]
    return [json.loads(text) for text in texts if text != b"[DONE]"]


def toml(tree: Mapping[str, Any], path: str = "") -> str:
    """`tree` as TOML; what is None is left out. JSON's scalars and arrays of them are TOML's too."""
    plain = {name: value for name, value in tree.items() if not isinstance(value, Mapping) and not _tables(value) and value is not None}
    lines = ([f"[{path}]"] if path else []) + [f"{json.dumps(name)} = {json.dumps(value)}" for name, value in plain.items()]
    for name, value in tree.items():
        inner = f"{path}.{json.dumps(name)}" if path else json.dumps(name)
        if isinstance(value, Mapping):
            lines.append(toml(value, inner))
        elif _tables(value):
            lines += [toml(each, inner).replace(f"[{inner}]", f"[[{inner}]]", 1) for each in value]
    return "\n".join(lines) + "\n"


def _tables(value: object) -> bool:
    return isinstance(value, (list, tuple)) and bool(value) and isinstance(value[0], Mapping)


def policy_table(accepted: AttestationPolicy) -> dict[str, Any]:
    table: dict[str, Any] = msgspec.to_builtins(accepted)
    del table["name"]
    for name, technology in (("tdx", "tdx"), ("snp", "sev-snp"), ("nitro", "nitro")):
        if technology not in accepted.cpu:  # such a table is refused
            del table[name]
    return table


def upstream_table(machine: Machine, policy_name: str, **more: Any) -> dict[str, Any]:
    return {"url": machine.url, "policy": policy_name, "pcs_url": machine.pcs_url, "root_crl_url": machine.root_crl_url, **more}


def configuration(
    machines: Mapping[str, Machine],
    *,
    gateway: Mapping[str, Any] | None = None,
    upstream: Mapping[str, Any] | None = None,
    models: Mapping[str, Any] | None = None,
    policies: Mapping[str, Any] | None = None,
    evidence: Mapping[str, Any] | None = None,
    routing: Mapping[str, Any] | None = None,
    issuers: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A configuration of one upstream per machine, under a policy of the same name. `upstream` holds for all of them.

    Pauses between attempts are short.

    Without `models`, "demo" is served by all of them in their order, and the responder's special models as well.
    """
    default = {"upstreams": list(machines)}
    prices = {"input": 150_000, "output": 600_000, "cached": 75_000}
    served = {MODEL: {**default, "upstream_model": "sim-chat", "price": prices}, **dict.fromkeys(SPECIAL_MODELS, default)}
    return {
        "gateway": {"listen": "127.0.0.1:0", "floor": "simulated", "durability": "process", "drain_seconds": 1.0, **(gateway or {})},
        "routing": {"backoff": 0.01, **(routing or {})},
        "evidence": evidence or {},
        "issuers": issuers or {},
        "policies": {**{name: policy_table(machine.policy) for name, machine in machines.items()}, **(policies or {})},
        "upstreams": {name: upstream_table(machine, name, **(upstream or {})) for name, machine in machines.items()},
        "models": models if models is not None else served,
    }


async def new_key(loaded: Loaded, *, require: Level = Level.SIMULATED, expires_at: int | None = None, name: str = "test", **said: Any) -> str:
    source = loaded.settings.secrets.pepper
    async with store_of(loaded, role="admin") as store:
        pepper = key_bytes(loaded.secret(source), source)
        new = NewKey(name=name, require=require, created_at=SystemClock().now(), expires_at=expires_at, **said)
        text, _ = await store.keys.create(new, pepper=pepper)
    return text


_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # the client speaks plain HTTP; a default context would read every CA there is
_template: list[tuple[Path, str]] = []


async def _installation() -> tuple[Path, str]:
    """Secrets, a store and an API key, made once for all stages: migrations and key are tested elsewhere. Each stage gets a copy."""
    if not _template:
        folder = Path(tempfile.mkdtemp(prefix="ollm-"))
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _template.append((folder, await new_key(load(initialise(folder, "")))))
    return _template[0]


async def installed(folder: Path, tree: Mapping[str, Any]) -> tuple[Loaded, str]:
    """An installation in `folder` with the configuration `tree`, and a key that accepts every level."""
    template, api_key = await _installation()
    shutil.copytree(template, folder, ignore=shutil.ignore_patterns("ollm.toml"), dirs_exist_ok=True)
    return load(initialise(folder, toml(tree))), api_key


@contextlib.asynccontextmanager
async def opened(folder: Path, tree: Mapping[str, Any]) -> AsyncIterator[Stage]:
    """A gateway with the configuration `tree`, in `folder`, and a client with a key that accepts every level."""
    loaded, api_key = await installed(folder, tree)
    async with running(loaded) as (gateway, server):
        headers = {"authorization": f"Bearer {api_key}", "content-type": "application/json"}
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", headers=headers, timeout=30, verify=_NO_TLS) as http:
            yield Stage(loaded, gateway, server, api_key, http)


@contextlib.asynccontextmanager
async def staged(folder: Path, enclave: SimOptions | None = None, *, attested: bool = False, **settings: Any) -> AsyncIterator[Stage]:
    """A gateway in front of one enclave. `attested`: the gateway attests itself too, admitted by the policy "gateway".

    `settings` are those of `configuration`.
    """
    async with contextlib.AsyncExitStack() as exits:
        machine = await exits.enter_async_context(SimEnclave(enclave or SimOptions()))
        if attested:
            own = SimulatedMachine(machine.pki, machine.clock, name="gateway-machine", app_name="ollm-gateway")
            agent = GuestAgent(own, folder / "dstack.sock")
            await agent.start()
            exits.push_async_callback(agent.stop)
            settings["policies"] = {"gateway": policy_table(policy((own,), name="gateway")), **settings.get("policies", {})}
            settings["evidence"] = {"quote_source": "dstack:dstack.sock", **settings.get("evidence", {})}
        stage = await exits.enter_async_context(opened(folder, configuration({"enclave": machine}, **settings)))
        stage.enclave = machine
        yield stage


class RawClient:
    """A client on a bare connection, which can leave whenever it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read_until(self, mark: bytes) -> bytes:
        return await asyncio.wait_for(self._reader.readuntil(mark), 5)

    async def read_to_end(self) -> bytes:
        return await asyncio.wait_for(self._reader.read(), 5)

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def pause(self) -> None:
        """Read nothing more, so that the sender's buffers fill."""
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport reads too

    def leave(self) -> None:
        self._writer.transport.abort()


@contextlib.asynccontextmanager
async def asking(stage: Stage, body: bytes, *, sent: int | None = None, path: str = CHAT) -> AsyncIterator[RawClient]:
    """A client that has sent one request with `body`, or so far `sent` bytes of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.server.port, limit=4 * 1024 * 1024)
    try:
        head = f"POST {path} HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer {stage.api_key}\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body[:sent])
        await writer.drain()
        yield RawClient(reader, writer)
    finally:
        writer.transport.abort()


async def last_entry(stage: Stage, seconds: float = 1.0) -> Entry:
    """The newest ledger row with its receipt, as soon as there is one."""
    async with asyncio.timeout(seconds):
        while True:
            found: list[Entry] = await stage.gateway.ledger.recent(1)  # type: ignore[attr-defined]  # SqlLedger's own
            if found and (whole := await stage.gateway.ledger.find(found[0].request_id)) is not None:
                return whole
            await asyncio.sleep(0.01)


async def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until `condition` holds. Raises: TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.01)
