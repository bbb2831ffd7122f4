"""The part of YAML that two readers can't understand differently: mappings, sequences and scalars, each written out where it stands.

A Compose file is read by Go's YAML library in the machine and by PyYAML here. Both descend from the same scanner, so they agree on
where a value begins and ends; what they do with it afterwards (tags, anchors, merge keys, doubled keys, several documents, types of
plain scalars) differs, and a text that needs any of it is refused. Nothing is constructed but dicts, lists and strings: a plain `yes`
or `0x10` stays the text that it is.
"""

import itertools
from collections.abc import Iterator
from typing import Any, TypeAlias

import yaml

from ollm.errors import EvidenceRefused

MAX_TEXT = 64 * 1024  # characters; the longest compose file seen in a machine has 27 thousand
MAX_DEPTH = 32
MAX_EVENTS = 4096  # the same file has 527

Tree: TypeAlias = "str | list[Tree] | dict[str, Tree]"

# libyaml's scanner is the one that Go's was ported from, and twenty times faster than PyYAML's own, which refuses some texts that it reads.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_WANT = "plain YAML: one document, without anchors, tags, merge keys and doubled keys"


def parse(text: str, *, check: str) -> Tree:
    """The one document of `text`. Raises: EvidenceRefused naming `check`."""
    if len(text) > MAX_TEXT:
        raise EvidenceRefused(check, f"{len(text)} characters of YAML", f"at most {MAX_TEXT}")
    if not all(character == "\n" or character.isprintable() for character in text):
        # Tabs, carriage returns, byte order marks and Unicode's line separators: the places where YAML 1.1, 1.2 and their readers part.
        raise EvidenceRefused(check, "YAML with control characters or tabs", "printable characters and line feeds")
    try:
        return _document(itertools.islice(yaml.parse(text, Loader=_LOADER), MAX_EVENTS), check)
    except StopIteration:
        raise EvidenceRefused(check, "YAML with too many parts", f"at most {MAX_EVENTS} scalars, sequences and mappings") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise EvidenceRefused(check, "text that is no YAML", _WANT) from None


def _document(events: Iterator[Any], check: str) -> Tree:
    """The tree that `events` describe, built without recursion."""
    next(events)  # the start of the stream
    start = next(events)
    if not isinstance(start, yaml.DocumentStartEvent) or start.version or start.tags:
        raise EvidenceRefused(check, "no YAML document, or one with directives", _WANT)
    root: list[Tree] = []
    open_nodes: list[list[Tree] | dict[str, Tree]] = [root]
    keys: list[str | None] = [None]  # of each open node: the key that waits for its value
    while not isinstance(event := next(events), yaml.DocumentEndEvent):
        if isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent)):
            open_nodes.pop()
            keys.pop()
            continue
        node = _node(event, check)
        parent, key = open_nodes[-1], keys[-1]
        if isinstance(parent, list):
            parent.append(node)
        elif key is None:
            keys[-1] = _key(node, parent, check)
            continue
        else:
            parent[key] = node
            keys[-1] = None
        if not isinstance(node, str):
            open_nodes.append(node)
            keys.append(None)
            if len(open_nodes) > MAX_DEPTH:
                raise EvidenceRefused(check, "YAML that nests too deeply", f"at most {MAX_DEPTH} levels")
    if not isinstance(next(events), yaml.StreamEndEvent):
        raise EvidenceRefused(check, "several YAML documents", _WANT)
    return root[0]


def _node(event: Any, check: str) -> Tree:
    """An empty collection, or a scalar's text."""
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None or event.tag is not None:
        raise EvidenceRefused(check, "YAML with anchors or tags", _WANT)
    if isinstance(event, yaml.ScalarEvent):
        return str(event.value)
    return [] if isinstance(event, yaml.SequenceStartEvent) else {}


def _key(node: Tree, parent: dict[str, Tree], check: str) -> str:
    if not isinstance(node, str) or node == "<<" or node in parent:
        raise EvidenceRefused(check, "a YAML key that is doubled, merged or no text", _WANT)
    return node
