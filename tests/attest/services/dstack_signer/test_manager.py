"""What a manager states of what was started: read, hashed in both forms, folded into what may run."""

from typing import Any

import msgspec
import pytest

from ollm.attest.services.dstack_signer import manager
from ollm.attest.services.dstack_signer.manager import Action
from ollm.errors import EvidenceRefused
from ollm.testing.mint.signer import ACTIONS
from tests.attest.services.dstack_signer.signers import NONCE, signer

UP, DOWN = "compose_up", "compose_down"


def stated(**members: Any) -> dict[str, Any]:
    return {**signer("genuine").manager(NONCE), **members}


def parsed(**members: Any) -> manager.Statement:
    return manager.parse(stated(**members), "{}")


@pytest.mark.parametrize("in_order", [True, False], ids=["sorted", "as written at first"])
def test_both_forms_of_the_hash(*, in_order: bool) -> None:
    statement = manager.parse(signer("genuine").manager(NONCE, in_order=in_order), None)
    manager.check_actions(statement)
    assert len(set(statement.hashes)) == 2


def test_a_hash_of_something_else() -> None:
    with pytest.raises(EvidenceRefused, match=r"manager\.actions"):
        manager.check_actions(parsed(actions=list(ACTIONS[1:])))


@pytest.mark.parametrize(
    "members",
    [
        {"quote": "zz"},
        {"actions": 7},
        {"actions": [{"action": 7}]},
        {"actions": [{"action": UP}] * (manager.MAX_ACTIONS + 1)},
        {"actions_hash": "00"},
        {"nonce": "0" * 100_000},
        {"event_log": "x" * (1024 * 1024 + 1)},
        {"vm_config": "x" * 100_000},
    ],
    ids=lambda members: next(iter(members)),
)
def test_a_malformed_statement_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(EvidenceRefused, match=r"manager\.format"):
        parsed(**members)


def test_a_statement_that_nests_without_end() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EvidenceRefused, match="nested"):
        parsed(actions=[{"action": UP, "more": deep}])


def test_a_statement_without_its_configuration() -> None:
    assert parsed(vm_config=None).cpu.vm_config is None


FOLDS: dict[str, tuple[tuple[Action, ...], dict[str, str]]] = {
    "nothing": ((), {}),
    "up": ((Action(UP, "a", "1"),), {"1": "a"}),
    "up and down": ((Action(UP, "a", "1"), Action(DOWN, "a")), {}),
    "up again": ((Action(UP, "a", "1"), Action(UP, "a", "2")), {"2": "a"}),
    "some services anew: the others stay": ((Action(UP, "a", "1"), Action(UP, "a", "2", ("x",))), {"1": "a", "2": "a"}),
    "some services alone": ((Action(UP, "a", "1", ("x", "y")), Action(UP, "a", "2", ("x", "y"))), {"2": "a"}),
    "some services down: the others stay": ((Action(UP, "a", "1"), Action(DOWN, "a", "", ("x",))), {"1": "a"}),
    "all services down that were up": ((Action(UP, "a", "1", ("x",)), Action(DOWN, "a", "", ("x", "z"))), {}),
    "down what never was up": ((Action(DOWN, "a"), Action(DOWN, "b", "", ("x",))), {}),
    "two files": ((Action(UP, "a", "1"), Action(UP, "b", "2"), Action("docker_restart")), {"1": "a", "2": "b"}),
    "a file without its hash": ((Action(UP, "a"),), {"a file whose hash is not stated": "a"}),
}


@pytest.mark.parametrize("name", FOLDS)
def test_what_may_run(name: str) -> None:
    actions, running = FOLDS[name]
    assert manager.may_run(actions) == running


def of(*actions: Action) -> manager.Statement:
    return msgspec.structs.replace(parsed(), actions=actions)


def test_files_that_a_policy_lists() -> None:
    statement = of(Action(UP, "a", "1"), Action("docker_restart"))
    assert manager.check_files(statement, None) == {"1": "a"}
    assert manager.check_files(statement, ("1",)) == {"1": "a"}
    for accepted, bad in (((), statement), (("1",), of(Action(UP, "a"))), (("1",), of(Action("invented_since")))):
        with pytest.raises(EvidenceRefused, match=r"manager\.files"):
            manager.check_files(bad, accepted)
    assert manager.check_files(of(Action("invented_since")), None) == {}


def test_facts_are_bounded() -> None:
    statement = parsed()
    told = manager.facts(statement, {f"{number:064}": "f" * 500 for number in range(100)})
    assert len(told["manager_files"]) < 16 * 160
