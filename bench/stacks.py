"""py-spy's collapsed stacks to shares of time: by function, by package, by thread. Pure."""

import re
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

_THREAD = re.compile(r"^thread \((?P<id>[^)]*)\)(?:: (?P<name>.*))?$")
_FRAME = re.compile(r"^(?P<function>.+) \((?P<file>[^()]*?)(?::(?P<line>\d+))?\)$")


@dataclass
class Shares:
    """Samples of one thread: `total`, and how many fell into what. `within` counts each function once per stack."""

    total: int = 0
    own: Counter[str] = field(default_factory=Counter)
    within: Counter[str] = field(default_factory=Counter)
    packages: Counter[str] = field(default_factory=Counter)
    paths: Counter[tuple[str, ...]] = field(default_factory=Counter)  # every stack and every beginning of one


def package_of(file: str) -> str:
    """Where `file` belongs: `ollm.gateway`, a library's name, `python` for the standard library, `native` for machine code."""
    if match := re.search(r"(?:^|/)(ollm(?:/[a-z_0-9]+)*)\.py$", file):
        return ".".join(match[1].split("/")[:2])
    if match := re.search(r"(?:site-packages/|^)([A-Za-z0-9_]+)/.*\.(?:py|pyx|so)", file):
        return "python" if match[1] in sys.stdlib_module_names else match[1]
    return "python" if file.endswith(".py") else "native"


def _frame(text: str) -> tuple[str, str]:
    match = _FRAME.match(text)
    if match is None:
        return text, "native"
    package = package_of(match["file"])
    short = match["file"].rpartition("/")[2]
    return f"{match['function']} ({short})", package


def threads(lines: Iterable[str]) -> dict[int, str]:
    """Names of the sampled threads by their system-wide id."""
    names = {}
    for line in lines:
        match = _THREAD.match(line.partition(";")[0])
        if match and match["id"].isdigit():
            names[int(match["id"])] = match["name"] or "(no name)"
    return names


def shares(lines: Iterable[str], thread: str = "MainThread") -> Shares:
    """Adds up `thread`'s `frame;frame;… count` lines, root first, as `py-spy record --format raw --threads` writes them.

    One thread alone, because a thread that waits in a system call looks like one that works. A sample belongs to the package
    of its innermost Python frame: what a C library does is charged to the one who called it.
    """
    out = Shares()
    for line in lines:
        stack, _, number = line.rstrip().rpartition(" ")
        first, *rest = stack.split(";")
        match = _THREAD.match(first)
        if match is None or match["name"] != thread or not rest or not number.isdigit():
            continue
        count = int(number)
        frames = [_frame(frame) for frame in rest]
        out.total += count
        out.own[frames[-1][0]] += count
        out.packages[next((package for _, package in reversed(frames) if package != "native"), "native")] += count
        names = tuple(name for name, _ in frames)
        for name in set(names):
            out.within[name] += count
        for depth in range(1, len(names) + 1):
            out.paths[names[:depth]] += count
    return out


def listing(title: str, counter: Counter[str], total: int, top: int) -> str:
    """The `top` largest shares of `counter`, one a line; what stands below (nearly) every sample says nothing and is left out."""
    telling = [(name, count) for name, count in counter.most_common() if count < 0.995 * total]
    lines = [f"{count / total:7.1%}  {name}" for name, count in telling[:top]]
    return f"{title}\n" + "\n".join(lines) + "\n"


def tree(found: Shares, *, least: float = 0.01) -> str:
    """Who calls what for how long, from the first frame that not all samples share; branches under `least` are left out."""
    lines: list[str] = []
    children: dict[tuple[str, ...], list[tuple[int, tuple[str, ...]]]] = {}
    for path, count in found.paths.items():
        children.setdefault(path[:-1], []).append((count, path))

    def descend(path: tuple[str, ...], depth: int) -> None:
        for count, child in sorted(children.get(path, ()), reverse=True):
            share = count / found.total
            if share < least:
                continue
            shared = share >= 0.995
            if not shared:
                lines.append(f"{share:7.1%}  {'  ' * depth}{child[-1]}")
            descend(child, depth if shared else depth + 1)

    descend((), 0)
    return "the main thread, as a tree\n" + "\n".join(lines) + "\n"
