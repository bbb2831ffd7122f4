"""The search for canaries finds them: a leak is planted in each kind of place, and in each form."""

import base64
import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.system.canaries import FORMS, Canaries, Sink, digests, files_below, forms, of_process, shared_places
from tests.system.processes import until

CODECS: dict[str, Callable[[str], bytes]] = {
    "raw": str.encode,
    "quoted": lambda text: quote(text).encode(),
    "upper case": lambda text: text.upper().encode(),
    "JSON escapes": lambda text: "".join(f"\\u{ord(letter):04X}" for letter in text).encode(),
    "repr of bytes": lambda text: repr(text.encode()).encode(),
    "hex": lambda text: text.encode().hex().upper().encode(),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-32": lambda text: text.encode("utf-32-le"),
    "list of bytes": lambda text: repr(list(text.encode())).encode(),
    "every byte percent-encoded": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
}


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("cut", ["whole", "first 16 characters", "last 16 characters"])
def test_a_mark_is_found_in_every_form_and_by_either_end(codec: str, cut: str) -> None:
    canaries = Canaries()
    text = canaries.mark("prompt")
    text = {"whole": text, "first 16 characters": text[:16], "last 16 characters": text[-16:]}[cut]
    assert canaries.leaks([Sink("file", b"\x00before " + CODECS[codec](text) + b" behind\xff")])


@pytest.mark.parametrize("before", range(6))
@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_a_mark_is_found_in_base64_wherever_it_begins(before: int, encode: Callable[[bytes], bytes]) -> None:
    canaries = Canaries()
    packed = encode(b"x" * before + canaries.mark("image").encode() + b"yz")
    assert canaries.leaks([Sink("file", packed)])


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_searched_for(form: str) -> None:
    canaries = Canaries()
    found = canaries.leaks([Sink("file", forms(canaries.head[:16].encode())[form])])
    assert [leak.form for leak in found] == [f"head, {form}"]


def test_digests_of_bodies_are_found() -> None:
    canaries = Canaries()
    canaries.body(b"a short prompt")
    digest = hashlib.sha256(b"a short prompt")
    for written in (digest.digest(), digest.hexdigest().encode(), base64.b64encode(digest.digest()), digest.hexdigest()[:16].encode()):
        assert canaries.leaks([Sink("file", b"body_hash=" + written)])
    assert len(digests(b"")) == 3


def test_a_secret_is_found() -> None:
    canaries = Canaries()
    canaries.secret("API key", "Kq3ZzP0xxYvW-abcdefgh")
    assert canaries.leaks([Sink("file", b"key Kq3ZzP0xxYvW-abcdefgh")])


def test_nothing_is_found_where_nothing_is() -> None:
    canaries = Canaries()
    canaries.body(b"a short prompt")
    assert canaries.leaks([Sink("file", os.urandom(1_000_000) + Canaries().mark("prompt").encode())]) == []


# Places

LEAKY = """
import os, sys, tempfile
def mark():
    return open(sys.argv[1]).read()
unlinked = tempfile.TemporaryFile(dir=sys.argv[2])
unlinked.write(mark().encode()); unlinked.flush()
anonymous = os.memfd_create("anonymous")
os.write(anonymous, mark().encode())
print("planted", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


@pytest.fixture
def leaky(canaries: Canaries, tmp_path: Path) -> Iterator[int]:
    """A process that leaks into its environment, its command line, and files that have no name (any more)."""
    told = tmp_path / "told"
    told.write_text(canaries.mark("prompt"))
    environment = {**os.environ, "LAST_PROMPT": canaries.mark("prompt")}
    command = [sys.executable, "-c", LEAKY, str(told), str(tmp_path), canaries.mark("prompt")]
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"planted\n"
        yield process.pid
        process.kill()


@pytest.mark.process
def test_leaks_of_a_process_are_found(canaries: Canaries, leaky: int) -> None:
    places = {leak.sink.removeprefix(f"/proc/{leaky}/").split(" ")[0].split("/")[0] for leak in canaries.leaks(of_process(leaky))}
    assert places == {"environ", "cmdline", "fd"}
    open_files = {leak.sink.partition(" ")[2].split(":")[0] for leak in canaries.leaks(of_process(leaky)) if "/fd/" in leak.sink}
    assert any(name.endswith("(deleted)") for name in open_files)
    assert "/memfd" in open_files


def test_leaks_in_a_database_are_found_before_and_after_they_leave_its_log(canaries: Canaries, tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "ollm.db", isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("CREATE TABLE kept (text)")
    database.execute("INSERT INTO kept VALUES (?)", (canaries.mark("prompt"),))
    assert {Path(leak.sink).name for leak in canaries.leaks(files_below(tmp_path))} == {"ollm.db-wal"}
    database.close()
    assert {Path(leak.sink).name for leak in canaries.leaks(files_below(tmp_path))} == {"ollm.db"}


def test_leaks_in_names_and_deep_folders_are_found(canaries: Canaries, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / canaries.mark("name")).touch()
    assert len(canaries.leaks(files_below(tmp_path))) == 2  # by head and by tail


@pytest.mark.parametrize("place", ["/tmp", "/var/tmp", "/dev/shm"])
def test_leaks_in_shared_places_are_found(canaries: Canaries, place: str) -> None:
    if not Path(place).is_dir():
        pytest.skip(f"this machine has no {place}")
    began = time.time() - 1
    path = Path(place) / f"ollm-test-{os.getpid()}-{canaries.head}"
    try:
        path.write_text(canaries.mark("prompt"))
        until(lambda: str(path) in {leak.sink for leak in canaries.leaks(shared_places(began))}, "the leak is found", seconds=5)
    finally:
        path.unlink(missing_ok=True)
