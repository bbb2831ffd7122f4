"""The event log replays to the registers that are quoted."""

import hashlib

import msgspec

from ollm.sim import eventlog
from ollm.sim.machine import SimulatedMachine


def extended(events: list[dict[str, object]], imr: int) -> bytes:
    """Register `imr` by the rule itself, from the JSON alone."""
    register = bytes(48)
    for event in events:
        if event["imr"] == imr:
            register = hashlib.sha384(register + bytes.fromhex(str(event["digest"]))).digest()
    return register


def test_the_log_replays_to_all_four_registers(machine: SimulatedMachine) -> None:
    events = msgspec.json.decode(machine.event_log_json)
    report = machine.td_report
    assert [extended(events, imr) for imr in range(4)] == [report.rtmr0, report.rtmr1, report.rtmr2, report.rtmr3]
    assert len({report.rtmr0, report.rtmr1, report.rtmr2, report.rtmr3}) == 4


def test_the_digest_of_a_runtime_event_follows_from_its_members(machine: SimulatedMachine) -> None:
    runtime = [event for event in msgspec.json.decode(machine.event_log_json) if event["imr"] == 3]
    for event in runtime:
        assert event["event_type"] == 0x08000001
        preimage = b"\x01\x00\x00\x08:" + event["event"].encode() + b":" + bytes.fromhex(event["event_payload"])
        assert event["digest"] == hashlib.sha384(preimage).hexdigest()


def test_the_guest_measures_its_application_in_dstacks_order(machine: SimulatedMachine) -> None:
    runtime = {event.event: event.event_payload for event in machine.events if event.imr == 3}
    assert list(runtime) == ["system-preparing", "app-id", "compose-hash", "instance-id", "boot-mr-done", "key-provider", "system-ready"]
    assert runtime["compose-hash"] == hashlib.sha256(machine.app_compose.encode()).hexdigest()
    assert runtime["app-id"] == machine.app_id.hex()
    assert runtime["instance-id"] == machine.instance_id.hex()
    assert msgspec.json.decode(bytes.fromhex(runtime["key-provider"])) == {"name": "none", "id": ""}


def test_machines_of_one_build_boot_alike_and_of_another_differently() -> None:
    assert eventlog.boot_events("a") == eventlog.boot_events("a")
    assert eventlog.replay(eventlog.boot_events("a"))[:3] != eventlog.replay(eventlog.boot_events("b"))[:3]


def test_what_the_firmware_says_to_itself_has_its_well_known_digest() -> None:
    (event,) = (event for event in eventlog.boot_events("any") if event.event == "Exit Boot Services Invocation")
    assert event.digest == hashlib.sha384(b"Exit Boot Services Invocation").hexdigest()
