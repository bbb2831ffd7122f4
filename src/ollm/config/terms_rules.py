"""What terms may refer to: a name that the configuration doesn't have is refused, never quietly without effect.

A limit on a model with a typing error in its name would limit nothing; so whoever writes it is told.
"""

import ipaddress
import re
from collections import Counter
from collections.abc import Collection, Iterable

from ollm.config.admin_settings import LABEL
from ollm.config.settings import Settings
from ollm.errors import ConfigError
from ollm.values.terms import Limit, Terms
from ollm.wire.endpoints import NAMES

_FIGURES = tuple(name for name in Limit.__struct_fields__ if name != "model")


def check_administration(settings: Settings) -> None:
    """`[admin]`, `[organisation]`, `[projects.NAME]` and the terms of `[issuers.NAME]` hold together. Raises: ConfigError."""
    admin = settings.admin
    if (admin.tls_certificate is None) != (admin.tls_key is None):
        raise ConfigError("only one of admin.tls_certificate and admin.tls_key is set", "set both or none")
    if settings.organisation is not None:
        check_terms("organisation", settings.organisation.terms(), settings)
    for name, project in settings.projects.items():
        if not re.match(LABEL, name):
            raise ConfigError(f"project name {name!r} has characters that a name can't have", "use letters, digits, spaces and . _ : / @ + -")
        _once(f"projects.{name}.accounts", "account", list(project.accounts))
        check_terms(f"projects.{name}", project.terms(), settings)
    for name, issuer in settings.issuers.items():
        check_terms(f"issuers.{name}.terms", issuer.terms, settings)


def check_terms(where: str, terms: Terms, settings: Settings) -> None:
    """`terms` refer to what is configured, and say each thing once. Raises: ConfigError naming `where` and the name."""
    _known(f"{where}.models", "model", terms.models or (), settings.models)
    _known(f"{where}.upstreams", "upstream", terms.upstreams or (), settings.upstreams)
    _known(f"{where}.endpoints", "endpoint", terms.endpoints or (), NAMES)
    _known(f"{where}.rules", "rule", terms.rules, settings.rules)
    _known(f"{where}.limits", "model", (limit.model for limit in terms.limits if limit.model is not None), settings.models)
    for network in terms.networks or ():
        _check_network(f"{where}.networks", network)
    _once(f"{where}.limits", "model", [limit.model or "all models" for limit in terms.limits])
    _once(f"{where}.budgets", "window", [budget.window for budget in terms.budgets])
    for limit in terms.limits:
        if all(getattr(limit, name) is None for name in _FIGURES):
            raise ConfigError(f"{where}.limits has one that limits nothing", f"give one of {', '.join(_FIGURES)}")


def _known(where: str, kind: str, names: Iterable[str], configured: Collection[str]) -> None:
    for name in names:
        if name not in configured:
            raise ConfigError(f"{where} names {kind} {name!r}, which is not configured", f"configured: {', '.join(sorted(configured)) or 'none'}")


def _check_network(where: str, network: str) -> None:
    try:
        ipaddress.ip_network(network)
    except ValueError:
        raise ConfigError(f"{where} has {network!r}, which is no network", 'for example "10.0.0.0/8" or "2001:db8::/32"') from None


def _once(where: str, kind: str, values: list[str]) -> None:
    repeated = [value for value, count in Counter(values).items() if count > 1]
    if repeated:
        raise ConfigError(f"{where} has {kind} {repeated[0]} more than once", "give each once")
