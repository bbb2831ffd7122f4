"""The first tables: installation, keys, ledger with receipts, sessions.

A revision is frozen once released: it spells everything out and imports nothing of the package.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_BIGINT = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_HEX = "0123456789abcdef"
_ID = "abcdefghijklmnopqrstuvwxyz0123456789"
_WORD = "abcdefghijklmnopqrstuvwxyz_."
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789-._/:@+ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_COUNT = "UPDATE installation SET key_generation = key_generation + 1"


def _chars(column: str, charset: str, shortest: int, longest: int) -> sa.CheckConstraint:
    rule = f"length({column}) BETWEEN {shortest} AND {longest} AND trim({column}, '{charset}') = ''"
    return sa.CheckConstraint(rule, name=f"{column}_is_a_name")


def _size(column: str, smallest: int, largest: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"length({column}) BETWEEN {smallest} AND {largest}", name=f"{column}_is_bounded")


def upgrade() -> None:
    _small_tables()
    _ledger()
    _triggers()


def _small_tables() -> None:
    op.create_table(
        "installation",
        sa.Column("one", sa.Integer, primary_key=True),
        sa.Column("installation_id", sa.Text, nullable=False),
        sa.Column("row_key_check", sa.LargeBinary, nullable=False),
        sa.Column("key_generation", _BIGINT, nullable=False),
        sa.CheckConstraint("one = 1", name="one_row"),
        _chars("installation_id", _HEX, 32, 32),
        _size("row_key_check", 32, 32),
        sqlite_strict=True,
    )
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text, primary_key=True, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("mac", sa.LargeBinary, nullable=False),
        sa.Column("require", sa.Text, nullable=False),
        sa.Column("created_at", _BIGINT, nullable=False),
        sa.Column("expires_at", _BIGINT),
        sa.Column("revoked_at", _BIGINT),
        sa.Column("row_mac", sa.LargeBinary, nullable=False),
        _chars("key_id", _ID, 1, 32),
        _chars("name", _NAME + " ", 1, 64),
        sa.CheckConstraint("require IN ('tee', 'zdr', 'simulated')", name="require_is_known"),
        _size("mac", 32, 32),
        _size("row_mac", 32, 32),
        sqlite_strict=True,
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text, primary_key=True, nullable=False),
        sa.Column("upstream", sa.Text, nullable=False),
        sa.Column("expires_at", _BIGINT, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        _chars("session_id", _HEX, 64, 64),
        _chars("upstream", _NAME, 1, 64),
        _size("document", 1, 4_194_304),
        sqlite_strict=True,
    )


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("entry", _BIGINT, primary_key=True, autoincrement=False),
        sa.Column("request_id", sa.Text, nullable=False, unique=True),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        sa.Column("upstream", sa.Text),
        sa.Column("level", sa.Text),
        sa.Column("session_id", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("http_status", sa.Integer, nullable=False),
        sa.Column("streamed", sa.Integer, nullable=False),
        sa.Column("started_ms", _BIGINT, nullable=False),
        sa.Column("input_tokens", _BIGINT, nullable=False),
        sa.Column("cached_tokens", _BIGINT, nullable=False),
        sa.Column("output_tokens", _BIGINT, nullable=False),
        sa.Column("reasoning_tokens", _BIGINT, nullable=False),
        sa.Column("estimated", sa.Integer, nullable=False),
        sa.Column("cost_micro", _BIGINT),
        sa.Column("price_version", sa.Text),
        sa.Column("verify_us", _BIGINT, nullable=False),
        sa.Column("headers_us", _BIGINT, nullable=False),
        sa.Column("first_us", _BIGINT, nullable=False),
        sa.Column("total_us", _BIGINT, nullable=False),
        _chars("request_id", _HEX, 32, 32),
        _chars("key_id", _ID, 1, 32),
        _chars("endpoint", _WORD, 1, 64),
        _chars("model", _NAME, 1, 128),
        _chars("upstream", _NAME, 1, 64),
        sa.CheckConstraint("level IN ('tee', 'zdr', 'simulated')", name="level_is_known"),
        _chars("session_id", _HEX, 64, 64),
        sa.CheckConstraint("status IN ('completed', 'client_gone', 'upstream_failed', 'refused', 'lost')", name="status_is_known"),
        _chars("price_version", _NAME, 1, 64),
        sa.CheckConstraint("streamed IN (0, 1) AND estimated IN (0, 1)", name="flags"),
        sa.CheckConstraint("input_tokens >= 0 AND cached_tokens >= 0 AND output_tokens >= 0 AND reasoning_tokens >= 0", name="tokens_are_counts"),
        sqlite_strict=True,
    )
    op.create_table(
        "receipts",
        sa.Column("entry", _BIGINT, sa.ForeignKey("ledger.entry"), primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        _size("sealed", 1, 65_536),
        sqlite_strict=True,
    )


def _triggers() -> None:
    for table, events in {"ledger": ("UPDATE", "DELETE"), "receipts": ("UPDATE",), "sessions": ("UPDATE",)}.items():
        for event in events:
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{event.lower()} BEFORE {event} ON {table} "
                f"BEGIN SELECT raise(ABORT, '{table} rows are never changed'); END"
            )
    for event in ("INSERT", "UPDATE", "DELETE"):
        op.execute(f"CREATE TRIGGER api_keys_counts_{event.lower()} AFTER {event} ON api_keys BEGIN {_COUNT}; END")
