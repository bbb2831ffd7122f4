"""Keys through the admin API: what they may do, who may touch them, and that their text is shown once."""

import time

import pytest
from openai import NotFoundError

from ollm.store.keys import authenticate
from tests.admin.conftest import Plane


def key_of(plane: Plane, project: str, **body: object) -> dict[str, object]:
    made: dict[str, object] = plane.post(f"/projects/{project}/api_keys", {"name": "app", **body})
    return made


def status(plane: Plane, key: object) -> str:
    found: str = plane.get(f"/api_keys/{key}")["status"]
    return found


def test_a_projects_keys_through_openais_client(plane: Plane, project: str) -> None:
    made = key_of(plane, project)
    keys = plane.client().admin.organization.projects.api_keys
    (listed,) = list(keys.list(project))
    assert (listed.id, listed.name, listed.object, listed.last_used_at) == (made["id"], "app", "organization.project.api_key", None)
    assert listed.redacted_value == f"sk-ollm-{made['id']}-***"
    assert listed.owner_project_access == "active"
    assert keys.retrieve(str(made["id"]), project_id=project).id == made["id"]
    updated = keys.update(str(made["id"]), project_id=project, expires_in_seconds=3600)
    assert updated.expires_at is not None
    assert 3590 < updated.expires_at - time.time() <= 3601
    assert keys.delete(str(made["id"]), project_id=project).deleted
    assert list(keys.list(project)) == []
    assert [each["id"] for each in plane.get(f"/projects/{project}/api_keys?include_revoked=true")["data"]] == [made["id"]]
    assert status(plane, made["id"]) == "revoked"


def test_the_text_is_in_one_answer_and_in_no_file(plane: Plane, project: str) -> None:
    made = key_of(plane, project)
    text = str(made["value"])
    assert text.startswith(f"sk-ollm-{made['id']}-")
    secret = text.split("-", 3)[3]
    for path in (f"/api_keys/{made['id']}", f"/projects/{project}/api_keys", "/audit_logs?limit=100"):
        assert secret not in plane.ask("GET", path).text
    assert not [path.name for path in plane.loaded.path("state").iterdir() if secret.encode() in path.read_bytes()]


def test_a_key_with_everything(plane: Plane, project: str) -> None:
    terms = {"models": ["small"], "limits": [{"requests_per_minute": 5}]}
    made = key_of(plane, project, expires_in_seconds=60, require="zdr", terms=terms)
    shown = plane.get(f"/api_keys/{made['id']}")
    assert (shown["require"], shown["terms"], shown["project_id"], shown["role"], shown["status"]) == ("zdr", terms, project, "member", "active")
    assert shown["expires_at"] == shown["created_at"] + 60
    changed = plane.post(f"/api_keys/{made['id']}", {"terms": {}})
    assert changed["terms"] == {}
    plane.refused("POST", f"/api_keys/{made['id']}", 400, "invalid_request", {"role": "owner"})


def test_disable_enable_revoke(plane: Plane, project: str) -> None:
    key = key_of(plane, project)["id"]
    assert plane.post(f"/api_keys/{key}/disable")["status"] == "disabled"
    assert plane.post(f"/api_keys/{key}/enable")["status"] == "active"
    assert plane.delete(f"/api_keys/{key}") == {"id": key, "object": "organization.api_key.deleted", "deleted": True}
    assert "revoking is final" in plane.refused("POST", f"/api_keys/{key}/enable", 400, "change_refused")
    assert plane.actions()[:3] == ["api_key.deleted", "api_key.enabled", "api_key.disabled"]


def test_rotate(plane: Plane, project: str) -> None:
    old = key_of(plane, project)
    new = plane.post(f"/api_keys/{old['id']}/rotate", {"grace_seconds": 120})
    assert (new["replaces"], new["project_id"]) == (old["id"], project)
    assert new["value"] != old["value"]
    ends = plane.get(f"/api_keys/{old['id']}")["expires_at"]
    assert 110 < ends - time.time() <= 121
    plane.refused("POST", f"/api_keys/{old['id']}/rotate", 400, "change_refused")
    plane.refused("POST", f"/api_keys/{new['id']}/rotate", 400, "invalid_request", {"grace_seconds": -1})


def test_keys_of_other_projects_are_not_there(plane: Plane, project: str) -> None:
    other = plane.post("/projects", {"name": "Other"})["id"]
    key = str(key_of(plane, other)["id"])
    with pytest.raises(NotFoundError):
        plane.client().admin.organization.projects.api_keys.retrieve(key, project_id=project)
    plane.refused("DELETE", f"/projects/{project}/api_keys/{key}", 404, "not_found")
    plane.refused("GET", "/projects/proj_none/api_keys", 404, "not_found")
    assert status(plane, key) == "active"


