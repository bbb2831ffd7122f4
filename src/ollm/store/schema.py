"""Tables of the store, and the rule that none of their columns can hold content.

Every TEXT column has a CHECK that bounds its length and its characters, or lists its values; every BLOB column has a
CHECK on its length, and only sealed receipts, MACs and session documents are BLOBs. On SQLite the tables are STRICT,
so that an integer column can't hold text. `trim(x, chars) = ''` is the one spelling of "only these characters" that
SQLite and PostgreSQL share, and unlike GLOB and length() it isn't fooled by NUL.

The ledger refers to names (of keys, models, upstreams, sessions …) by number: they are few, and a CHECK is then paid once
per name instead of once per request (measured: 13 of 23 µs per entry). The view `ledger_text` shows it with its names.
The ledger is append-only: triggers refuse UPDATE, and DELETE of what is younger than `installation.ledger_from_ms`. A trigger
counts changes of keys, so that every process notices them whoever wrote; so it does for whatever stands above a key: projects,
organisations, accounts and people.

`migrations/` builds these tables; a test holds the two equal. On PostgreSQL, ledger and receipts are partitioned by day and keyed by
request id, and receipts have no number of their entry (`migrations/versions/0002_tables.py`).
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, Integer, LargeBinary, MetaData, Table, Text, UniqueConstraint

from ollm.values.usage import COUNTS, TIERS

LOWER = "abcdefghijklmnopqrstuvwxyz"
DIGITS = "0123456789"
HEX = "0123456789abcdef"
ID = LOWER + DIGITS  # ids that we mint
WORD = LOWER + "_."  # routes such as chat.completions
NAME = LOWER + DIGITS + "-._/:@+" + LOWER.upper()  # names from the configuration: models, upstreams, price versions
LABEL = NAME + " "  # names that an admin gives to keys, projects and people
SUBJECT = ID + "_"  # ids of organisations, projects, accounts and people: org_…, proj_…
TERMS = NAME + '{}[]",'  # terms as JSON: numbers, names and addresses, and no space

LEVELS = ("tee", "zdr", "simulated")
ROLES = ("owner", "admin", "member", "viewer", "auditor")
STATUSES = ("completed", "client_gone", "upstream_failed", "refused", "lost")

MAX_RECEIPT = 65_536  # bytes; a receipt of five events is about 2 KB
MAX_TERMS = 16_384  # characters
MAX_DOCUMENT = 4_194_304  # bytes; a session with its evidence is about 60 KB

# Kinds of names, with the characters and the greatest length of each.
KINDS = {
    "key": (ID, 32),
    "project": (ID + "_", 32),
    "endpoint": (WORD, 64),
    "model": (NAME, 128),
    "upstream": (NAME, 128),
    "session": (HEX, 64),
    "price": (NAME, 128),
}

BIGINT = BigInteger().with_variant(Integer, "sqlite")  # STRICT tables know INTEGER only
metadata = MetaData()


def chars(column: str, charset: str, *, shortest: int = 1, longest: int) -> CheckConstraint:
    """`column` holds `shortest` to `longest` characters of `charset` and nothing else (NULL passes)."""
    return CheckConstraint(f"length({column}) BETWEEN {shortest} AND {longest} AND trim({column}, '{charset}') = ''", name=f"{column}_is_a_name")


def _kind_rule(kind: str) -> CheckConstraint:
    charset, longest = KINDS[kind]
    return CheckConstraint(f"kind <> '{kind}' OR (length(name) <= {longest} AND trim(name, '{charset}') = '')", name=f"{kind}_is_a_name")


def _named(column: str, *, nullable: bool = True) -> Column[int]:
    return Column(column, Integer, ForeignKey("names.number"), nullable=nullable)


def one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    """`column` is one of `values` (NULL passes)."""
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")


def size(column: str, *, smallest: int, largest: int) -> CheckConstraint:
    """The BLOB in `column` has `smallest` to `largest` bytes."""
    return CheckConstraint(f"length({column}) BETWEEN {smallest} AND {largest}", name=f"{column}_is_bounded")


installation = Table(
    "installation",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),  # there is one row
    Column("installation_id", Text, nullable=False),
    Column("row_key_check", LargeBinary, nullable=False),  # proves that the caller's row key is the one of this database
    Column("key_generation", BIGINT, nullable=False),  # grows with each change of keys and of what stands above them
    Column("ledger_from_ms", BIGINT, nullable=False),  # requests that began before it may be let go; Unix milliseconds
    Column("receipts_from_ms", BIGINT, nullable=False),
    CheckConstraint("one = 1", name="one_row"),
    chars("installation_id", HEX, shortest=32, longest=32),
    size("row_key_check", smallest=32, largest=32),
    sqlite_strict=True,
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("key_id", Text, primary_key=True, nullable=False),
    Column("name", Text, nullable=False),
    Column("mac", LargeBinary, nullable=False),
    Column("require", Text, nullable=False),
    Column("created_at", BIGINT, nullable=False),
    Column("expires_at", BIGINT),
    Column("revoked_at", BIGINT),
    Column("project_id", Text, ForeignKey("projects.project_id"), nullable=False),
    Column("owner", Text),  # a service account or a person
    Column("role", Text, nullable=False),
    Column("terms", Text, nullable=False),
    Column("disabled_at", BIGINT),
    Column("replaces", Text),
    Column("row_mac", LargeBinary, nullable=False),
    chars("key_id", ID, longest=32),
    chars("name", LABEL, longest=64),
    one_of("require", LEVELS),
    chars("project_id", SUBJECT, longest=32),
    chars("owner", SUBJECT, longest=32),
    one_of("role", ROLES),
    chars("terms", TERMS, shortest=2, longest=MAX_TERMS),
    chars("replaces", ID, longest=32),
    size("mac", smallest=32, largest=32),
    size("row_mac", smallest=32, largest=32),
    sqlite_strict=True,
)

organisations = Table(
    "organisations",
    metadata,
    Column("org_id", Text, primary_key=True, nullable=False),
    Column("name", Text, nullable=False),
    Column("terms", Text, nullable=False),
    Column("created_at", BIGINT, nullable=False),
    Column("archived_at", BIGINT),
    Column("row_mac", LargeBinary, nullable=False),
    chars("org_id", SUBJECT, longest=32),
    chars("name", LABEL, longest=64),
    chars("terms", TERMS, shortest=2, longest=MAX_TERMS),
    size("row_mac", smallest=32, largest=32),
    sqlite_strict=True,
)

projects = Table(
    "projects",
    metadata,
    Column("project_id", Text, primary_key=True, nullable=False),
    Column("org_id", Text, ForeignKey("organisations.org_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("terms", Text, nullable=False),
    Column("created_at", BIGINT, nullable=False),
    Column("archived_at", BIGINT),
    Column("row_mac", LargeBinary, nullable=False),
    chars("project_id", SUBJECT, longest=32),
    chars("org_id", SUBJECT, longest=32),
    chars("name", LABEL, longest=64),
    chars("terms", TERMS, shortest=2, longest=MAX_TERMS),
    size("row_mac", smallest=32, largest=32),
    sqlite_strict=True,
)

service_accounts = Table(
    "service_accounts",
    metadata,
    Column("account_id", Text, primary_key=True, nullable=False),
    Column("project_id", Text, ForeignKey("projects.project_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("created_at", BIGINT, nullable=False),
    Column("removed_at", BIGINT),
    Column("row_mac", LargeBinary, nullable=False),
    chars("account_id", SUBJECT, longest=32),
    chars("project_id", SUBJECT, longest=32),
    chars("name", LABEL, longest=64),
    size("row_mac", smallest=32, largest=32),
    sqlite_strict=True,
)

users = Table(
    "users",
    metadata,
    Column("user_id", Text, primary_key=True, nullable=False),
    Column("org_id", Text, ForeignKey("organisations.org_id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", BIGINT, nullable=False),
    Column("removed_at", BIGINT),
    Column("row_mac", LargeBinary, nullable=False),
    chars("user_id", SUBJECT, longest=32),
    chars("org_id", SUBJECT, longest=32),
    chars("name", LABEL, longest=64),
    one_of("role", ROLES),
    size("row_mac", smallest=32, largest=32),
    sqlite_strict=True,
)

memberships = Table(
    "memberships",
    metadata,
    Column("project_id", Text, ForeignKey("projects.project_id"), primary_key=True, nullable=False),
    Column("user_id", Text, ForeignKey("users.user_id"), primary_key=True, nullable=False),
    Column("role", Text, nullable=False),
    Column("created_at", BIGINT, nullable=False),
    Column("row_mac", LargeBinary, nullable=False),
    chars("project_id", SUBJECT, longest=32),
    chars("user_id", SUBJECT, longest=32),
    one_of("role", ROLES),
    size("row_mac", smallest=32, largest=32),
    sqlite_strict=True,
)

# Every change that an admin makes; rows are chained by their hashes, and never changed.
audit = Table(
    "audit",
    metadata,
    Column("entry", BIGINT, primary_key=True, autoincrement=False),  # 1, 2, 3 …
    Column("at", BIGINT, nullable=False),  # Unix seconds
    Column("actor", Text, nullable=False),  # a key's id, or local_ and the number of a user of this machine
    Column("action", Text, nullable=False),  # such as api_key.created
    Column("target", Text, nullable=False),  # an id
    Column("detail", Text, nullable=False),  # changed fields as JSON without spaces (store/audit.py)
    Column("digest", LargeBinary, nullable=False),  # over the fields above and the digest of the entry before (values/audit.py)
    Column("row_mac", LargeBinary, nullable=False),
    chars("actor", SUBJECT, longest=32),
    chars("action", WORD, longest=64),
    chars("target", SUBJECT, longest=64),
    chars("detail", TERMS, shortest=2, longest=MAX_TERMS),
    size("digest", smallest=32, largest=32),
    size("row_mac", smallest=32, largest=32),
    sqlite_strict=True,
)

# What entries of the ledger refer to. Rows are never changed.
names = Table(
    "names",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    one_of("kind", tuple(KINDS)),
    chars("name", NAME, longest=128),
    *(_kind_rule(kind) for kind in KINDS),
    UniqueConstraint("kind", "name"),
    sqlite_strict=True,
)

ledger = Table(
    "ledger",
    metadata,
    Column("entry", BIGINT, primary_key=True, autoincrement=False),  # order of completion
    Column("request_id", Text, nullable=False, unique=True),
    _named("key", nullable=False),
    _named("project", nullable=False),
    _named("endpoint", nullable=False),
    _named("model"),
    _named("upstream"),
    Column("level", Text),
    _named("session"),
    Column("status", Text, nullable=False),
    Column("http_status", Integer, nullable=False),
    Column("streamed", Integer, nullable=False),
    Column("started_ms", BIGINT, nullable=False),
    *(Column(count, BIGINT, nullable=False) for count in COUNTS),
    Column("estimated", Integer, nullable=False),
    Column("count_mismatch", Integer, nullable=False),
    Column("tier", Text),
    Column("cost_micro", BIGINT),
    Column("reserved_micro", BIGINT),
    _named("price"),
    Column("verify_us", BIGINT, nullable=False),
    Column("headers_us", BIGINT, nullable=False),
    Column("first_us", BIGINT, nullable=False),
    Column("total_us", BIGINT, nullable=False),
    chars("request_id", HEX, shortest=32, longest=32),
    one_of("level", LEVELS),
    one_of("status", STATUSES),
    one_of("tier", TIERS),
    CheckConstraint("streamed IN (0, 1) AND estimated IN (0, 1) AND count_mismatch IN (0, 1)", name="flags"),
    CheckConstraint(" AND ".join(f"{count} >= 0" for count in COUNTS), name="counts_are_counts"),
    CheckConstraint("reserved_micro >= 0", name="reserved_is_a_count"),
    sqlite_strict=True,
)

# Apart from the ledger, so that receipts can be let go by retention while the ledger stays whole.
receipts = Table(
    "receipts",
    metadata,
    Column("entry", BIGINT, ForeignKey("ledger.entry"), primary_key=True, autoincrement=False),
    Column("sealed", LargeBinary, nullable=False),
    size("sealed", smallest=1, largest=MAX_RECEIPT),
    sqlite_strict=True,
)

sessions = Table(
    "sessions",
    metadata,
    Column("session_id", Text, primary_key=True, nullable=False),
    Column("upstream", Text, nullable=False),
    Column("expires_at", BIGINT, nullable=False),
    Column("document", LargeBinary, nullable=False),
    chars("session_id", HEX, shortest=64, longest=64),
    chars("upstream", NAME, longest=128),
    size("document", smallest=1, largest=MAX_DOCUMENT),
    sqlite_strict=True,
)

# Sums over requests, by hour and by day of their start. `rolled` says which entries are in them: all up to that number, each once.
WIDTHS = (3600, 86_400)  # seconds
NONE = "none"  # stands for a level or a tier that isn't known; 0 for a name: a key of a table has no NULL
NAMED = ("project", "key", "model", "upstream", "endpoint")
SUMS = ("requests", "completed", "refused", "client_gone", "failed", *COUNTS, "estimated", "mismatched", "unpriced", "cost_micro")
LATENCIES = ("verify_us", "headers_us", "first_us", "total_us")

rollups = Table(
    "rollups",
    metadata,
    Column("width", Integer, primary_key=True, autoincrement=False),
    Column("start", BIGINT, primary_key=True, autoincrement=False),  # Unix seconds
    *(Column(name, Integer, primary_key=True, autoincrement=False) for name in NAMED),
    Column("level", Text, primary_key=True, nullable=False),
    Column("tier", Text, primary_key=True, nullable=False),
    *(Column(name, BIGINT, nullable=False) for name in (*SUMS, *LATENCIES, "total_us_max")),
    CheckConstraint(f"width IN ({', '.join(str(width) for width in WIDTHS)})", name="width_is_known"),
    one_of("level", (*LEVELS, NONE)),
    one_of("tier", (*TIERS, NONE)),
    Index("rollups_by_key", "key", "width", "start"),
    Index("rollups_by_project", "project", "width", "start"),
    sqlite_strict=True,
)

rolled = Table(
    "rolled",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False),  # there is one row
    Column("entry", BIGINT, nullable=False),
    CheckConstraint("one = 1", name="one_row"),
    sqlite_strict=True,
)

key_uses = Table(
    "key_uses",
    metadata,
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("last_ms", BIGINT, nullable=False),  # start of its last request; Unix milliseconds
    sqlite_strict=True,
)

# The view of the ledger with names in place of numbers, and with its receipts; made by migrations, read only.
ledger_text = Table(
    "ledger_text",
    MetaData(),
    *(Column(name, BIGINT) for name in ("entry", "started_ms", *COUNTS, "cost_micro", "reserved_micro")),
    *(Column(name, Text) for name in ("request_id", "key_id", "project", "endpoint", "model", "upstream", "level", "session_id", "status")),
    *(Column(name, Text) for name in ("tier", "price_version")),
    *(Column(name, Integer) for name in ("http_status", "streamed", "estimated", "count_mismatch")),
    *(Column(name, Integer) for name in ("verify_us", "headers_us", "first_us", "total_us")),
    Column("receipt", LargeBinary),
)
