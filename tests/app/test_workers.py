"""Several workers of one gateway, as processes: one port, one keyset, and somebody who looks after them.

They share a PostgreSQL server and a counter server of the tests' own, in front of a provider in this process.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from ollm.app.initialise import initialise
from ollm.config.load import load
from ollm.sim.service import SimEnclave, SimOptions
from tests.servers.counters import CounterServer, counter_server
from tests.servers.postgres import Postgres, started
from tests.stage import CHAT, chat_body, configuration, new_key, toml
from tests.standing import standing
from tests.system.processes import COMMAND, Process, clean_environment, until

pytestmark = [pytest.mark.process, pytest.mark.slow, pytest.mark.timeout(300)]


class Team:
    """A gateway with two workers."""

    def __init__(self, folder: Path, tree: dict[str, Any], password: str) -> None:
        self.folder = folder
        self.tree = tree
        (folder / "secrets" / "database").write_text(password)
        (folder / "secrets" / "database").chmod(0o600)
        self.environment = clean_environment(folder / "home")
        self.process = self.start("gateway")
        self.announced = self.process.announced()
        self.api_key = asyncio.run(new_key(load(folder / "ollm.toml")))

    def start(self, name: str) -> Process:
        return Process(name, [*COMMAND, "serve", "--json"], self.folder, self.environment)

    def write(self, **changed: Any) -> None:
        (self.folder / "ollm.toml").write_text(toml({**self.tree, **changed}))

    @property
    def workers(self) -> list[int]:
        """Children of the parent, by the kernel's word."""
        text = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in text.split()]

    @property
    def log(self) -> str:
        return self.process.err.read_text()

    def ask(self, model: str = "demo") -> httpx2.Response:
        """On a connection of its own: the kernel chooses the worker anew."""
        headers = {"authorization": f"Bearer {self.api_key}"}
        return httpx2.post(self.announced["url"] + CHAT, content=chat_body(model=model), headers=headers, timeout=20)

    def sockets(self, clients: int) -> dict[int, int]:
        """Sockets that each worker holds while many clients are connected."""
        counts = dict.fromkeys(self.workers, 0)
        port = int(self.announced["url"].rpartition(":")[2])
        held = [socket.create_connection(("127.0.0.1", port)) for _ in range(clients)]
        try:
            for each in held:
                each.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
                assert each.recv(64).startswith(b"HTTP/1.1 200")
            for pid in counts:
                links = [os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir() if path.is_symlink()]
                counts[pid] = sum(link.startswith("socket:") for link in links)
        finally:
            for each in held:
                each.close()
        return counts


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postgres, CounterServer]]:
    folder = Path(os.path.realpath(tmp_path_factory.mktemp("c")))
    with contextlib.ExitStack() as exits:
        postgres = started()
        exits.callback(postgres.close)
        yield postgres, exits.enter_context(counter_server(folder))


@pytest.fixture(scope="module")
def tree(servers: tuple[Postgres, CounterServer]) -> Iterator[dict[str, Any]]:
    """A configuration of two workers in front of an enclave."""
    postgres, counters = servers
    with standing(SimEnclave(SimOptions())) as enclave:
        usual = configuration({"enclave": enclave}, models={"demo": {"upstreams": ["enclave"], "upstream_model": "sim-chat"}})
        yield {
            **usual,
            "gateway": {**usual["gateway"], "workers": 2, "drain_seconds": 5.0},
            "store": {"url": postgres.url(postgres.database()), "password": "file:secrets/database", "tls": False},
            "counters": {"backend": "valkey", "url": counters.url},
        }


@pytest.fixture(scope="module")
def team(servers: tuple[Postgres, CounterServer], tree: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    folder = tmp_path_factory.mktemp("team")
    initialise(folder, toml(tree))
    found = Team(folder, tree, servers[0].password)
    try:
        yield found
    finally:
        found.process.end()


def test_both_serve_on_one_port_under_one_keyset(team: Team) -> None:
    until(lambda: all(team.ask().status_code == 200 for _ in range(8)), "both workers know the key")
    assert len(team.workers) == 2
    answers = [team.ask() for _ in range(12)]
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["x-aci-keyset-digest"] for answer in answers} == {team.announced["keyset_digest"]}
    quiet, busy = team.sockets(0), team.sockets(40)
    assert all(busy[pid] > quiet[pid] for pid in team.workers), "the kernel spreads connections over both"


