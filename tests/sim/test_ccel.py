"""The simulated firmware's log: the very bytes of TCG's form, and the digests that dstack's log repeats."""

import hashlib
import struct

from ollm.sim import ccel
from ollm.sim.eventlog import Measurement
from ollm.sim.machine import SimulatedMachine

ONE = Measurement(2, 0x4, "separator", bytes(4), bytes(4))


def test_an_event_by_hand() -> None:
    log = ccel.encode([ONE], table_size=0)

    assert log[:32] == struct.pack("<II20xI", 1, 3, 33)
    assert log[32:65] == b"Spec ID Event03\x00" + bytes(4) + b"\x00\x02\x00\x02" + struct.pack("<IHHB", 1, 0xC, 48, 0)
    assert log[65:79] == struct.pack("<IIIH", 3, 0x4, 1, 0xC)
    assert log[79:127] == hashlib.sha384(bytes(4)).digest()
    assert log[127:] == struct.pack("<I", 4) + bytes(4)


def test_the_table_is_filled_to_its_end(machine: SimulatedMachine) -> None:
    assert len(machine.ccel) == ccel.TABLE_SIZE
    assert machine.ccel.endswith(b"\xff" * 1000)


def test_it_tells_what_dstacks_log_tells(machine: SimulatedMachine) -> None:
    for event in machine.events:
        assert (bytes.fromhex(event.digest) in machine.ccel) == (event.imr < 3)
