"""The tables: installation, keys with what stands above them, ledger with its names and receipts, sessions.

A revision is frozen once released: it spells everything out and imports nothing of the package. Revision 0001, which had
fewer counts and no projects, was folded into this one before the first release.

What differs on PostgreSQL stands in functions of that name. There the ledger and the receipts are partitioned by day: a request's id
begins with its time (12 hexadecimal digits, Unix milliseconds), so that a day is a range of ids, and an id is unique because it is in
its partition. Numbers of entries are drawn by whoever writes, after its transaction has an id of its own: that order is what
roll-ups rest on (store/rollups.py).
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = None

_BIGINT = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_HEX = "0123456789abcdef"
_ID = "abcdefghijklmnopqrstuvwxyz0123456789"
_WORD = "abcdefghijklmnopqrstuvwxyz_."
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789-._/:@+ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_TIERS = "'default', 'standard', 'flex', 'priority', 'scale', 'fast', 'batch', 'other'"
_COUNTS = (
    *("input_tokens", "cached_tokens", "cache_write_tokens", "cache_write_long_tokens", "audio_input_tokens", "image_input_tokens"),
    *("output_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens"),
    *("images", "audio_ms", "characters"),
)

_LEDGER_TEXT = """CREATE VIEW ledger_text AS
SELECT ledger.entry, ledger.request_id, keys.name AS key_id, projects.name AS project, endpoints.name AS endpoint, models.name AS model,
       upstreams.name AS upstream, level, sessions.name AS session_id, status, http_status, streamed, started_ms,
       input_tokens, cached_tokens, cache_write_tokens, cache_write_long_tokens, audio_input_tokens, image_input_tokens,
       output_tokens, reasoning_tokens, audio_output_tokens, image_output_tokens, images, audio_ms, characters,
       estimated, count_mismatch, tier, cost_micro, reserved_micro, prices.name AS price_version,
       verify_us, headers_us, first_us, total_us, sealed AS receipt
FROM ledger
JOIN names AS keys ON keys.number = ledger.key
JOIN names AS projects ON projects.number = ledger.project
JOIN names AS endpoints ON endpoints.number = ledger.endpoint
LEFT JOIN names AS models ON models.number = ledger.model
LEFT JOIN names AS upstreams ON upstreams.number = ledger.upstream
LEFT JOIN names AS sessions ON sessions.number = ledger.session
LEFT JOIN names AS prices ON prices.number = ledger.price
LEFT JOIN receipts ON """
_SUBJECT = _ID + "_"
_TERMS = _NAME + '{}[]",'
_COUNT = "UPDATE installation SET key_generation = key_generation + 1"

# CASE keeps the order: the transaction has its id before it draws a number.
_NEXT_ENTRY = "CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('ledger_entry') END"
_NEVER_CHANGED = """CREATE FUNCTION ollm_never_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION '% rows are never changed', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation'; END $$"""
# Retention writes down from when on rows are kept, and then may delete what is older.
_KEPT = """CREATE FUNCTION ollm_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.request_id < (SELECT lpad(to_hex(CASE TG_ARGV[0] WHEN 'ledger' THEN ledger_from_ms ELSE receipts_from_ms END), 12, '0')
                         FROM installation) COLLATE "C" THEN RETURN OLD; END IF;
    RAISE EXCEPTION '% rows are never changed', TG_ARGV[0] USING ERRCODE = 'integrity_constraint_violation';
END $$"""
_COUNTED = f"""CREATE FUNCTION ollm_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {_COUNT}; RETURN NULL; END $$"""
_COUNTED_TABLES = ("api_keys", "organisations", "projects", "service_accounts", "users")


def _chars(column: str, charset: str, shortest: int, longest: int) -> sa.CheckConstraint:
    rule = f"length({column}) BETWEEN {shortest} AND {longest} AND trim({column}, '{charset}') = ''"
    return sa.CheckConstraint(rule, name=f"{column}_is_a_name")


def _kind(kind: str, charset: str, longest: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"kind <> '{kind}' OR (length(name) <= {longest} AND trim(name, '{charset}') = '')", name=f"{kind}_is_a_name")


def _on_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"


