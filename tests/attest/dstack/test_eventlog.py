"""The event log: nothing in it is believed before it replays to the registers, and names count only before system-ready."""

import hashlib
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.attest.dstack import eventlog
from ollm.attest.dstack.eventlog import MAX_EVENTS, MAX_LOG, RUNTIME_EVENT, RuntimeEvent, boot_payload, boot_payloads, parse, replay
from ollm.attest.tdx.layout import TdReport, parse_quote
from ollm.errors import EvidenceRefused
from ollm.sim.eventlog import boot_measurements, encode, runtime_event
from ollm.sim.machine import SimulatedMachine
from tests.attest.service import refused_check


@pytest.fixture(scope="module")
def report(machine: SimulatedMachine) -> TdReport:
    return parse_quote(machine.quote(bytes(64))).td_report


@pytest.fixture
def log(machine: SimulatedMachine) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(machine.event_log_json)
    return events


def at(log: list[dict[str, Any]], name: str) -> int:
    return next(index for index, event in enumerate(log) if event["event"] == name)


def refused(check: str, match: str | None = None) -> pytest.RaisesExc[EvidenceRefused]:
    return pytest.raises(EvidenceRefused, match=match, check=lambda error: error.check == check)


def replayed(log: object, report: TdReport) -> tuple[RuntimeEvent, ...]:
    return replay(parse(json.dumps(log)), report)


def test_a_genuine_log_replays_and_tells_its_runtime_events(machine: SimulatedMachine, log: list[dict[str, Any]], report: TdReport) -> None:
    runtime = replayed(log, report)

    assert [event.name for event in runtime] == [event["event"] for event in log if event["imr"] == 3]
    assert boot_payload(runtime, "compose-hash", "compose.hash") == machine.compose_hash


def test_digests_that_newer_agents_leave_empty_are_computed(log: list[dict[str, Any]], report: TdReport) -> None:
    stripped = [{**event, "digest": "" if event["imr"] == 3 else event["digest"]} for event in log]

    assert replayed(stripped, report) == replayed(log, report)


def test_payloads_below_rtmr3_may_be_left_out_and_mostly_prove_nothing(
    machine: SimulatedMachine, log: list[dict[str, Any]], report: TdReport
) -> None:
    told = {each.name: each.told.hex() for each in boot_measurements(machine.build)}

    assert replayed([{**event, "event_payload": ""} if event["imr"] < 3 else event for event in log], report)
    assert replayed([{**event, "event_payload": told[event["event"]]} if event["imr"] < 3 else event for event in log], report)
    log[at(log, "kernel")]["event_payload"] = "ab"
    assert replayed(log, report)


@pytest.mark.parametrize("name", ["SecureBoot", "separator", "BootOrder", "Exit Boot Services Invocation"])
def test_a_payload_that_was_measured_as_it_stands_is_what_was_measured(log: list[dict[str, Any]], report: TdReport, name: str) -> None:
    log[at(log, name)]["event_payload"] = "ab"

    with refused("event_log.replay", "with the digest of another payload"):
        replayed(log, report)


# Version 2 of a runtime event's digest


def version_2(name: str = "app:note", payload: str = "ab", **members: Any) -> dict[str, Any]:
    text = json.dumps({"name": name, "payload": payload, "type": RUNTIME_EVENT}, separators=(",", ":"), ensure_ascii=False)
    return {
        "imr": 3,
        "event_type": RUNTIME_EVENT,
        "digest": hashlib.sha384(text.encode()).hexdigest(),
        "event": name,
        "event_payload": payload,
        "version": 2,
        "preimage": text.encode().hex(),
        **members,
    }


def with_rtmr3(report: TdReport, digest: str) -> TdReport:
    """`report` after one more event."""
    return msgspec.structs.replace(report, rtmr3=hashlib.sha384(report.rtmr3 + bytes.fromhex(digest)).digest())


