"""Where an installation's state is, and how its store is opened: what every process of it needs, and nothing of the data plane."""

import os
from pathlib import Path

from ollm.config.load import Loaded, key_bytes
from ollm.errors import ConfigError
from ollm.store.sqlite import Role, Store, open_store
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


def store_of(loaded: Loaded, *, role: Role) -> Store:
    """The store of this installation; `role` is gateway (the one writer of the ledger) or admin. Raises: ConfigError, StoreError."""
    source = loaded.settings.secrets.row_key
    row_key = key_bytes(loaded.secret(source), source)
    url = f"sqlite:///{data_directory(loaded) / 'ollm.db'}"
    return open_store(url, row_key=row_key, durability=loaded.settings.gateway.durability, role=role)


def level_of(loaded: Loaded, name: str) -> Level:
    """What a route over upstream `name` is worth: what its policy's acceptance is worth, or zdr where it has no evidence."""
    policy = loaded.settings.upstreams[name].policy
    return Level.ZDR if policy is None else loaded.settings.policies[policy].level
