"""Sums over requests by hour and by day, what of the ledger is in them, and when each key was last used."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_BIGINT = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_NAMED = ("project", "key", "model", "upstream", "endpoint")
_SUMS = (
    *("requests", "completed", "refused", "client_gone", "failed"),
    *("input_tokens", "cached_tokens", "cache_write_tokens", "cache_write_long_tokens", "audio_input_tokens", "image_input_tokens"),
    *("output_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens"),
    *("images", "audio_ms", "characters"),
    *("estimated", "mismatched", "unpriced", "cost_micro"),
    *("verify_us", "headers_us", "first_us", "total_us", "total_us_max"),
)
_TIERS = "'default', 'standard', 'flex', 'priority', 'scale', 'fast', 'batch', 'other', 'none'"


def upgrade() -> None:
    op.create_table(
        "rollups",
        sa.Column("width", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("start", _BIGINT, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Integer, primary_key=True, autoincrement=False) for name in _NAMED),
        sa.Column("level", sa.Text, primary_key=True, nullable=False),
        sa.Column("tier", sa.Text, primary_key=True, nullable=False),
        *(sa.Column(name, _BIGINT, nullable=False) for name in _SUMS),
        sa.CheckConstraint("width IN (3600, 86400)", name="width_is_known"),
        sa.CheckConstraint("level IN ('tee', 'zdr', 'simulated', 'none')", name="level_is_known"),
        sa.CheckConstraint(f"tier IN ({_TIERS})", name="tier_is_known"),
        sqlite_strict=True,
    )
    op.create_index("rollups_by_key", "rollups", ["key", "width", "start"])
    op.create_index("rollups_by_project", "rollups", ["project", "width", "start"])
    op.create_table(
        "rolled",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("entry", _BIGINT, nullable=False),
        sa.CheckConstraint("one = 1", name="one_row"),
        sqlite_strict=True,
    )
    op.create_table(
        "key_uses",
        sa.Column("key", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("last_ms", _BIGINT, nullable=False),
        sqlite_strict=True,
    )
    op.execute("INSERT INTO rolled (one, entry) VALUES (1, 0)")
