"""Several workers of one gateway: processes that listen on one port, and a parent that keeps them going.

The kernel spreads connections over those who listen with SO_REUSEPORT. The parent serves nothing and holds no prompt: it starts the workers,
each in a slot of its own, starts one again that died, and passes signals on:

    SIGTERM, SIGINT   all drain, then the parent ends; a second one ends them at once
    SIGHUP            the configuration is read and judged here first; only a good one is passed on
    SIGCHLD           whoever died is started again, after a pause that doubles while it keeps dying

Workers die with their parent (PR_SET_PDEATHSIG), so that nobody serves without being looked after.
"""

import contextlib
import ctypes
import logging
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable

import msgspec

from ollm.app.fixed import check_unchanged
from ollm.app.process import harden
from ollm.app.serve import Place, calm_collector
from ollm.app.serve import run as run_worker
from ollm.config.load import Loaded, listen_address
from ollm.errors import ConfigError, OllmError
from ollm.gateway.context import Gateway
from ollm.serving.server import Server

log = logging.getLogger("ollm.workers")

_PAUSE = 0.1  # seconds before a dead worker is started again; doubled each time in a row
_LONGEST_PAUSE = 30.0
_STEADY_SECONDS = 60.0  # a worker that lived so long died of something new
_START_SECONDS = 60.0
_KILL_SECONDS = 10.0  # beyond the time to drain
_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_PR_SET_PDEATHSIG = 1  # prctl(2)
_MAX_MESSAGE = 4096


class Started(msgspec.Struct, frozen=True):
    """What a gateway says once it accepts requests."""

    port: int
    config_digest: str
    keyset_digest: str


class _Failed(msgspec.Struct, frozen=True):
    cause: str
    mend: str


class _Worker:
    """One slot: the process in it, and how it has fared."""

    def __init__(self, slot: int) -> None:
        self.slot = slot
        self.pid: int | None = None
        self.started_at = 0.0
        self.deaths = 0  # in a row
        self.due: float | None = 0.0  # when it is started; None: it runs

    def died(self, now: float) -> None:
        self.deaths = 1 if now - self.started_at > _STEADY_SECONDS else self.deaths + 1
        self.pid = None
        self.due = now + min(_PAUSE * 2 ** min(self.deaths - 1, 16), _LONGEST_PAUSE)


def run(loaded: Loaded, announce: Callable[[Started], None], reread: Callable[[], Loaded]) -> None:
    """The whole life of the process: one gateway, or the parent of several. Raises: ConfigError, StoreError."""
    if loaded.settings.gateway.workers > 1:
        Workers(loaded, reread).run(announce)
        return
    run_worker(loaded, lambda gateway, server: announce(_started(gateway, server)), reread)


