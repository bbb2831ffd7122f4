"""`ollm init`: a commented configuration and fresh secrets, never over existing ones."""

import os
import secrets
from pathlib import Path

from ollm.errors import ConfigError

_SECRETS = ("pepper", "row-key", "receipt-key")


def write_private(path: Path, data: bytes) -> None:
    """A new file that only its owner can read. Raises: ConfigError if it exists."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigError(f"{path} exists already", "move it away first: nothing is overwritten") from None
    except OSError as problem:
        raise ConfigError(f"can't write {path}: {problem.strerror}", "choose a directory that you can write to") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def initialise(directory: Path, config: str) -> Path:
    """Write `config` as ollm.toml and 32-byte secrets beside it; returns the configuration's path. Raises: ConfigError."""
    path = directory / "ollm.toml"
    try:
        (directory / "secrets").mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as problem:
        raise ConfigError(f"can't make {directory}: {problem.strerror}", "choose a directory that you can write to") from None
    if path.exists():
        raise ConfigError(f"{path} exists already", "move it away first: nothing is overwritten")
    for name in _SECRETS:
        if not (directory / "secrets" / name).exists():
            write_private(directory / "secrets" / name, secrets.token_hex(32).encode() + b"\n")
    write_private(path, config.encode())
    return path
