"""What of the configuration is for administrators: where the control plane listens, and the projects that `ollm apply` makes."""

from typing import Annotated

import msgspec

from ollm.values.terms import Terms

# What names of projects, accounts, people and keys may have: the store's columns hold nothing else.
LABEL = r"^[A-Za-z0-9._/:@+-][A-Za-z0-9 ._/:@+-]{0,63}\Z"
Label = Annotated[str, msgspec.Meta(pattern=LABEL)]


class AdminSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The control plane, `ollm admin`: a process and a listener of its own."""

    listen: str = "127.0.0.1:8401"
    tls_certificate: str | None = None  # path; absent: plain HTTP, for loopback or behind your own TLS
    tls_key: str | None = None


class OrganisationSettings(Terms, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The organisation, as `ollm apply` makes it: its terms, and its name."""

    name: Label | None = None  # absent: it keeps the one that it has

    def terms(self) -> Terms:
        """Its terms alone."""
        return _terms_of(self)


class ProjectSettings(Terms, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A project, as `ollm apply` makes it: its terms, and its service accounts. Keys are never declared, since they are secrets."""

    accounts: tuple[Label, ...] = ()  # names of service accounts

    def terms(self) -> Terms:
        """Its terms alone."""
        return _terms_of(self)


def _terms_of(declared: Terms) -> Terms:
    return Terms(**{name: getattr(declared, name) for name in Terms.__struct_fields__})