class Workers:
    """The parent. `reread` reads the configuration again."""

    def __init__(self, loaded: Loaded, reread: Callable[[], Loaded]) -> None:
        self._loaded = loaded
        self._reread = reread
        self._held: list[socket.socket] = []
        self._port = 0
        self._workers = [_Worker(slot) for slot in range(loaded.settings.gateway.workers)]

    def run(self, announce: Callable[[Started], None]) -> None:
        """Start all, announce, and look after them until a signal. Raises: ConfigError when the first start fails."""
        harden()
        calm_collector()
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._hold_port()
            announce(self._first_start())
            self._look_after()
        finally:
            self._end_all()
            for held in self._held:
                held.close()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _hold_port(self) -> None:
        """Keep the port for as long as we live, without listening: it is ours between two workers too. Raises: ConfigError."""
        host, port = listen_address(self._loaded.settings.gateway.listen)
        try:
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
                wanted = (address[0], self._port or port, *address[2:])
                _bound(family, wanted, shared=False).close()  # fails where somebody listens, who would get a part of our connections
                held = _bound(family, wanted, shared=True)
                self._held.append(held)
                self._port = held.getsockname()[1]
        except OSError as error:
            raise ConfigError(f"can't listen on {host}:{port}: {error.strerror}", "choose a free address of this machine") from None

    def _first_start(self) -> Started:
        """All of them, one after the other: the first prepares what they share. Raises: ConfigError with what the one that failed said."""
        said = None
        for worker in self._workers:
            answer = self._start(worker)
            if not isinstance(answer, Started):
                raise ConfigError(answer.cause, answer.mend)
            said = said or answer
        if said is None:
            raise ConfigError("there is no worker to start", "set gateway.workers to 1 at least")
        return said

    def _start(self, worker: _Worker) -> Started | _Failed:
        """A process in this slot, as soon as it accepts requests or has failed to."""
        reading, writing = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._child(worker.slot, writing, parent)
        os.close(writing)
        worker.pid, worker.started_at, worker.due = pid, time.monotonic(), None
        with os.fdopen(reading, "rb") as pipe:
            if not select.select([pipe], [], [], _START_SECONDS)[0]:
                os.kill(pid, signal.SIGKILL)
                return _Failed(f"worker {worker.slot} did not start within {_START_SECONDS:.0f} s", "look at the store and the log")
            message = pipe.read(_MAX_MESSAGE)  # until the child has spoken and closes it, or is dead
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(message, type=Started)
        with contextlib.suppress(msgspec.MsgspecError):
            return msgspec.json.decode(message, type=_Failed)
        return _Failed(f"worker {worker.slot} ended before it served", "look at the log")

    def _child(self, slot: int, pipe: int, parent: int) -> None:
        """The worker's whole life: it never returns into the parent's code."""
        code = 1
        try:
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)  # it died in between
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            for held in self._held:
                held.close()
            run_worker(self._loaded, lambda gateway, server: _tell(pipe, gateway, server), self._reread, Place(slot, self._port))
            code = 0
        except OllmError as problem:
            mend = problem.mend if isinstance(problem, ConfigError) else ""
            _say(pipe, _Failed(problem.cause if isinstance(problem, ConfigError) else str(problem), mend))
        except BaseException as problem:  # noqa: BLE001 - nothing of the child may run on in the parent's frames
            log.error("a worker failed", extra={"slot": slot, "error": type(problem).__name__})
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _look_after(self) -> None:
        """Until SIGTERM or SIGINT."""
        while True:
            now = time.monotonic()
            for worker in self._workers:
                if worker.due is not None and worker.due <= now:
                    self._again(worker)
            due = [worker.due for worker in self._workers if worker.due is not None]
            seconds = max(0.0, min(due) - time.monotonic()) if due else 3600.0
            arrived = signal.sigtimedwait(_SIGNALS, seconds)
            number = arrived.si_signo if arrived is not None else None
            if number in (signal.SIGTERM, signal.SIGINT):
                return
            if number == signal.SIGHUP:
                self._reload()
            self._reap()

    def _again(self, worker: _Worker) -> None:
        answer = self._start(worker)
        if isinstance(answer, Started):
            log.warning("a worker serves again", extra={"slot": worker.slot})
        else:
            log.error("a worker can't be started again", extra={"slot": worker.slot, "cause": answer.cause})

    def _reload(self) -> None:
        """Judge the configuration as it is now, once for all of them."""
        try:
            loaded = self._reread()
            check_unchanged(self._loaded, loaded)
        except ConfigError as problem:
            log.error("the configuration was not reloaded", extra={"cause": problem.cause, "mend": problem.mend})
            return
        self._loaded = loaded  # of workers that are started from now on
        self._signal(self._workers, signal.SIGHUP)

    def _reap(self) -> None:
        for worker in self._workers:
            if worker.pid is None:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                worker.died(time.monotonic())
                extra = {"slot": worker.slot, "status": os.waitstatus_to_exitcode(status), "again_in": round((worker.due or 0) - time.monotonic(), 1)}
                log.error("a worker ended", extra=extra)

    def _end_all(self) -> None:
        """Let them drain, for as long as the configuration gives them; a second signal, or the end of that time, ends them."""
        self._signal(self._workers, signal.SIGTERM)
        end = time.monotonic() + self._loaded.settings.gateway.drain_seconds + _KILL_SECONDS
        while any(worker.pid is not None for worker in self._workers):
            arrived = signal.sigtimedwait(_SIGNALS, max(0.0, end - time.monotonic()))
            if arrived is None or arrived.si_signo in (signal.SIGTERM, signal.SIGINT):
                self._signal(self._workers, signal.SIGKILL)
                end = time.monotonic() + _KILL_SECONDS
            for worker in self._workers:
                if worker.pid is not None and os.waitpid(worker.pid, os.WNOHANG)[0]:
                    worker.pid = None

    @staticmethod
    def _signal(workers: Iterable[_Worker], number: signal.Signals) -> None:
        for worker in workers:
            if worker.pid is not None:
                os.kill(worker.pid, number)  # not reaped yet, so the number is still its own


def _bound(family: int, address: tuple[object, ...], *, shared: bool) -> socket.socket:
    """A socket at this address. Raises: OSError."""
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, int(shared))
        if family == socket.AF_INET6:
            found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.bind(address)
    except OSError:
        found.close()
        raise
    return found


def _tell(pipe: int, gateway: Gateway, server: Server) -> None:
    _say(pipe, _started(gateway, server))


def _started(gateway: Gateway, server: Server) -> Started:
    return Started(server.port, gateway.config_digest, gateway.keyset_digest)


def _say(pipe: int, message: Started | _Failed) -> None:
    with contextlib.suppress(OSError):
        os.write(pipe, msgspec.json.encode(message))
        os.close(pipe)
