"""What a running process can't change: where it listens, where its state is, and the secrets that this state is kept under."""

from collections.abc import Iterator

from ollm.config.load import Loaded
from ollm.errors import ConfigError

# Tables, and of some of them single fields: what is named here holds until the process starts again.
FIXED: dict[str, tuple[str, ...] | None] = {
    "gateway": ("listen", "data_dir", "currency", "durability", "workers", "tls_certificate", "tls_key"),
    "secrets": None,
    "store": None,
    "counters": None,
    "evidence": ("quote_source",),
}


def check_unchanged(old: Loaded, new: Loaded) -> None:
    """Raises: ConfigError naming every field of `new` that only a restart can bring."""
    changed = list(_changed(old, new))
    if changed:
        raise ConfigError(f"{', '.join(changed)} can't change while the gateway runs", "restart it, or write the old value")


def _changed(old: Loaded, new: Loaded) -> Iterator[str]:
    for table, fields in FIXED.items():
        before, after = getattr(old.settings, table), getattr(new.settings, table)
        for field in fields if fields is not None else before.__struct_fields__:
            if getattr(before, field) != getattr(after, field):
                yield f"{table}.{field}"
