"""A shelf in memory gives what an archive holds, and takes nothing."""

import msgspec

from ollm.net.collateral.artefact import Key, artefact
from ollm.net.collateral.carried import Carried
from tests.net.collateral.vendor import DAY, NOW, crl

KEY = Key("amd-crl", "Genoa", "https://kds.example/crl")


def test_it_gives_what_it_was_made_of_until_its_end() -> None:
    copy = artefact(KEY, crl(end=NOW + DAY), {}, NOW)
    shelf = Carried([copy])

    assert shelf.read(KEY, NOW) == shelf.read(KEY, NOW + DAY - 1) == copy
    assert shelf.read(KEY, NOW + DAY) is None
    assert shelf.read(msgspec.structs.replace(KEY, identity="https://other.example/crl"), NOW) is None


def test_nothing_is_written() -> None:
    shelf = Carried([])

    shelf.write(artefact(KEY, crl(), {}, NOW), NOW)

    assert shelf.read(KEY, NOW) is None