@pytest.mark.parametrize("name", ["note", "a:colon", 'a "quote"\n\u0001\x7f', "ключ"])
def test_the_second_digest_is_over_a_document_and_needs_no_delimiter(log: list[dict[str, Any]], report: TdReport, name: str) -> None:
    event = version_2(name)
    longer = with_rtmr3(report, event["digest"])

    for digest in (event["digest"], ""):
        assert replayed([*log, event | {"digest": digest}], longer)[-1] == RuntimeEvent(name, b"\xab")


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"event": "other"}, "preimage of another"),
        ({"event_payload": "cd"}, "preimage of another"),
        ({"preimage": "ab"}, "preimage of another"),
        ({"preimage": version_2()["preimage"].upper()}, "preimage of another"),
        ({"digest": "ab" * 48}, "digest of another"),
    ],
)
def test_an_altered_event_of_version_2_does_not_replay(log: list[dict[str, Any]], report: TdReport, members: dict[str, Any], match: str) -> None:
    with refused("event_log.replay", match):
        replayed([*log, version_2() | members], with_rtmr3(report, version_2()["digest"]))


def test_an_event_of_one_version_is_none_of_the_other(log: list[dict[str, Any]], report: TdReport) -> None:
    first = {name: member for name, member in version_2("note").items() if name not in ("version", "preimage")}

    with refused("event_log.replay", "digest of another"):
        replayed([*log, first], with_rtmr3(report, version_2("note")["digest"]))


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"digest": "ab" * 48}, "digest of another"),
        ({"event_payload": "ab" * 20}, "digest of another"),
        ({"event": "key-provider"}, "digest of another"),
        ({"event_payload": "ab" * 20, "digest": ""}, "RTMR3"),
        ({"event_type": 0x80000007}, "type 0x80000007 in RTMR3"),
        ({"imr": 2}, "type 0x8000001 in RTMR2"),
    ],
)
def test_an_altered_runtime_event_does_not_replay(log: list[dict[str, Any]], report: TdReport, members: dict[str, Any], match: str) -> None:
    log[at(log, "app-id")].update(members)

    with refused("event_log.replay", match):
        replayed(log, report)


@pytest.mark.parametrize("change", ["drop", "double", "swap", "digest"])
def test_an_altered_log_does_not_replay(log: list[dict[str, Any]], report: TdReport, change: str) -> None:
    kernel = at(log, "kernel-command-line")
    if change == "drop":
        del log[kernel]
    elif change == "double":
        log.insert(kernel, log[kernel])
    elif change == "swap":
        log[kernel], log[kernel + 1] = log[kernel + 1], log[kernel]
    else:
        log[kernel]["digest"] = "ab" * 48

    with refused("event_log.replay", "RTMR2"):
        replayed(log, report)


@pytest.mark.parametrize(
    ("members", "match"),
    [
        ({"imr": 4}, "register 4"),
        ({"imr": -1}, "register -1"),
        ({"event_type": 2**32}, "type 4294967296"),
        ({"event_type": -1}, "type -1"),
        ({"event_type": "134217729"}, "no event log"),
        ({"digest": "AB" * 48}, "malformed digest"),
        ({"digest": "ab" * 32}, "malformed digest"),
        ({"event_payload": "a"}, "malformed payload"),
        ({"event_payload": "AB"}, "malformed payload"),
        ({"event_payload": "ab ab"}, "malformed payload"),
        ({"event": "compose-hash:x"}, "colon in its name"),
        ({"event": "\ud800"}, "no JSON"),
        ({"version": 2}, "version 2 and its preimage"),
        ({"version": 3, "preimage": ""}, "version 3"),
        ({"preimage": ""}, "version 1 and its preimage"),
        ({"imr": 2, "version": 2, "preimage": ""}, "version 2"),
        ({"comment": ""}, "no event log"),
        ({"digest": None}, "no event log"),
    ],
)
def test_a_malformed_event_is_refused(log: list[dict[str, Any]], members: dict[str, Any], match: str) -> None:
    log[at(log, "app-id")].update(members)

    with refused("event_log.format", match):
        parse(json.dumps(log))


def test_payloads_are_hex_everywhere(log: list[dict[str, Any]]) -> None:
    log[0]["event_payload"] = "no hex"

    with refused("event_log.format", "event 0 with a malformed payload"):
        parse(json.dumps(log))


def test_an_event_of_firmware_or_kernel_needs_its_digest(log: list[dict[str, Any]]) -> None:
    log[0]["digest"] = ""

    with refused("event_log.format", "without a digest"):
        parse(json.dumps(log))


@pytest.mark.parametrize("text", ["", "{}", "[1]", "null", '[{"imr":0,"imr":0}]', "[" * 100_000])
def test_what_is_no_log_is_refused(text: str) -> None:
    with refused("event_log.format"):
        parse(text)


