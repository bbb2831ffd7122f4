"""Where an installation's state is, and how its store is opened: what every process of it needs, and nothing of the data plane."""

import os
from pathlib import Path

from ollm.config.load import Loaded, key_bytes
from ollm.errors import ConfigError
from ollm.store.place import Place, place_of
from ollm.store.retention import Kept
from ollm.store.sqlite import BASE, Role, Store, open_store
from ollm.values.level import Level


def data_directory(loaded: Loaded) -> Path:
    """The directory for state, made if absent, readable by its owner alone. Raises: ConfigError."""
    path = loaded.path(loaded.settings.gateway.data_dir)
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.chmod(path, 0o700)
    except OSError as problem:
        raise ConfigError(f"can't use data directory {path}: {problem.strerror}", "set gateway.data_dir to a directory of ours") from None
    return path


def store_of(loaded: Loaded, *, role: Role, slot: int = 0) -> Store:
    """The store of this installation; `role` is gateway (who writes the ledger) or admin. Raises: ConfigError, StoreError.

    Of several gateways on one machine each has a `slot`; they take PostgreSQL.
    """
    source = loaded.settings.secrets.row_key
    row_key = key_bytes(loaded.secret(source), source)
    durability = loaded.settings.gateway.durability
    return open_store(place_of_store(loaded), row_key=row_key, durability=durability, role=role, folder=data_directory(loaded), slot=slot)


def place_of_store(loaded: Loaded) -> Place:
    """Where the configuration says that the store is. Raises: ConfigError, StoreError."""
    settings = loaded.settings.store
    if settings.url == "sqlite":
        return data_directory(loaded) / BASE
    password = loaded.secret(settings.password) if settings.password is not None else None
    tls_ca = loaded.path(settings.tls_ca) if settings.tls_ca is not None else None
    return place_of(settings.url, password=password, tls=settings.tls, tls_ca=tls_ca, connections=settings.connections)


def kept_of(loaded: Loaded) -> Kept:
    """How long the configuration keeps rows."""
    days = loaded.settings.store.retention_days
    return Kept(days.ledger, days.receipts)


def level_of(loaded: Loaded, name: str) -> Level:
    """What a route over upstream `name` is worth: what its policy's acceptance is worth, or zdr where it has no evidence."""
    policy = loaded.settings.upstreams[name].policy
    return Level.ZDR if policy is None else loaded.settings.policies[policy].level
