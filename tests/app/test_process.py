"""A serving process leaves no core and lets nobody attach."""

import subprocess
import sys

CODE = """
import ctypes, resource
from ollm.app.process import harden
harden()
print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def test_hardened() -> None:
    said = subprocess.run([sys.executable, "-c", CODE], capture_output=True, check=True, text=True).stdout
    assert said.strip() == "(0, 0) 0"  # PR_GET_DUMPABLE is 3