def test_logs_without_end_are_refused(log: list[dict[str, Any]]) -> None:
    with refused("event_log.format", f"at most {MAX_LOG}"):
        parse(" " * (MAX_LOG + 1))
    with refused("event_log.format", f"at most {MAX_EVENTS}"):
        parse(json.dumps([dict(log[0], event_payload="")] * (MAX_EVENTS + 1)))


def test_the_largest_log_and_the_types_at_either_end_are_read(log: list[dict[str, Any]]) -> None:
    events = [dict(log[0], event_payload="")] * MAX_EVENTS

    assert len(parse(json.dumps(events, separators=(",", ":")))) == MAX_EVENTS
    assert [event.event_type for event in parse(json.dumps([dict(log[0], event_type=kind) for kind in (0, 2**32 - 1)]))] == [0, 2**32 - 1]


# Boot events by name


def _runtime(*names: str) -> tuple[RuntimeEvent, ...]:
    return tuple(RuntimeEvent(name, name.encode()) for name in names)


def test_a_boot_event_stands_once_and_before_system_ready() -> None:
    assert boot_payload(_runtime("app-id", "compose-hash", "system-ready", "mine"), "compose-hash", "compose.hash") == b"compose-hash"


@pytest.mark.parametrize(
    ("names", "match"),
    [
        ((), "got 0 compose-hash events"),
        (("system-ready",), "got 0 compose-hash events"),
        (("compose-hash", "compose-hash", "system-ready"), "got 2 compose-hash events"),
        (("compose-hash", "system-ready", "compose-hash"), "got 2 compose-hash events"),
        (("compose-hash",), "that no system-ready follows"),
        (("system-ready", "compose-hash"), "that no system-ready follows"),
        (("system-ready", "compose-hash", "system-ready"), "after system-ready"),
    ],
)
def test_a_name_that_applications_could_have_forged_is_refused(names: tuple[str, ...], match: str) -> None:
    with refused("compose.hash", match):
        boot_payload(_runtime(*names), "compose-hash", "compose.hash")


def test_a_name_that_is_used_more_than_once_counts_until_the_system_was_ready() -> None:
    names = ("init-script-hash", "app-id", "init-script-hash", "system-ready", "init-script-hash")

    assert boot_payloads(_runtime(*names), "init-script-hash") == (b"init-script-hash", b"init-script-hash")
    assert boot_payloads(_runtime(*names), "os-image-hash") == ()
    assert boot_payloads(_runtime("init-script-hash"), "init-script-hash") == ()


# Fuzz


def test_the_digest_is_dstacks(machine: SimulatedMachine) -> None:
    """The simulator computes it on its own; both must agree with what real machines did (recorded evidence)."""
    event = runtime_event("name", b"payload")

    assert eventlog._runtime_digest(parse(encode([event]))[0], 0).hex() == event.digest
    assert event.event_type == RUNTIME_EVENT


@given(st.text(max_size=200))
def test_only_our_refusal_escapes_for_any_text(text: str) -> None:
    assert refused_check(lambda: parse(text)) in (None, "event_log.format")


_JSON: st.SearchStrategy[object] = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9) | st.just([])
_EVENTS = st.lists(
    st.fixed_dictionaries(
        {
            "imr": st.integers(-1, 4) | _JSON,
            "event_type": st.sampled_from([RUNTIME_EVENT, 4]) | _JSON,
            "digest": st.sampled_from(["", "ab" * 48]) | _JSON,
            "event": st.sampled_from(["compose-hash", "system-ready", "\ud800"]) | _JSON,
            "event_payload": st.sampled_from(["", "ab"]) | _JSON,
        }
    ),
    max_size=6,
)
_EMPTY = TdReport(*([bytes(16)] + [bytes(48)] * 2 + [bytes(8)] * 3 + [bytes(48)] * 8 + [bytes(64)]))


@given(_EVENTS)
def test_only_our_refusal_escapes_for_any_events(events: list[dict[str, Any]]) -> None:
    check = refused_check(lambda: boot_payload(replayed(events, _EMPTY), "compose-hash", "compose.hash"))

    assert check in ("event_log.format", "event_log.replay", "compose.hash")


def test_an_empty_log_is_the_log_of_empty_registers() -> None:
    assert replay((), _EMPTY) == ()
