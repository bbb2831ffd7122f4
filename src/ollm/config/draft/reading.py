"""A file of evidence as the sources of a draft: one for each CPU and device that it speaks of."""

from collections.abc import Sequence

import msgspec

from ollm.attest.evidence import TdxEvidence
from ollm.attest.recognise import MAX_FILE, recognise
from ollm.config.draft.writing import Source
from ollm.errors import ConfigError
from ollm.values.hexes import sha256_of

__all__ = ["MAX_FILE", "explained", "sources_of"]


def sources_of(file: str, data: bytes) -> tuple[Source, ...]:
    """The evidence in `data`, the content of a file called `file`. Raises: ConfigError saying what it is instead."""
    found = recognise(data)
    parts = (*((found.cpu,) if found.cpu is not None else ()), *found.devices)
    if not parts:
        mend = "give quotes, reports, documents or tokens of one machine; with a TDX quote best its event_log and app_compose, as JSON"
        raise ConfigError(f"{file} holds {found.kind}, from which no policy can be drafted", mend)
    digest = sha256_of(data).removeprefix("sha256:")
    return tuple(Source(file, digest, part) for part in parts)


def explained(sources: Sequence[Source], *, event_log: str | None, app_compose: str | None) -> tuple[Source, ...]:
    """`sources`, the one TDX quote among them with what lay beside it in files of its own. Raises: ConfigError."""
    given = {name: text for name, text in (("event_log", event_log), ("app_compose", app_compose)) if text is not None}
    quotes = [source for source in sources if isinstance(source.evidence, TdxEvidence)]
    if given and len(quotes) != 1:
        raise ConfigError(f"{len(quotes)} TDX quotes, and one event log or app-compose file", "give them for one quote at a time")
    return tuple(
        msgspec.structs.replace(source, evidence=msgspec.structs.replace(source.evidence, **given)) if source in quotes else source
        for source in sources
    )
