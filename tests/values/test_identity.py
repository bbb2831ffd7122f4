"""Who stands behind a request."""

from ollm.values.identity import Role


def test_roles_are_the_words_that_rows_and_the_admin_api_use() -> None:
    assert [str(role) for role in Role] == ["owner", "admin", "member", "viewer", "auditor"]
