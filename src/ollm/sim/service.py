"""A simulated enclave as a whole: its machine, its keys, its listeners, from start to end."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Self

from ollm.errors import ConfigError
from ollm.net.clock import SystemClock
from ollm.ports import Clock
from ollm.receipts.report import Provenance
from ollm.serving.attestation import AttestationService
from ollm.serving.server import Server
from ollm.sim import adversary, reference
from ollm.sim.agent import GuestAgent
from ollm.sim.breaks import BREAKS
from ollm.sim.broken import BrokenMachine
from ollm.sim.control import Control
from ollm.sim.enclave import Counters, Enclave, Settings
from ollm.sim.engine import BuiltIn, Engine
from ollm.sim.identity import EnclaveIdentity, create_identity, identity_beside
from ollm.sim.machine import Hardware, SimulatedMachine
from ollm.sim.pki import create_pki, open_pki
from ollm.sim.responder import CHAT_MODEL, EMBEDDING_MODEL, Pace, Responder
from ollm.sim.upstream import UpstreamEngine
from ollm.values.aci import EHBP_VERSION, Keyset
from ollm.values.hexes import Hex32
from ollm.values.policy import AttestationPolicy
from ollm.values.secret import Hidden

_DAY = 86_400
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SimOptions(Hidden, frozen=True, kw_only=True):
    """What `ollm sim enclave` can be told. Port 0 is any free one."""

    state_dir: Path | None = None  # keeps the simulated root; None: a new root for this run alone
    host: str = "127.0.0.1"
    port: int = 0
    pcs_port: int = 0  # collateral and counters, plain HTTP
    machine: str = "machine-1"  # name of the simulated hardware
    upstream: str | None = None  # base URL of an OpenAI-compatible server, ending in /v1; None: the built-in responder
    upstream_api_key: str | None = None
    models: tuple[str, ...] = (CHAT_MODEL, EMBEDDING_MODEL)  # of the built-in responder
    pace: Pace = Pace()  # of the built-in responder
    api_key: str | None = None
    allow_plaintext: bool = False
    attest_only: bool = False  # serve evidence alone, over plain HTTP, for the TLS server that holds tls_key
    tls_key: Path | None = None  # PEM files of that server
    tls_cert: Path | None = None
    broken: str | None = None  # a kind of BREAKS
    agent_socket: Path | None = None  # also serve a guest agent here, so that another workload can quote with this machine
    keyset_days: int = 30

    def __post_init__(self) -> None:
        """Raises: ConfigError for what contradicts itself."""
        if self.broken is not None and self.broken not in BREAKS:
            raise ConfigError(f"there is no way to be broken called {self.broken!r}", "one of: " + ", ".join(BREAKS))
        if self.attest_only != (self.tls_key is not None and self.tls_cert is not None) or (self.tls_key is None) != (self.tls_cert is None):
            raise ConfigError("attest-only goes with the key and certificate of the TLS server that it attests", "give all three or none")
        if self.attest_only and self.upstream is not None:
            raise ConfigError("attest-only serves no models", "give an upstream or attest-only, not both")

    @property
    def layer(self) -> str | None:
        return BREAKS[self.broken].layer if self.broken is not None else None


class SimEnclave:
    """One running enclave: `async with SimEnclave(options) as enclave`. `policy` admits the genuine machine, however broken this one is."""

    def __init__(self, options: SimOptions, *, clock: Clock | None = None) -> None:
        """Raises: ConfigError."""
        self.options = options
        self.clock = clock if clock is not None else SystemClock()
        now = self.clock.now()
        self.pki = open_pki(options.state_dir, now) if options.state_dir is not None else create_pki(now)
        genuine = SimulatedMachine(self.pki, self.clock, name=options.machine)
        self.machine: Hardware = BrokenMachine(genuine, options.broken) if options.broken is not None and options.layer == "hardware" else genuine
        self.policy: AttestationPolicy = reference.policy((genuine,))
        self.policy_toml = reference.policy_toml(self.policy)
        self.identity = _identity(options, now)
        self._engine = _engine(options, self.clock)
        broken = options.broken if options.layer != "hardware" else None
        keyset = self.identity.keyset(not_after=adversary.keyset_end(broken, now, options.keyset_days * _DAY))
        keyset = adversary.listed_keys(broken, keyset)
        attestation = _attestation(keyset, self.machine, broken)
        if broken == "relayed-quote":
            attestation = _elsewhere(genuine, now, options)
        settings = Settings(api_key=options.api_key, allow_plaintext=options.allow_plaintext, broken=broken)
        self.enclave = Enclave(self.identity, keyset.digest(), attestation.report, self._engine, clock=self.clock, settings=settings)
        self._control = Control(self.machine, self.enclave.counters, self.policy_toml)
        self._server = Server(self.enclave, host=options.host, port=options.port, tls=self.identity.tls, headers=self.enclave.headers)
        self._pcs_server = Server(self._control, host="127.0.0.1", port=options.pcs_port)
        self._exits = AsyncExitStack()

    @property
    def url(self) -> str:
        """Origin of the service. Plain HTTP when it attests for another server."""
        return f"{'https' if self.identity.tls is not None else 'http'}://{self.options.host}:{self._server.port}"

    @property
    def pcs_url(self) -> str:
        """Origin of the simulated Provisioning Certification Service."""
        return f"http://127.0.0.1:{self._pcs_server.port}"

    @property
    def root_crl_url(self) -> str:
        return self.pcs_url + "/IntelSGXRootCA.der"

    @property
    def spki_sha256(self) -> Hex32:
        """Of the key that TLS is really served with."""
        return self.identity.spki_sha256

    @property
    def counters(self) -> Counters:
        return self.enclave.counters

    async def start(self) -> None:
        """Accept connections. Raises: ConfigError when a port is taken."""
        async with AsyncExitStack() as started:
            if self._engine is not None:
                started.push_async_callback(self._engine.close)
            if self.options.agent_socket is not None:
                agent = GuestAgent(self.machine, self.options.agent_socket)
                await agent.start()
                started.push_async_callback(agent.stop)
            await self._pcs_server.start()
            started.push_async_callback(self._pcs_server.drain, 0)
            await self._server.start()
            self._exits = started.pop_all()

    async def stop(self, drain: float = 0) -> None:
        """Take no more requests, give the running ones `drain` seconds, then end."""
        await self._server.drain(drain)
        await self._exits.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exit: Any) -> None:
        await self.stop()


async def run(options: SimOptions, announce: Callable[[SimEnclave], None], *, drain: float = 30.0) -> None:
    """Serve until SIGTERM or SIGINT, then drain. `announce` is told once requests are accepted. Raises: ConfigError."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    enclave = SimEnclave(options)
    await enclave.start()
    try:
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop.set)
        announce(enclave)
        await stop.wait()
    finally:
        await enclave.stop(drain)
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _identity(options: SimOptions, now: int) -> EnclaveIdentity:
    if options.tls_key is not None and options.tls_cert is not None:
        return identity_beside(options.tls_key, options.tls_cert)
    return create_identity(now)


def _engine(options: SimOptions, clock: Clock) -> Engine | None:
    if options.attest_only:
        return None
    if options.upstream is not None:
        return UpstreamEngine(options.upstream, api_key=options.upstream_api_key)
    return BuiltIn(Responder(models=options.models, pace=options.pace), clock)


def _attestation(keyset: Keyset, machine: Hardware, broken: str | None) -> AttestationService:
    return AttestationService(
        keyset,
        adversary.quote_source(broken, adversary.MachineQuotes(machine)),
        serving="direct",
        provenance=Provenance(),
        e2ee_versions=(EHBP_VERSION,) if keyset.e2ee_public_keys else (),
    )


def _elsewhere(genuine: SimulatedMachine, now: int, options: SimOptions) -> AttestationService:
    """Another genuine machine with keys of its own, whose reports an adversary could pass on as its own."""
    machine = SimulatedMachine(genuine.pki, genuine.clock, name="elsewhere")
    return _attestation(create_identity(now).keyset(not_after=now + options.keyset_days * _DAY), machine, None)
