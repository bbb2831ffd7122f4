"""What the control plane is given holds secrets, and can't print them."""

from typing import Any

from ollm.admin.context import Admin
from ollm.config.load import parse


def test_it_can_not_print_its_pepper() -> None:
    anything: Any = None
    admin = Admin(
        settings=parse(b""), config_digest=anything, store=anything, reports=anything, pepper=b"very secret pepper", clock=anything, levels={}
    )
    assert repr(admin) == "<Admin>"
    assert "secret" not in f"{admin} {admin!r}"