def _named(column: str, *, nullable: bool = True) -> sa.Column[int]:
    # On PostgreSQL a reference would lock the name's row for each entry; the writer takes numbers from that very table.
    references = [] if _on_postgresql() else [sa.ForeignKey("names.number")]
    return sa.Column(column, sa.Integer, *references, nullable=nullable)


def _size(column: str, smallest: int, largest: int) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"length({column}) BETWEEN {smallest} AND {largest}", name=f"{column}_is_bounded")


def upgrade() -> None:
    _small_tables()
    _subjects()
    _keys()
    _ledger()
    if _on_postgresql():
        _receipts_on_postgresql()
        _triggers_on_postgresql()
        op.execute(_LEDGER_TEXT + "receipts.request_id = ledger.request_id")
    else:
        _receipts()
        _triggers()
        op.execute(_LEDGER_TEXT + "receipts.entry = ledger.entry")


def _small_tables() -> None:
    op.create_table(
        "installation",
        sa.Column("one", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("installation_id", sa.Text, nullable=False),
        sa.Column("row_key_check", sa.LargeBinary, nullable=False),
        sa.Column("key_generation", _BIGINT, nullable=False),
        sa.Column("ledger_from_ms", _BIGINT, nullable=False),
        sa.Column("receipts_from_ms", _BIGINT, nullable=False),
        sa.CheckConstraint("one = 1", name="one_row"),
        _chars("installation_id", _HEX, 32, 32),
        _size("row_key_check", 32, 32),
        sqlite_strict=True,
    )
    op.create_table(
        "sessions",
        sa.Column("session_id", sa.Text, primary_key=True, nullable=False),
        sa.Column("upstream", sa.Text, nullable=False),
        sa.Column("expires_at", _BIGINT, nullable=False),
        sa.Column("document", sa.LargeBinary, nullable=False),
        _chars("session_id", _HEX, 64, 64),
        _chars("upstream", _NAME, 1, 128),
        _size("document", 1, 4_194_304),
        sqlite_strict=True,
    )


def _subject(table: str, *columns: sa.schema.SchemaItem) -> None:
    op.create_table(table, *columns, sa.Column("row_mac", sa.LargeBinary, nullable=False), _size("row_mac", 32, 32), sqlite_strict=True)


def _text(name: str, *, nullable: bool = False, key: bool = False, of: str | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text, *([sa.ForeignKey(of)] if of else []), nullable=nullable, primary_key=key)


def _count(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, _BIGINT, nullable=nullable)


def _role() -> sa.CheckConstraint:
    return sa.CheckConstraint("role IN ('owner', 'admin', 'member', 'viewer', 'auditor')", name="role_is_known")


def _subjects() -> None:
    _subject(
        "organisations",
        *(_text("org_id", key=True), _text("name"), _text("terms"), _count("created_at"), _count("archived_at", nullable=True)),
        *(_chars("org_id", _SUBJECT, 1, 32), _chars("name", _NAME + " ", 1, 64), _chars("terms", _TERMS, 2, 16_384)),
    )
    _subject(
        "projects",
        *(_text("project_id", key=True), _text("org_id", of="organisations.org_id"), _text("name"), _text("terms")),
        *(_count("created_at"), _count("archived_at", nullable=True), _chars("project_id", _SUBJECT, 1, 32), _chars("org_id", _SUBJECT, 1, 32)),
        *(_chars("name", _NAME + " ", 1, 64), _chars("terms", _TERMS, 2, 16_384)),
    )
    _subject(
        "service_accounts",
        *(_text("account_id", key=True), _text("project_id", of="projects.project_id"), _text("name")),
        *(_count("created_at"), _count("removed_at", nullable=True)),
        *(_chars("account_id", _SUBJECT, 1, 32), _chars("project_id", _SUBJECT, 1, 32), _chars("name", _NAME + " ", 1, 64)),
    )
    _subject(
        "users",
        *(_text("user_id", key=True), _text("org_id", of="organisations.org_id"), _text("name"), _text("role")),
        *(_count("created_at"), _count("removed_at", nullable=True)),
        *(_chars("user_id", _SUBJECT, 1, 32), _chars("org_id", _SUBJECT, 1, 32), _chars("name", _NAME + " ", 1, 64), _role()),
    )
    _subject(
        "memberships",
        *(_text("project_id", key=True, of="projects.project_id"), _text("user_id", key=True, of="users.user_id"), _text("role")),
        *(_count("created_at"), _chars("project_id", _SUBJECT, 1, 32), _chars("user_id", _SUBJECT, 1, 32), _role()),
    )
    _subject(
        "audit",
        sa.Column("entry", _BIGINT, primary_key=True, autoincrement=False),
        *(_count("at"), _text("actor"), _text("action"), _text("target"), _text("detail"), sa.Column("digest", sa.LargeBinary, nullable=False)),
        *(
            _chars("actor", _SUBJECT, 1, 32),
            _chars("action", _WORD, 1, 64),
            _chars("target", _SUBJECT, 1, 64),
            _chars("detail", _TERMS, 2, 16_384),
        ),
        _size("digest", 32, 32),
    )


def _keys() -> None:
    _subject(
        "api_keys",
        *(_text("key_id", key=True), _text("name"), sa.Column("mac", sa.LargeBinary, nullable=False), _text("require"), _count("created_at")),
        *(_count("expires_at", nullable=True), _count("revoked_at", nullable=True), _text("project_id", of="projects.project_id")),
        *(_text("owner", nullable=True), _text("role"), _text("terms"), _count("disabled_at", nullable=True), _text("replaces", nullable=True)),
        *(_chars("key_id", _ID, 1, 32), _chars("name", _NAME + " ", 1, 64)),
        sa.CheckConstraint("require IN ('tee', 'zdr', 'simulated')", name="require_is_known"),
        *(_chars("project_id", _SUBJECT, 1, 32), _chars("owner", _SUBJECT, 1, 32), _role(), _chars("terms", _TERMS, 2, 16_384)),
        *(_chars("replaces", _ID, 1, 32), _size("mac", 32, 32)),
    )


def _ledger() -> None:
    op.create_table(
        "names",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.CheckConstraint("kind IN ('key', 'project', 'endpoint', 'model', 'upstream', 'session', 'price')", name="kind_is_known"),
        _chars("name", _NAME, 1, 128),
        _kind("key", _ID, 32),
        _kind("project", _ID + "_", 32),
        _kind("endpoint", _WORD, 64),
        _kind("model", _NAME, 128),
        _kind("upstream", _NAME, 128),
        _kind("session", _HEX, 64),
        _kind("price", _NAME, 128),
        sa.UniqueConstraint("kind", "name"),
        sqlite_strict=True,
    )
    if _on_postgresql():
        op.execute("CREATE SEQUENCE ledger_entry AS bigint")
        number = sa.Column("entry", sa.BigInteger, server_default=sa.text(_NEXT_ENTRY), nullable=False)
        request = sa.Column("request_id", sa.Text(collation="C"), primary_key=True, nullable=False)
    else:
        number = sa.Column("entry", sa.Integer, primary_key=True, autoincrement=False)
        request = sa.Column("request_id", sa.Text, nullable=False, unique=True)
    op.create_table(
        "ledger",
        *(number, request),
        _named("key", nullable=False),
        _named("project", nullable=False),
        _named("endpoint", nullable=False),
        _named("model"),
        _named("upstream"),
        sa.Column("level", sa.Text),
        _named("session"),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("http_status", sa.Integer, nullable=False),
        sa.Column("streamed", sa.Integer, nullable=False),
        sa.Column("started_ms", _BIGINT, nullable=False),
        *(sa.Column(count, _BIGINT, nullable=False) for count in _COUNTS),
        sa.Column("estimated", sa.Integer, nullable=False),
        sa.Column("count_mismatch", sa.Integer, nullable=False),
        sa.Column("tier", sa.Text),
        sa.Column("cost_micro", _BIGINT),
        sa.Column("reserved_micro", _BIGINT),
        _named("price"),
        sa.Column("verify_us", _BIGINT, nullable=False),
        sa.Column("headers_us", _BIGINT, nullable=False),
        sa.Column("first_us", _BIGINT, nullable=False),
        sa.Column("total_us", _BIGINT, nullable=False),
        _chars("request_id", _HEX, 32, 32),
        sa.CheckConstraint("level IN ('tee', 'zdr', 'simulated')", name="level_is_known"),
        sa.CheckConstraint("status IN ('completed', 'client_gone', 'upstream_failed', 'refused', 'lost')", name="status_is_known"),
        sa.CheckConstraint(f"tier IN ({_TIERS})", name="tier_is_known"),
        sa.CheckConstraint("streamed IN (0, 1) AND estimated IN (0, 1) AND count_mismatch IN (0, 1)", name="flags"),
        sa.CheckConstraint(" AND ".join(f"{count} >= 0" for count in _COUNTS), name="counts_are_counts"),
        sa.CheckConstraint("reserved_micro >= 0", name="reserved_is_a_count"),
        sqlite_strict=True,
        postgresql_partition_by="RANGE (request_id)",
    )


def _receipts() -> None:
    op.create_table(
        "receipts",
        sa.Column("entry", _BIGINT, sa.ForeignKey("ledger.entry"), primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        _size("sealed", 1, 65_536),
        sqlite_strict=True,
    )


def _receipts_on_postgresql() -> None:
    op.create_table(
        "receipts",
        sa.Column("request_id", sa.Text(collation="C"), primary_key=True, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        _chars("request_id", _HEX, 32, 32),
        _size("sealed", 1, 65_536),
        postgresql_partition_by="RANGE (request_id)",
    )
    op.execute("CREATE INDEX ledger_by_entry ON ledger (entry)")
    for table in ("ledger", "receipts"):  # takes what no day was made for, so that nothing is ever refused
        op.execute(f"CREATE TABLE {table}_other PARTITION OF {table} DEFAULT")
    op.execute("ALTER TABLE receipts ALTER COLUMN sealed SET STORAGE EXTERNAL")  # sealed bytes don't compress


def _triggers() -> None:
    for table, events in {
        "ledger": ("UPDATE",),
        "names": ("UPDATE",),
        "receipts": ("UPDATE",),
        "sessions": ("UPDATE",),
        "audit": ("UPDATE", "DELETE"),
    }.items():
        for event in events:
            op.execute(
                f"CREATE TRIGGER {table}_refuses_{event.lower()} BEFORE {event} ON {table} "
                f"BEGIN SELECT raise(ABORT, '{table} rows are never changed'); END"
            )
    # Retention writes down from when on rows are kept, and then may delete what is older.
    kept = {"ledger": "OLD.request_id", "receipts": "coalesce((SELECT request_id FROM ledger WHERE entry = OLD.entry), '')"}
    for table, request in kept.items():
        op.execute(
            f"CREATE TRIGGER {table}_refuses_delete BEFORE DELETE ON {table} "  # noqa: S608 - names of ours
            f"WHEN {request} >= coalesce((SELECT printf('%012x', {table}_from_ms) FROM installation), '') "
            f"BEGIN SELECT raise(ABORT, '{table} rows are never changed'); END"
        )
    for table in _COUNTED_TABLES:
        for event in ("INSERT", "UPDATE", "DELETE"):
            op.execute(f"CREATE TRIGGER {table}_counts_{event.lower()} AFTER {event} ON {table} BEGIN {_COUNT}; END")


def _triggers_on_postgresql() -> None:
    for function in (_NEVER_CHANGED, _KEPT, _COUNTED):
        op.execute(function)
    for table, events in {"ledger": "UPDATE", "names": "UPDATE", "receipts": "UPDATE", "sessions": "UPDATE", "audit": "UPDATE OR DELETE"}.items():
        op.execute(f"CREATE TRIGGER {table}_refuses_change BEFORE {events} ON {table} FOR EACH ROW EXECUTE FUNCTION ollm_never_changed('{table}')")
    for table in ("ledger", "receipts"):
        op.execute(f"CREATE TRIGGER {table}_refuses_delete BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION ollm_kept('{table}')")
    for table in _COUNTED_TABLES:
        op.execute(f"CREATE TRIGGER {table}_counts AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION ollm_counted()")
