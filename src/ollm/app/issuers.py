"""The issuers that the configuration names, with where their keys come from."""

from collections.abc import Mapping

from ollm.config.load import Loaded
from ollm.gateway.tokens import Issuer
from ollm.net.key_set import IssuerKeys, from_file, from_url
from ollm.ports import Clock, Fetch


def issuers_of(loaded: Loaded, fetch: Fetch, clock: Clock, before: Mapping[str, Issuer]) -> dict[str, Issuer]:
    """By name. Their keys are looked for when the first token asks for them; `before` had some already, of the same sources perhaps."""
    found = {}
    for name, settings in loaded.settings.issuers.items():
        old = before.get(name)
        if old is not None and (old.settings.jwks, old.settings.stale_hours) == (settings.jwks, settings.stale_hours):
            found[name] = Issuer(name, settings, old.keys)
            continue
        kind, _, path = settings.jwks.partition(":")
        read = from_file(loaded.path(path)) if kind == "file" else from_url(settings.jwks, fetch)
        found[name] = Issuer(name, settings, IssuerKeys(read, clock, stale=settings.stale_hours * 3600.0))
    return found
