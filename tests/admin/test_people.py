"""People and what they are in projects. Owners alone make, and unmake, owners and admins."""

import itertools

import pytest
from openai import BadRequestError

from tests.admin.conftest import Plane

_numbers = itertools.count()


def person(plane: Plane, role: str = "member", by: str = "owner") -> str:
    made: str = plane.post("/users", {"email": f"person-{next(_numbers)}@example.com", "role": role}, role=by)["id"]
    return made


def test_people_through_openais_client(plane: Plane) -> None:
    users = plane.client().admin.organization.users
    made = person(plane, "viewer")
    found = users.retrieve(made)
    assert (found.object, found.role, found.email) == ("organization.user", "viewer", found.name)
    assert users.update(made, role="auditor").role == "auditor"
    assert found.email is not None
    assert [each.id for each in users.list(emails=[found.email])] == [made]
    assert users.delete(made).deleted
    assert made not in [each.id for each in users.list(limit=100)]
    assert plane.actions()[:3] == ["user.deleted", "user.updated", "user.added"]
    with pytest.raises(BadRequestError):
        users.update(made, role_id="role_1")


def test_members_of_projects_through_openais_client(plane: Plane, project: str) -> None:
    members = plane.client().admin.organization.projects.users
    made = person(plane)
    added = members.create(project, user_id=made, role="member")
    assert (added.object, added.id, added.role) == ("organization.project.user", made, "member")
    assert members.update(made, project_id=project, role="owner").role == "owner"
    assert members.retrieve(made, project_id=project).email == added.email
    assert [each.id for each in members.list(project)] == [made]
    plane.refused("POST", f"/projects/{project}/users", 400, "change_refused", {"user_id": made, "role": "member"})
    assert members.delete(made, project_id=project).deleted
    assert list(members.list(project)) == []
    assert members.create(project, email=added.email, role="viewer").id == made
    assert plane.actions()[:3] == ["role.assignment.created", "role.assignment.deleted", "role.assignment.updated"]


def test_a_removed_persons_keys_and_memberships_end(plane: Plane, project: str) -> None:
    made = person(plane)
    plane.post(f"/projects/{project}/users", {"user_id": made, "role": "member"})
    key = plane.post(f"/projects/{project}/api_keys", {"name": "x", "owner": made})["id"]
    plane.delete(f"/users/{made}")
    assert plane.get(f"/api_keys/{key}")["status"] == "revoked"
    assert plane.get(f"/projects/{project}/users")["data"] == []
    plane.refused("GET", f"/users/{made}", 404, "not_found")
    plane.refused("DELETE", f"/users/{made}", 404, "not_found")


def test_an_admin_neither_appoints_nor_dismisses_administrators(plane: Plane) -> None:
    owner, member = person(plane, "owner"), person(plane, "member", by="admin")
    plane.refused("POST", "/users", 403, "role_not_allowed", {"email": "new@example.com", "role": "admin"}, role="admin")
    plane.refused("POST", f"/users/{member}", 403, "role_not_allowed", {"role": "owner"}, role="admin")
    plane.refused("POST", f"/users/{owner}", 403, "role_not_allowed", {"role": "member"}, role="admin")
    plane.refused("DELETE", f"/users/{owner}", 403, "role_not_allowed", role="admin")
    assert plane.get(f"/users/{owner}")["role"] == "owner"
    assert plane.post(f"/users/{member}", {"role": "auditor"}, role="admin")["role"] == "auditor"


def test_what_is_not_there(plane: Plane, project: str) -> None:
    plane.refused("POST", f"/projects/{project}/users", 404, "not_found", {"user_id": "user_none", "role": "member"})
    plane.refused("POST", f"/projects/{project}/users", 404, "not_found", {"email": "none@example.com", "role": "member"})
    plane.refused("POST", f"/projects/{project}/users", 404, "not_found", {"role": "member"})
    plane.refused("GET", f"/projects/{project}/users/user_none", 404, "not_found")
    plane.refused("GET", "/projects/proj_none/users", 404, "not_found")
    plane.refused("GET", "/projects/proj_none/service_accounts", 404, "not_found")
    plane.refused("POST", f"/users/{person(plane)}", 400, "invalid_request", {"role": "reader"})


def test_one_person_for_each_name(plane: Plane) -> None:
    made = person(plane)
    email = plane.get(f"/users/{made}")["email"]
    plane.refused("POST", "/users", 400, "change_refused", {"email": email})
