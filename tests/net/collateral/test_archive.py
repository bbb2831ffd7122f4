"""The archive: the same bytes for the same copies; damage, strangers and paths are refused; newer wins on the shelf."""

import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ollm.net.collateral.archive
from ollm.errors import StoreError
from ollm.net.collateral.archive import MANIFEST, bring, pack, unpack
from ollm.net.collateral.artefact import Artefact, Key, artefact
from ollm.net.collateral.shelf import Shelf
from tests.net.collateral.vendor import DAY, NOW, crl, crl_key

COPIES = [artefact(crl_key(f"CA {number}"), crl(number=number + 1), {}, NOW) for number in range(3)]
ARCHIVE = pack(COPIES)


def taken_apart() -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(ARCHIVE)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def put_together(members: dict[str, bytes], **traits: Any) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            if name != MANIFEST:
                for trait, value in traits.items():
                    setattr(member, trait, value)
            archive.addfile(member, io.BytesIO(data))
    return output.getvalue()


def with_manifest(change: Any) -> bytes:
    members = taken_apart()
    manifest = json.loads(members[MANIFEST])
    change(manifest)
    return put_together({**members, MANIFEST: json.dumps(manifest).encode()})


def test_copies_come_out_as_they_went_in() -> None:
    assert sorted(unpack(ARCHIVE, NOW), key=str) == sorted(COPIES, key=str)


def test_the_same_copies_make_the_same_bytes() -> None:
    assert pack(reversed(COPIES)) == ARCHIVE
    with tarfile.open(fileobj=io.BytesIO(ARCHIVE)) as archive:
        members = archive.getmembers()
    assert [member.name for member in members] == [MANIFEST, *sorted(member.name for member in members[1:])]
    assert {(member.mtime, member.uid, member.gid, member.uname, member.mode) for member in members} == {(0, 0, 0, "", 0o644)}


def test_the_manifest_says_what_is_in_it_and_until_when() -> None:
    manifest = json.loads(taken_apart()[MANIFEST])
    assert {line["subject"] for line in manifest["artefacts"]} == {"CA 0", "CA 1", "CA 2"}
    assert {line["hard_end"] for line in manifest["artefacts"]} == {NOW + 30 * DAY}


def test_what_nobody_signed_is_not_carried() -> None:
    keys = artefact(Key("nras-keys", "", "https://nras.example/.well-known/jwks.json"), b'{"keys": []}', {}, NOW)
    assert pack([*COPIES, keys]) == ARCHIVE


MEMBERS = taken_apart()
ANY = next(name for name in MEMBERS if name != MANIFEST)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no archive"),
        (b"garbage" * 1000, "no archive"),
        (ARCHIVE[:1000], "no archive"),
        (put_together({name: data for name, data in MEMBERS.items() if name != MANIFEST}), "no manifest"),
        (put_together({**MEMBERS, MANIFEST: b"["}), "no manifest"),
        (with_manifest(lambda manifest: manifest.update(format="ollm-collateral-archive/2")), "unknown format"),
        (with_manifest(lambda manifest: manifest["artefacts"].pop()), "1 files that its manifest doesn't name"),
        (with_manifest(lambda manifest: manifest["artefacts"][0].update(sha256="00" * 32)), "damaged"),
        (with_manifest(lambda manifest: manifest["artefacts"][0].update(bytes=5)), "damaged"),
        (with_manifest(lambda manifest: manifest["artefacts"][0].update(file="../../etc/passwd")), "damaged"),
        (with_manifest(lambda manifest: manifest["artefacts"].append(manifest["artefacts"][0])), "damaged"),
        (put_together({**MEMBERS, ANY: MEMBERS[ANY] + b" "}), "damaged"),
        (put_together({**MEMBERS, "../../x": b"x"}), "another name"),
        (put_together({**MEMBERS, "/etc/x": b"x"}), "another name"),
        (put_together({**MEMBERS, "artefacts/x.json": b"x"}), "another name"),
        (put_together(MEMBERS, type=tarfile.SYMTYPE, linkname="/etc/passwd"), "doesn't belong"),
        (put_together(MEMBERS, type=tarfile.LNKTYPE, linkname="MANIFEST.json"), "doesn't belong"),
        (put_together(MEMBERS, type=tarfile.CHRTYPE), "doesn't belong"),
        (put_together(MEMBERS, type=tarfile.DIRTYPE), "doesn't belong"),
    ],
)
def test_what_export_would_not_have_written_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(StoreError, match=why):
        unpack(data, NOW)


