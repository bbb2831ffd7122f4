"""The exported audit log: whatever is changed, taken out, put elsewhere or made anew is seen, and cut-off ends by who remembers a head."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ollm.errors import EvidenceRefused, WireError
from ollm.receipts.audit import STEPS, Chain, Head, Logged, header_line, logged, parse_head, parse_header, parse_line
from ollm.values.audit import AuditEvent, chain_start
from ollm.values.hexes import Hex32

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
INSTALLATION = "4b" * 16


def event(entry: int, **changes: object) -> AuditEvent:
    return AuditEvent(entry=entry, at=1_750_000_000 + entry, actor="local_1000", action="project.updated", target=f"proj_{entry}", changes=changes)


def log(count: int, row_key: bytes = KEY) -> list[Logged]:
    entries: list[Logged] = []
    before = chain_start(INSTALLATION)
    for number in range(1, count + 1):
        entries.append(logged(event(number, name=f"Project {number}"), before, row_key))
        before = entries[-1].digest
    return entries


def verified(entries: list[Logged], *, row_key: bytes | None = KEY, remembered: Head | None = None) -> Head:
    chain = Chain(INSTALLATION, row_key, remembered)
    for entry in entries:
        chain.take(entry)
    return chain.end()


def refused(entries: list[Logged], step: str, *, row_key: bytes | None = KEY, remembered: Head | None = None) -> EvidenceRefused:
    assert step in STEPS
    with pytest.raises(EvidenceRefused) as caught:
        verified(entries, row_key=row_key, remembered=remembered)
    assert caught.value.check == step, caught.value
    return caught.value


def test_a_whole_log_has_its_last_event_as_head() -> None:
    entries = log(5)
    assert verified(entries) == Head(5, entries[4].digest)
    assert verified(entries, row_key=None) == Head(5, entries[4].digest)


def test_an_empty_log_has_the_start_as_head() -> None:
    assert verified([]) == Head(0, chain_start(INSTALLATION))


@pytest.mark.parametrize("at", range(5))
@pytest.mark.parametrize("change", [{"at": 1}, {"actor": "local_0"}, {"target": "proj_x"}, {"changes": {"name": "Other"}}, {"project": "proj_x"}])
def test_a_changed_event(at: int, change: dict[str, object]) -> None:
    entries = log(5)
    entries[at] = msgspec.structs.replace(entries[at], event=msgspec.structs.replace(entries[at].event, **change))
    assert f"event {at + 1}" in str(refused(entries, "audit.digest", row_key=None))


@pytest.mark.parametrize("at", range(4))
def test_a_removed_event(at: int) -> None:
    entries = log(5)
    del entries[at]
    found = refused(entries, "audit.entry", row_key=None)
    assert (found.got, found.want) == (f"event {at + 2}", f"event {at + 1}")


def test_a_removed_event_whose_followers_were_renumbered() -> None:
    entries = log(5)
    del entries[2]
    entries = [msgspec.structs.replace(each, event=msgspec.structs.replace(each.event, entry=at)) for at, each in enumerate(entries, 1)]
    refused(entries, "audit.digest", row_key=None)


def test_events_in_another_order() -> None:
    entries = log(5)
    entries[1], entries[2] = entries[2], entries[1]
    refused(entries, "audit.entry")


def test_events_in_another_order_and_renumbered() -> None:
    entries = log(5)
    entries[1], entries[2] = (
        msgspec.structs.replace(entries[2], event=msgspec.structs.replace(entries[2].event, entry=2)),
        msgspec.structs.replace(entries[1], event=msgspec.structs.replace(entries[1].event, entry=3)),
    )
    refused(entries, "audit.digest")


def test_a_chain_built_anew_without_the_row_key() -> None:
    forged = log(5, OTHER_KEY)
    assert verified(forged, row_key=None).entry == 5  # the chain alone can't tell
    refused(forged, "audit.mac")


def test_another_installations_log() -> None:
    with pytest.raises(EvidenceRefused, match=r"audit\.digest"):
        Chain("00" * 16, None).take(log(1)[0])


def test_an_end_that_was_cut_off_shows_to_who_remembers_it() -> None:
    entries = log(5)
    head = verified(entries)
    assert verified(entries[:3]).entry == 3
    assert "ends with event 3" in str(refused(entries[:3], "audit.head", remembered=head))
    assert verified(entries, remembered=head) == head
    assert verified(log(7), remembered=head).entry == 7  # it has grown since


def test_another_history_than_the_remembered_one() -> None:
    refused(log(5), "audit.head", remembered=Head(3, Hex32("00" * 32)))
    refused([], "audit.head", remembered=Head(0, Hex32("00" * 32)))


def test_lines_are_read_as_they_were_written() -> None:
    assert parse_header(header_line(INSTALLATION)) == INSTALLATION
    for number, entry in enumerate(log(3), 2):
        assert parse_line(entry.line(), number) == entry


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b'"at":', b'"at": ', "canonical"),
        (b'"entry":1', b'"entry":"1"', "another type"),
        (b'"action":"project.updated"', b'"action":"project.blessed"', "action"),
        (b'"project":null,', b"", "other members"),
        (b'"entry":1', b'"entry":1,"extra":1', "other members"),
        (b'"digest":"', b'"digest":"XX', "another type"),
        (b"{", b"[", "canonical"),
        (b"{", b"", "canonical"),
    ],
)
def test_lines_that_are_none(old: bytes, new: bytes, says: str) -> None:
    line = log(1)[0].line()
    assert old in line
    with pytest.raises(EvidenceRefused, match=rf"audit\.format: got line 2: .*{says}"):
        parse_line(line.replace(old, new, 1), 2)


def test_a_line_without_end() -> None:
    with pytest.raises(EvidenceRefused, match="more than 262144 bytes"):
        parse_line(b'"' + b"a" * 262_144 + b'"', 2)


@pytest.mark.parametrize(
    "line", [b"{}", b'{"installation_id":"x","object":"ollm.audit_log","version":1}', header_line("a" * 32).replace(b"1}", b"2}")]
)
def test_headers_that_are_none(line: bytes) -> None:
    with pytest.raises(EvidenceRefused, match=r"audit\.format: got line 1"):
        parse_header(line)


def test_an_event_with_values_that_have_no_canonical_form() -> None:
    entry = Logged(event(1, share=0.5), Hex32("00" * 32), bytes(32))
    refused([entry], "audit.format")


def test_heads_are_read_as_they_are_printed() -> None:
    head = Head(7, Hex32("9f" * 32))
    assert parse_head(str(head)) == head


@pytest.mark.parametrize("text", ["", "7", ":" + "9f" * 32, "7:9f", "-1:" + "9f" * 32, "x:" + "9f" * 32])
def test_heads_that_are_none(text: str) -> None:
    with pytest.raises(WireError):
        parse_head(text)


@given(st.binary(max_size=200))
def test_only_our_own_error_leaves_the_parsers(line: bytes) -> None:
    with pytest.raises(EvidenceRefused, match=r"audit\.format"):
        parse_header(line)
    with pytest.raises(EvidenceRefused, match=r"audit\.format"):
        parse_line(line, 2)
