"""Numbers for the names that entries of the ledger refer to."""

import sqlite3

_FIND = "SELECT number FROM names WHERE kind = ? AND name = ?"
_ADD = "INSERT INTO names (kind, name) VALUES (?, ?) RETURNING number"


class Kind(dict[str | None, int | None]):
    """Numbers of the names of one kind: `kind[name]`. An unknown name gets a row within the transaction that is open."""

    def __init__(self, db: sqlite3.Connection, kind: str) -> None:
        super().__init__({None: None})
        self._db = db
        self._kind = kind

    def __missing__(self, name: str) -> int:
        """Raises: sqlite3.IntegrityError when `name` isn't of this kind's characters and length."""
        # Exact str: subclasses such as StrEnum are bound by what they are worth.
        plain = str(name)
        row = self._db.execute(_FIND, (self._kind, plain)).fetchone() or self._db.execute(_ADD, (self._kind, plain)).fetchone()
        number = self[name] = int(row[0])
        return number


class Names:
    """All kinds. Call `forget` when a transaction was rolled back: numbers that it gave out are void."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.keys = Kind(db, "key")
        self.projects = Kind(db, "project")
        self.endpoints = Kind(db, "endpoint")
        self.models = Kind(db, "model")
        self.upstreams = Kind(db, "upstream")
        self.sessions = Kind(db, "session")
        self.prices = Kind(db, "price")

    def forget(self) -> None:
        for kind in (self.keys, self.projects, self.endpoints, self.models, self.upstreams, self.sessions, self.prices):
            kind.clear()
            kind[None] = None
