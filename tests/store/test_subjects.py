"""Rows of what stands above a key, and their MACs."""

import msgspec
import pytest

from ollm.store.subjects import authenticated, columns_of, is_authentic, row_mac, subject_of
from ollm.values.identity import Membership, Organisation, Project, Role, ServiceAccount, User
from ollm.values.terms import NO_TERMS, Limit, Terms
from tests.store.making import ROW_KEY

TERMS = Terms(models=("small",), limits=(Limit(requests_per_minute=3),))
SUBJECTS = [
    Organisation("org_a", "A", NO_TERMS, 1, None, b""),
    Project("proj_a", "org_a", "A", TERMS, 1, None, b""),
    ServiceAccount("svc_a", "proj_a", "A", 1, None, b""),
    User("user_a", "org_a", "a@example.com", Role.VIEWER, 1, None, b""),
    Membership("proj_a", "user_a", Role.MEMBER, 1, b""),
]


def another(value: object) -> object:
    """A value of the same kind that is another one."""
    return b"x" * 32 if isinstance(value, bytes) else Terms(max_request_micro=0) if isinstance(value, Terms) else "x" if isinstance(value, str) else 7


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: type(subject).__name__)
def test_a_row_holds_the_whole_of_it(subject: Organisation) -> None:
    subject = authenticated(subject, ROW_KEY)
    assert subject_of(type(subject), tuple(columns_of(subject).values())) == subject
    assert is_authentic(subject, ROW_KEY)
    assert not is_authentic(subject, bytes(32))


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: type(subject).__name__)
def test_every_column_is_covered(subject: Organisation) -> None:
    subject = authenticated(subject, ROW_KEY)
    for name in subject.__struct_fields__:
        value = getattr(subject, name)
        other = (
            b"x" * 32 if name == "row_mac" else Terms(max_request_micro=0) if isinstance(value, Terms) else 7 if not isinstance(value, str) else "x"
        )
        assert not is_authentic(msgspec.structs.replace(subject, **{name: other}), ROW_KEY), name


def test_a_row_of_one_table_is_none_of_another() -> None:
    organisation, account = Organisation("a", "b", NO_TERMS, 1, None, b""), ServiceAccount("a", "b", "{}", 1, None, b"")
    assert list(columns_of(organisation).values()) == list(columns_of(account).values())
    assert row_mac(organisation, ROW_KEY) != row_mac(account, ROW_KEY)


@pytest.mark.parametrize("text", ["", "[]", '{"surprise":1}', '{"models":["dear model"]}'])
def test_terms_that_are_none_make_a_row_that_is_not_authentic(text: str) -> None:
    subject = authenticated(Project("proj_a", "org_a", "A", TERMS, 1, None, b""), ROW_KEY)
    row = columns_of(subject) | {"terms": text}
    assert not is_authentic(subject_of(Project, tuple(row.values())), ROW_KEY)
