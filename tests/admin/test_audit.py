"""The audit log over the API: newest first, with OpenAI's filters, and who did it."""

import pytest

from ollm.receipts.audit import parse_head
from tests.admin.conftest import Plane


def test_events_through_openais_client(plane: Plane, project: str) -> None:
    logs = plane.client().admin.organization.audit_logs
    plane.post(f"/projects/{project}", {"name": "Wages"}, role="admin")
    found = list(logs.list(resource_ids=[project], limit=1))
    assert [event.type for event in found] == ["project.updated", "project.created"]
    updated, created = found
    assert updated.actor is not None
    assert updated.actor.api_key is not None
    assert updated.actor.type == "api_key"
    assert updated.actor.api_key.id == plane.keys["admin"].split("-")[2]
    assert created.project_created is not None
    assert created.project_created.id == project
    assert created.project_created.data is not None
    assert created.project_created.data.name == "Payroll"
    assert [event.id for event in logs.list(project_ids=[project], event_types=["project.created"])] == [created.id]
    assert list(logs.list(project_ids=[project], effective_at={"gt": updated.effective_at + 100})) == []
    assert len(list(logs.list(project_ids=[project], effective_at={"gte": created.effective_at, "lte": updated.effective_at}))) == 2
    assert list(logs.list(actor_ids=["nobody"])) == []


def test_local_work_has_a_user_of_the_machine_as_its_actor(plane: Plane) -> None:
    """The keys of this test's control plane were made without it."""
    first = plane.get("/audit_logs?before=audit_log-0&limit=1")["data"][0]
    assert first["id"] == "audit_log-1"
    assert first["type"] == "api_key.created"
    assert first["actor"]["type"] == "session"
    assert first["actor"]["session"]["user"]["id"].startswith("local_")


def test_pages_go_both_ways(plane: Plane) -> None:
    for number in range(3):
        plane.post("/projects", {"name": f"P {number}"})
    newest = plane.get("/audit_logs?limit=2")
    older = plane.get(f"/audit_logs?limit=2&after={newest['last_id']}")
    numbers = [int(event["id"].split("-")[1]) for event in newest["data"] + older["data"]]
    assert numbers == list(range(numbers[0], numbers[0] - 4, -1))
    assert newest["has_more"]
    back = plane.get(f"/audit_logs?limit=2&before={older['first_id']}")
    assert [event["id"] for event in back["data"]] == [event["id"] for event in newest["data"]]
    assert parse_head(newest["head"]).entry == numbers[0]


@pytest.mark.parametrize(
    "query",
    [
        "after=x",
        "after=audit_log-x",
        "event_types=project.blessed",
        "after=audit_log-1&before=audit_log-2",
        "effective_at[gt]=1&effective_at[gte]=1",
        "tenant_only=true",
    ],
)
def test_queries_that_can_not_be_followed(plane: Plane, query: str) -> None:
    plane.refused("GET", f"/audit_logs?{query}", 400, "invalid_query")