def test_a_receipt_is_served_by_whichever_worker(team: Team) -> None:
    answer = team.ask()
    path = f"{team.announced['url']}/v1/aci/receipts/{answer.headers['x-receipt-id']}"
    for _ in range(8):
        assert httpx2.get(path, headers={"authorization": f"Bearer {team.api_key}"}, timeout=20).status_code == 200


def test_a_worker_that_dies_is_started_again_and_the_other_goes_on(team: Team) -> None:
    first, second = team.workers
    os.kill(first, signal.SIGKILL)
    until(lambda: first not in team.workers, "its death is noticed")
    assert second in team.workers
    until(lambda: len(team.workers) == 2, "another takes its place", seconds=60)
    until(lambda: "a worker serves again" in team.log, "it serves", seconds=60)
    assert team.ask().status_code == 200


def test_a_reload_reaches_all_of_them(team: Team) -> None:
    team.write(models={"new": {"upstreams": ["enclave"], "upstream_model": "sim-chat"}})
    os.kill(team.process.pid, signal.SIGHUP)
    until(lambda: team.log.count("the configuration was reloaded") == 2, "both have reloaded")
    answers = [team.ask("new") for _ in range(8)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.headers["x-aci-keyset-digest"] for answer in answers} - {team.announced["keyset_digest"]}) == 1
    assert {team.ask("demo").status_code for _ in range(8)} == {404}


def test_a_bad_configuration_reaches_none_of_them(team: Team) -> None:
    before = team.log.count("was reloaded")
    team.write(models={"new": {"upstreams": ["nobody"]}})
    os.kill(team.process.pid, signal.SIGHUP)
    until(lambda: "the configuration was not reloaded" in team.log, "it is refused")
    assert "'nobody'" in team.log
    team.write(models={"new": {"upstreams": ["enclave"]}}, counters={"backend": "memory"}, gateway={**team.tree["gateway"], "workers": 1})
    os.kill(team.process.pid, signal.SIGHUP)
    until(lambda: "gateway.workers, counters.backend, counters.url can't change" in team.log, "it is refused")
    assert team.log.count("was reloaded") == before
    assert team.ask("new").status_code == 200


def test_another_gateway_does_not_take_a_part_of_its_connections(team: Team) -> None:
    port = team.announced["url"].rpartition(":")[2]
    folder = team.folder / "second"
    initialise(folder, toml({**team.tree, "gateway": {**team.tree["gateway"], "listen": f"127.0.0.1:{port}"}}))
    shutil.copy(team.folder / "secrets" / "database", folder / "secrets" / "database")
    second = Process("second", [*COMMAND, "serve", "-c", str(folder / "ollm.toml"), "--json"], team.folder, team.environment)
    assert second.ended() != 0
    assert "can't listen" in second.err.read_text() + second.out.read_text()


def test_a_signal_ends_all_of_them(team: Team) -> None:
    workers = team.workers
    team.process.ask_to_end()
    assert team.process.ended() == 0
    for pid in workers:
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "no worker is left")  # type: ignore[misc]  # bound now
    with pytest.raises(httpx2.HTTPError):
        team.ask()


def test_workers_end_with_their_parent(team: Team) -> None:
    team.write()
    process = team.process = team.start("orphaned")
    team.announced = process.announced()
    workers = team.workers
    assert len(workers) == 2
    process.kill()
    for pid in workers:
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists(), "no worker is left", seconds=30)  # type: ignore[misc]  # bound now


def test_what_keeps_the_first_worker_from_starting_is_told(team: Team) -> None:
    team.write(upstreams={"enclave": {**team.tree["upstreams"]["enclave"], "api_key": "env:NOBODY_SET_THIS"}})
    process = team.start("failing")
    assert process.ended() != 0
    assert "NOBODY_SET_THIS is not set" in process.err.read_text() + process.out.read_text()
