r"""Traces: what a match leaves in a document as it is written, so that one look at all of it says that none of its texts can hold a match.

A trace is a regular expression over JSON before it is read. It admits at least what its detector finds in any text in there, at any depth:

- Letters, digits and most signs stand in a document as they stand in its texts. A quotation mark, a slash or a backslash may have
  backslashes before it, a text has a quotation mark before and behind it, and where a character is escaped, what stands there is an escape.
- So a trace looks at what follows a match as its detector does, and before a match an escape may stand in place of any other character.
- Escapes of characters that detectors look for, such as `\u0031`, hide them from it: a document with one is read text by text.
"""

import re
from typing import TypeAlias

Traces: TypeAlias = tuple[re.Pattern[str], ...]

SLASH = r"\\*+/"  # in a text that is in a text, escaped as often
_LARGEST = 64 * 1024  # bytes; in larger documents texts are long, and reading them one by one costs little more than looking at them
# ASCII, the spaces and the dash that stand between the groups of numbers, and surrogates, which may be no text at all.
_HIDING = re.compile(rb"\\u(?:00(?:[0-7]|[aA]0)|20(?:13|2[fF])|[dD][89a-fA-F])")


def edge(width: int = 0, word: str = "0-9A-Za-z") -> str:
    """That no character of the class `word` stands before a match which began `width` characters before."""
    back = "." * width
    return rf"(?:(?<![{word}]{back})|(?<=\\[bfnrt]{back})|(?<=\\u[0-9A-Fa-f]{{4}}{back}))"


def number(first: str, form: str, *, width: int = 1, ahead: str = "") -> str:
    """The trace of `form`, which no letter or digit stands before or behind.

    `first` matches rare characters in it, the last of them `width` characters from its beginning; `ahead` what follows them.
    """
    return rf"{first}{edge(width)}{ahead}(?<=(?=(?:{form})(?![0-9A-Za-z])){'.' * width})"


def leaves_none(document: bytes, traces: Traces) -> bool:
    """Whether `document`, valid JSON or several behind another, has none of `traces`. False as well where it takes more to know."""
    if len(document) > _LARGEST or (b"\\u" in document and _HIDING.search(document) is not None):
        return False
    try:
        text = document.decode()
    except UnicodeDecodeError:
        return False
    for trace in traces:  # noqa: SIM110  a generator costs more than the search
        if trace.search(text) is not None:
            return False
    return True
