"""Any sequence of reserves, settlings, releases, crashes, lapsed leases, window edges and clock jumps, against a model that is easy to read."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from ollm.errors import StoreError
from ollm.ports import Counters, Granted, Refused, Unloaded
from ollm.store.counters.fallback import Rules
from ollm.traffic.charges import Charges, Load
from ollm.values.terms import Budget, Limit, Terms
from tests.charging import charges
from tests.servers.counters import CounterServer
from tests.store.counters.harness import NOTHING, NOW, Harness, InMemory, asked, loaded, on_server, took

T = TypeVar("T")
WORKERS = ("w1", "w2", "w3")
STANDING = [
    ("org_1", Terms(budgets=(Budget(limit_micro=120, window="month"), Budget(limit_micro=60, window="hour")))),
    ("k", Terms(limits=(Limit(parallel=4, requests_per_minute=5, tokens_per_minute=80, requests_per_day=12),))),
]


class Model:
    """What the counters should hold: spent by counter, and reservations by request."""

    def __init__(self) -> None:
        self.spent: dict[str, int] = {}
        self.held: dict[str, tuple[str, Charges]] = {}
        self.ended: dict[str, str] = {}

    def value(self, name: str) -> int:
        return self.spent.get(name, 0) + self.reserved(name)

    def reserved(self, name: str) -> int:
        return sum(by_name(charges).get(name, 0) for _, charges in self.held.values())

    def fits(self, wanted: Charges) -> bool:
        return all(self.value(meter.name) + amount <= meter.limit for meter, amount in zip(wanted.meters.each, wanted.amounts, strict=True))

    def settle(self, request_id: str, actuals: Charges) -> None:
        if request_id in self.held:
            del self.held[request_id]
            self.ended[request_id] = "settled"
            for name, amount in by_name(actuals).items():
                self.spent[name] = self.spent.get(name, 0) + amount


class Machine(RuleBasedStateMachine):
    """One store and three workers. Subclasses say which kind of store."""

    async def make(self) -> Harness:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.model = Model()
        self.now = NOW
        self.number = 0
        self.names: set[str] = set()

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.do(self.harness.close())
        self.runner.close()

    @initialize()
    def open(self) -> None:
        self.harness = self.do(self.make())
        self.workers: dict[str, Counters] = {name: self.harness.another() for name in WORKERS}
        for counters in self.workers.values():
            self.do(counters.renew("nobody"))

    @rule(worker=st.sampled_from(WORKERS), tokens=st.integers(0, 50), micro=st.integers(0, 40))
    def reserve(self, worker: str, tokens: int, micro: int) -> None:
        self.number += 1
        self.attempt(worker, f"r{self.number}", tokens, micro)

    def attempt(self, worker: str, request_id: str, tokens: int, micro: int) -> None:
        wanted = charges(STANDING, "m", Load(tokens=tokens, micro=micro), self.now)
        self.names |= set(wanted.meters.names)
        request = asked(request_id, wanted, owner=worker)
        answer = self.do(self.workers[worker].reserve(request, self.now * 1000))
        if isinstance(answer, Unloaded):
            self.do(self.workers[worker].load(loaded(answer.charges), self.now * 1000 - 1))
            answer = self.do(self.workers[worker].reserve(request, self.now * 1000))
        if self.model.fits(wanted):
            assert isinstance(answer, Granted)
            self.model.held[request_id] = (worker, wanted)
            assert list(answer.values) == [self.model.value(name) for name in wanted.meters.names]
        else:
            assert isinstance(answer, Refused)
            assert list(answer.values) == [self.model.value(name) for name in wanted.meters.names]
            refused = wanted.meters.each[answer.index]
            assert self.model.value(refused.name) + wanted.amounts[answer.index] > refused.limit

    @precondition(lambda self: self.model.held)
    @rule(data=st.data(), tokens=st.integers(0, 60), micro=st.integers(0, 50), twice=st.booleans())
    def settle(self, data: st.DataObject, tokens: int, micro: int, twice: bool) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.model.held)))
        worker, reserved = self.model.held[request_id]
        actuals = took(reserved, tokens=tokens, micro=micro)
        self.model.settle(request_id, actuals)
        for _ in range(1 + twice):
            self.do(self.workers[worker].settle(request_id, actuals, self.now * 1000))

    @precondition(lambda self: self.model.held)
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        request_id = data.draw(st.sampled_from(sorted(self.model.held)))
        worker, _ = self.model.held.pop(request_id)
        self.model.ended[request_id] = "released"
        self.do(self.workers[worker].release(request_id))

    @precondition(lambda self: self.model.held or self.model.ended)
    @rule(data=st.data(), call=st.sampled_from(["reserve", "settle", "release"]))
    def repeat(self, data: st.DataObject, call: str) -> None:
        """A call that comes once more, at any worker, changes nothing."""
        worker = data.draw(st.sampled_from(WORKERS))
        if call == "reserve" and self.model.held:
            request_id = data.draw(st.sampled_from(sorted(self.model.held)))
            owner, wanted = self.model.held[request_id]
            answer = self.do(self.workers[owner].reserve(asked(request_id, wanted, owner=owner), self.now * 1000))
            assert isinstance(answer, Granted)
        elif self.model.ended:
            request_id = data.draw(st.sampled_from(sorted(self.model.ended)))
            wanted = charges(STANDING, "m", Load(tokens=50, micro=50), self.now)
            if call == "settle":
                self.do(self.workers[worker].settle(request_id, wanted, self.now * 1000))
            elif call == "release":
                self.do(self.workers[worker].release(request_id))
            elif self.model.ended[request_id] == "released":
                with pytest.raises(StoreError, match="released"):
                    self.do(self.workers[worker].reserve(asked(request_id, NOTHING, owner=worker), self.now * 1000))

    @rule(worker=st.sampled_from(WORKERS))
    def crash(self, worker: str) -> None:
        """A worker dies; its lease lapses; another one settles what it held at what was reserved; and it starts again."""
        self.workers[worker] = self.harness.another()
        self.do(self.harness.lapse(worker))
        other = self.workers[next(name for name in WORKERS if name != worker)]
        for orphan in self.do(other.orphans()):
            assert self.model.held[orphan.request_id][0] == worker
            actuals = took(orphan.charges, tokens=_of(orphan.charges, "tokens"), micro=_of(orphan.charges, "money"))
            self.model.settle(orphan.request_id, actuals)
            self.do(other.settle(orphan.request_id, actuals, self.now * 1000))
        assert all(owner != worker for owner, _ in self.model.held.values())
        self.do(self.workers[worker].renew(worker))

    @rule(seconds=st.sampled_from([1, 20, 60, 3600, 86_400, -1, -60, -3600, 40 * 86_400, -40 * 86_400]))
    def clock(self, seconds: int) -> None:
        """Time goes on to the edge of a window and over it, or the clock jumps."""
        self.now += seconds

    @invariant()
    def counters_hold_what_the_model_holds(self) -> None:
        if self.names:
            names = sorted(self.names)
            for name, reading in zip(names, self.do(self.workers["w1"].read(names)), strict=True):
                assert (reading.value, reading.reserved) == (self.model.value(name), self.model.reserved(name)), name


def by_name(found: Charges) -> dict[str, int]:
    return dict(zip(found.meters.names, found.amounts, strict=True))


def _of(found: Charges, what: str) -> int:
    return max(amount for meter, amount in zip(found.meters.each, found.amounts, strict=True) if meter.what == what)


class InMemoryMachine(Machine):
    async def make(self) -> Harness:
        return InMemory()


def test_counters_in_this_process() -> None:
    run_state_machine_as_test(InMemoryMachine)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.timeout(300)
@pytest.mark.parametrize("rules", [None, Rules()], ids=["valkey", "fallback"])
def test_counters_on_a_server(server: CounterServer, rules: Rules | None) -> None:
    class OnServerMachine(Machine):
        async def make(self) -> Harness:
            return await on_server(server, rules=rules)

    run_state_machine_as_test(OnServerMachine, settings=settings(max_examples=30, stateful_step_count=40))
