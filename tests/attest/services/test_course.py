"""The way through a service's appraisal: its checks in their order, and no acceptance but at the end of it."""

from collections.abc import Callable

import msgspec
import pytest

from ollm.attest.evidence import Expected, MachineCollateral, MachineEvidence, TdxEvidence
from ollm.attest.services.course import Course
from ollm.attest.services.evidence import Bound, Demand
from ollm.attest.services.question import Question, Verdict
from ollm.errors import EvidenceRefused
from ollm.sim.machine import SimulatedMachine
from ollm.values.checks import Appraisal, Outcome
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy
from tests.attest.service import evidence, failing, service_evidence
from tests.sim.hardware import NOW

STATEMENT = bytes(range(64))
BOUND = Bound(spkis=())


@pytest.fixture
def course(machine: SimulatedMachine, policy: AttestationPolicy) -> Course:
    question = Question(service_evidence(evidence(machine)), (), (), policy, NOW, Demand(shapes=("dstack",)))
    return Course(question, before=("report.format", "report.version"), after=("channel.spki",))


def machine_of(hardware: SimulatedMachine, statement: bytes = STATEMENT) -> MachineEvidence:
    log, compose, config = hardware.event_log_json, hardware.app_compose, hardware.vm_config
    return MachineEvidence(cpu=TdxEvidence(quote=hardware.quote(statement), event_log=log, app_compose=compose, vm_config=config))


def judge(course: Course, hardware: SimulatedMachine, statement: bytes = STATEMENT, **options: object) -> Appraisal:
    collateral = MachineCollateral(cpu=hardware.collateral())
    return course.machine(machine_of(hardware), collateral, Expected(report_data=statement), **options)  # type: ignore[arg-type]


def refuse(check: str) -> None:
    raise EvidenceRefused(check, "this", "that")


def outcomes(verdict: Verdict) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in verdict[0].checks}


def walked(course: Course, hardware: SimulatedMachine, *, until_the_end: bool = True) -> None:
    course.before.passed("report.format", "report.version")
    found = judge(course, hardware)
    course.after.passed("channel.spki")
    if until_the_end:
        course.accept(BOUND, found.claims)