def test_a_record_of_a_kind_that_must_not_be_carried_is_refused() -> None:
    key = Key("nras-keys", "", "https://nras.example/.well-known/jwks.json")
    record = json.dumps({**json.loads(MEMBERS[ANY]), "kind": key.kind, "subject": "", "identity": key.identity}).encode()
    name = f"artefacts/{key.digest}.json"
    line = {"file": name, "sha256": hashlib.sha256(record).hexdigest(), "bytes": len(record)}
    manifest = json.dumps({"format": "ollm-collateral-archive/1", "artefacts": [line]}).encode()
    with pytest.raises(StoreError, match="unknown kind"):
        unpack(put_together({MANIFEST: manifest, name: record}), NOW)


def test_one_name_twice_is_refused() -> None:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo(MANIFEST))
    with pytest.raises(StoreError, match="doesn't belong"):
        unpack(output.getvalue(), NOW)


def test_an_archive_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.net.collateral.archive, "MAX_ARCHIVE", 100)
    with pytest.raises(StoreError, match="larger than"):
        unpack(ARCHIVE, NOW)


def test_an_archive_of_too_many_files_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ollm.net.collateral.archive, "_MAX_MEMBERS", 2)
    with pytest.raises(StoreError, match="doesn't belong"):
        unpack(ARCHIVE, NOW)


@given(st.data())
def test_a_changed_archive_is_read_or_refused_and_nothing_else(data: st.DataObject) -> None:
    body = bytearray(ARCHIVE)
    for _ in range(data.draw(st.integers(1, 5))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = unpack(bytes(body), NOW)
    except StoreError:
        return
    assert all(copy in COPIES for copy in found)


# --- onto a shelf


def outcomes(shelf: Shelf, *copies: Artefact, now: int = NOW) -> list[str]:
    return [outcome for _, outcome in bring(shelf, copies, now)]


def test_newer_wins_on_the_shelf(tmp_path: Path) -> None:
    shelf, key = Shelf(tmp_path), crl_key()
    first, newer = artefact(key, crl(number=5), {}, NOW), artefact(key, crl(number=6), {}, NOW)
    assert outcomes(shelf, first) == ["added"]
    assert outcomes(shelf, first) == ["unchanged"]
    assert outcomes(shelf, newer) == ["replaced"]
    assert outcomes(shelf, first) == ["older"]
    assert shelf.read(key, NOW) == newer


def test_of_two_that_have_no_order_the_one_fetched_later_wins(tmp_path: Path) -> None:
    shelf, key = Shelf(tmp_path), crl_key()
    later, earlier = artefact(key, crl(number=5), {}, NOW), artefact(key, crl(number=5, end=NOW + 31 * DAY), {}, NOW - 10)
    assert outcomes(shelf, later) == ["added"]
    assert outcomes(shelf, earlier) == ["older"]


def test_what_has_ended_is_not_put_there(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "none")
    assert outcomes(shelf, *COPIES, now=NOW + 30 * DAY) == ["ended"] * 3
    assert not (tmp_path / "none").exists()


def test_an_ended_copy_on_the_shelf_is_in_nobodys_way(tmp_path: Path) -> None:
    shelf, key = Shelf(tmp_path), crl_key()
    shelf.write(artefact(key, crl(number=9, end=NOW + 10), {}, NOW), NOW)
    assert outcomes(shelf, artefact(key, crl(number=4), {}, NOW), now=NOW + 10) == ["added"]
