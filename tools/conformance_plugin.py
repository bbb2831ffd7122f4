"""A pytest plugin for openai-python's own tests: gives them the gateway's key, leaves out clients that aren't installed, keeps how each ended."""

import json
import os
import sys
from pathlib import Path

import pytest

_outcomes: dict[str, str] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    conftest = next(module for name, module in sys.modules.items() if name.endswith("conftest") and hasattr(module, "admin_api_key"))
    conftest.api_key = os.environ["CONFORMANCE_KEY"]  # type: ignore[attr-defined]  # its fixtures read it when they are made
    items[:] = [item for item in items if "[aiohttp]" not in item.nodeid]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call" or report.outcome != "passed":
        _outcomes[report.nodeid] = report.outcome


def pytest_sessionfinish() -> None:
    Path(os.environ["CONFORMANCE_REPORT"]).write_text(json.dumps(_outcomes))