def test_service_accounts_through_openais_client(plane: Plane, project: str) -> None:
    accounts = plane.client().admin.organization.projects.service_accounts
    made = accounts.create(project, name="Nightly", expires_in_seconds=60)
    assert made.api_key is not None
    assert made.api_key.value.startswith("sk-ollm-")
    assert (made.object, made.role) == ("organization.project.service_account", "member")
    further = accounts.api_keys.create(made.id, project_id=project, name="second")
    shown = plane.get(f"/api_keys/{further.id}")
    assert (shown["owner"]["type"], shown["owner"]["service_account"]["id"]) == ("service_account", made.id)
    assert accounts.update(made.id, project_id=project, name="Daily").name == "Daily"
    assert [each.name for each in accounts.list(project)] == ["Daily"]
    assert accounts.retrieve(made.id, project_id=project).name == "Daily"
    assert accounts.delete(made.id, project_id=project).deleted
    assert [status(plane, key) for key in (made.api_key.id, further.id)] == ["revoked", "revoked"]
    assert list(accounts.list(project)) == []


def test_a_service_account_without_a_key(plane: Plane, project: str) -> None:
    made = plane.client().admin.organization.projects.service_accounts.create(project, name="Bare", create_service_account_only=True)
    assert (made.api_key, made.role) == (None, "none")
    assert plane.get(f"/projects/{project}/api_keys")["data"] == []


def test_admin_keys_through_openais_client(plane: Plane) -> None:
    keys = plane.client().admin.organization.admin_api_keys
    made = keys.create(name="second", expires_in_seconds=600)
    assert made.value.startswith("sk-ollm-")
    assert made.object == "organization.admin_api_key"
    assert keys.retrieve(made.id).id == made.id
    listed = [each.id for each in keys.list(limit=100)]
    assert made.id in listed
    assert [each.id for each in keys.list(limit=100, order="desc")] == listed[::-1]
    assert plane.get(f"/api_keys/{made.id}")["role"] == "admin"
    assert keys.delete(made.id).deleted
    assert made.id not in [each.id for each in keys.list(limit=100)]


@pytest.mark.parametrize("role", ["member", "root"])
def test_roles_that_no_admin_key_has(plane: Plane, role: str) -> None:
    plane.refused("POST", "/admin_api_keys", 400, "invalid_request", {"name": "x", "role": role})


def test_an_admin_can_not_make_itself_an_owner(plane: Plane) -> None:
    """Neither by making a key, nor by rotating an owner's and taking what comes out, nor by ending it."""
    owner_key = plane.post("/admin_api_keys", {"name": "x", "role": "owner"})["id"]
    plane.refused("POST", "/admin_api_keys", 403, "role_not_allowed", {"name": "x", "role": "owner"}, role="admin")
    for method, path in (("POST", "/rotate"), ("POST", "/disable"), ("POST", "/enable"), ("POST", ""), ("DELETE", "")):
        message = plane.refused(method, f"/api_keys/{owner_key}{path}", 403, "role_not_allowed", None if method == "DELETE" else {}, role="admin")
        assert "owner" in message
    plane.refused("DELETE", f"/projects/proj_default/api_keys/{owner_key}", 403, "role_not_allowed", role="admin")
    assert status(plane, owner_key) == "active"


def test_an_admin_may_end_a_viewers_key(plane: Plane) -> None:
    viewer = plane.post("/admin_api_keys", {"name": "x", "role": "viewer"})["id"]
    plane.ask("DELETE", f"/api_keys/{viewer}", "admin")
    assert status(plane, viewer) == "revoked"


def test_admin_keys_are_none_of_a_projects(plane: Plane) -> None:
    assert {each["role"] for each in plane.get("/projects/proj_default/api_keys?limit=100")["data"]} <= {"member"}


def test_a_key_stops_at_once_in_this_process(plane: Plane) -> None:
    made = plane.post("/admin_api_keys", {"name": "short", "role": "auditor"})
    headers = {"authorization": f"Bearer {made['value']}"}
    assert plane.ask("GET", "/projects", "", headers=headers).status_code == 200
    plane.delete(f"/admin_api_keys/{made['id']}")
    assert plane.ask("GET", "/projects", "", headers=headers).status_code == 401


def test_terms_of_an_admin_key_bound_its_networks(plane: Plane) -> None:
    made = plane.post("/admin_api_keys", {"name": "far", "role": "auditor", "terms": {"networks": ["10.0.0.0/8"]}})
    answer = plane.ask("GET", "/projects", "", headers={"authorization": f"Bearer {made['value']}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "network_not_allowed")


def test_owners_of_keys(plane: Plane, project: str) -> None:
    user = plane.post("/users", {"email": "key-owner@example.com"})["id"]
    shown = plane.get(f"/api_keys/{key_of(plane, project, owner=user)['id']}")
    assert (shown["owner"]["type"], shown["owner"]["user"]["email"]) == ("user", "key-owner@example.com")
    plane.refused("POST", f"/projects/{project}/api_keys", 404, "not_found", {"name": "x", "owner": "svc_none"})


def test_a_wrong_key_does_the_work_of_an_unknown_one(plane: Plane) -> None:
    """One look-up and one HMAC, whatever is wrong with the key."""

    class Counting:
        looked_up = 0

        blind = False

        def lookup(self, key_id: str) -> None:
            self.looked_up += 1

    for text in ("sk-ollm-nonsense", "sk-ollm-abcdefgh234567ab-" + "A" * 43):
        counting = Counting()
        assert authenticate(text, counting, bytes(32), 1) is None
        assert counting.looked_up == 1