def test_a_way_that_was_gone_to_its_end_is_an_acceptance(course: Course, machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    with course:
        walked(course, machine)
    appraisal, bound = course.verdict
    assert bound is BOUND
    assert (appraisal.accepted, appraisal.policy, appraisal.level) == (True, policy.name, Level.SIMULATED)
    names = [check.name for check in appraisal.checks]
    assert names[:3] == ["report.format", "report.version", "policy.level"]
    assert names[-2:] == ["binding.statement", "channel.spki"]
    assert appraisal.valid_until > NOW
    assert appraisal.claims.tee_attested.status == "refuted", "simulated hardware says so"


def test_it_ends_with_the_first_thing_that_it_rests_on(course: Course, machine: SimulatedMachine) -> None:
    with course:
        course.before.passed("report.format", "report.version")
        found = judge(course, machine)
        course.after.passed("channel.spki")
        course.accept(BOUND, found.claims, valid_until=NOW + 5, warnings=("careful",))
    assert (course.verdict[0].valid_until, course.verdict[0].warnings[-1]) == (NOW + 5, "careful")


def test_a_later_end_than_the_machines_own_does_not_prolong_it(course: Course, machine: SimulatedMachine) -> None:
    with course:
        course.before.passed("report.format", "report.version")
        found = judge(course, machine)
        course.after.passed("channel.spki")
        course.accept(BOUND, found.claims, valid_until=NOW + 10**9)
    assert course.verdict[0].valid_until == found.valid_until


@pytest.mark.parametrize(
    ("passed", "check"),
    [((), "report.format"), (("report.format",), "report.version"), (("report.format",), "report.shape")],
)
def test_a_refusal_before_any_machine(course: Course, machine: SimulatedMachine, passed: tuple[str, ...], check: str) -> None:
    with course:
        course.before.passed(*passed)
        refuse(check)
        raise AssertionError
    verdict = course.verdict
    assert (failing(verdict[0]), verdict[1]) == (check, None)
    found = outcomes(verdict)
    assert [name for name in found if found[name] is Outcome.PASSED] == list(passed)
    assert found["channel.spki"] is Outcome.NOT_REACHED


def test_a_machine_that_is_refused_ends_the_way(course: Course, machine: SimulatedMachine) -> None:
    with course:
        course.before.passed("report.format", "report.version")
        judge(course, machine, bytes(64))
        raise AssertionError
    verdict = course.verdict
    assert (failing(verdict[0]), verdict[1]) == ("binding.statement", None)
    assert outcomes(verdict)["report.version"] is Outcome.PASSED
    assert outcomes(verdict)["channel.spki"] is Outcome.NOT_REACHED


def test_a_refusal_behind_the_machines(course: Course, machine: SimulatedMachine) -> None:
    with course:
        course.before.passed("report.format", "report.version")
        judge(course, machine)
        refuse("channel.spki")
    verdict = course.verdict
    assert (failing(verdict[0]), verdict[1]) == ("channel.spki", None)
    assert [name for name, outcome in outcomes(verdict).items() if outcome is not Outcome.PASSED] == ["channel.spki"]


def test_several_machines_have_names(course: Course, machine: SimulatedMachine) -> None:
    with course:
        course.before.passed("report.format", "report.version")
        judge(course, machine, target="gateway")
        judge(course, machine, bytes(64), target="model")
    appraisal = course.verdict[0]
    assert appraisal.failure is not None
    assert (appraisal.failure.name, appraisal.failure.target) == ("binding.statement", "model")
    assert {check.target for check in appraisal.checks} == {"", "gateway", "model"}
    assert all(check.outcome is Outcome.PASSED for check in appraisal.checks if check.target == "gateway")


def test_a_machine_may_be_judged_under_another_policy(course: Course, machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    strict = msgspec.structs.replace(policy, tdx=msgspec.structs.replace(policy.tdx, platforms=("00" * 16,)))
    with course:
        course.before.passed("report.format", "report.version")
        judge(course, machine, target="model")
        judge(course, machine, target="gateway", policy=strict)
    appraisal = course.verdict[0]
    assert appraisal.failure is not None
    assert (appraisal.failure.name, appraisal.failure.target, appraisal.policy) == ("platform.listed", "gateway", policy.name)


@pytest.mark.parametrize(
    ("way", "check"),
    [
        (lambda course, machine: course.after.passed("channel.spki"), "report.format"),
        (lambda course, machine: course.before.passed("report.format", "report.version"), "channel.spki"),
    ],
)
def test_a_check_that_was_forgotten_is_a_refusal(
    course: Course, machine: SimulatedMachine, way: Callable[[Course, SimulatedMachine], None], check: str
) -> None:
    with course:
        way(course, machine)
        found = judge(course, machine)
        course.accept(BOUND, found.claims)
    appraisal, bound = course.verdict
    assert (failing(appraisal), bound) == (check, None)


def test_a_service_without_a_machine_is_refused(course: Course, machine: SimulatedMachine, policy: AttestationPolicy) -> None:
    claims = Appraisal(policy.name, policy.level, ()).claims
    with course:
        course.before.passed("report.format", "report.version")
        course.after.passed("channel.spki")
        course.accept(BOUND, claims, valid_until=NOW + 60)
    appraisal, bound = course.verdict
    assert (failing(appraisal), bound) == ("machine.technology", None)


def test_a_way_that_was_left_has_no_verdict(course: Course, machine: SimulatedMachine) -> None:
    with course:
        walked(course, machine, until_the_end=False)
    with pytest.raises(RuntimeError):
        course.verdict  # noqa: B018 - reading it raises


def test_a_defect_of_ours_is_no_verdict(course: Course) -> None:
    with pytest.raises(ZeroDivisionError), course:
        raise ZeroDivisionError
    with pytest.raises(RuntimeError):
        course.verdict  # noqa: B018 - reading it raises
