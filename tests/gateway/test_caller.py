"""A caller says what its standing says, and never its secret."""

from ollm.gateway.caller import Caller
from ollm.values.level import Level
from ollm.values.secret import Sealed
from tests.callers import standing


def test_a_caller_is_its_standing() -> None:
    found = Caller(standing("a" * 16, Level.ZDR), Sealed(b"secret of the key"))
    assert (found.key_id, found.floor) == ("a" * 16, Level.ZDR)
    assert "secret of the key" not in repr(found)
