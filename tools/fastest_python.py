"""Which of several Pythons runs plain code fastest, and is new enough: prints its path.

    python tools/fastest_python.py python3 /usr/bin/python3 …

Builds differ by a quarter and more (a default `pyenv` build has neither PGO nor LTO, distributions' builds mostly have). The benchmark
compares programs, so both Python programs in it run on the fastest build at hand. Runs on any Python 3, without anything installed.
"""

import subprocess
import sys

_PROBE = """
import sys, timeit
if sys.version_info < (3, 11): sys.exit(1)
code = '''
class Box:
    __slots__ = ("value",)
    def __init__(self, value): self.value = value
    def add(self, other): return Box(self.value + other)
box = Box(0)
table = {}
for i in range(20000):
    box = box.add(i)
    table[i % 64] = (i, box.value, "name")
'''
print(min(timeit.repeat(code, number=1, repeat=15)), sys.executable)
"""


TURNS = 4


def measured(candidate: str) -> tuple[float, str] | None:
    """Seconds and path of `candidate`, or None when it isn't there or too old."""
    try:
        done = subprocess.run([candidate, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=60)
    except OSError:
        return None
    seconds, _, path = done.stdout.strip().partition(" ")
    return (float(seconds), path) if done.returncode == 0 and path else None


def main(candidates: list[str]) -> int:
    # Turn by turn and the best of each: on a shared machine one turn says little.
    found = [result for _ in range(TURNS) for result in map(measured, candidates) if result is not None]
    if not found:
        sys.stderr.write("no Python 3.11 or newer among: " + " ".join(candidates) + "\n")
        return 1
    sys.stdout.write(min(found)[1] + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
