"""Query strings of the control plane, as OpenAI's clients write them: `name=value`, lists as `name[]=a&name[]=b`, ranges as `name[gte]=5`."""

from collections.abc import Collection, Mapping, Sequence
from urllib.parse import parse_qsl

from ollm.errors import ApiError

MAX_FIELDS = 200
MAX_PAGE = 100  # objects of a list at once
DEFAULT_PAGE = 20
_MAX_INTEGER = 10**15


class Query:
    """The fields of a query string. What was never asked for by `one`, `many`, `integer` or `flag` is no field: `end` refuses it."""

    def __init__(self, raw: bytes) -> None:
        """Raises: ApiError 400 for bytes that are no query string."""
        try:
            pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
        except ValueError:
            raise invalid(None, "The query string can't be read.") from None
        self._fields: dict[str, list[str]] = {}
        for name, value in pairs:
            self._fields.setdefault(name.removesuffix("[]"), []).append(value)
        self._known: set[str] = set()

    def one(self, name: str, allowed: Collection[str] | None = None) -> str | None:
        """The value of `name`, one of `allowed`; None when it is absent. Raises: ApiError 400."""
        self._known.add(name)
        values = self._fields.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise invalid(name, f"{name} is repeated.")
        if allowed is not None and values[0] not in allowed:
            raise invalid(name, f"{name} must be one of {', '.join(sorted(allowed))}.")
        return values[0]

    def many(self, name: str, allowed: Collection[str] | None = None) -> tuple[str, ...]:
        """All values of `name`, each one of `allowed`. Raises: ApiError 400."""
        self._known.add(name)
        values = tuple(self._fields.get(name, ()))
        if allowed is not None and not set(values) <= set(allowed):
            raise invalid(name, f"{name} must hold some of {', '.join(sorted(allowed))}.")
        return values

    def integer(self, name: str, *, least: int = 0, most: int = _MAX_INTEGER) -> int | None:
        """The whole number `name`, or None. Raises: ApiError 400."""
        text = self.one(name)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and len(text) <= 16 and least <= int(text) <= most):
            raise invalid(name, f"{name} must be a whole number from {least} to {most}.")
        return int(text)

    def needed(self, name: str) -> int:
        """The whole number `name`. Raises: ApiError 400 also when it is absent."""
        found = self.integer(name)
        if found is None:
            raise invalid(name, f"{name} is needed: a whole number.")
        return found

    def flag(self, name: str) -> bool:
        """Whether `name` is true; absent: false. Raises: ApiError 400."""
        return self.one(name, ("true", "false")) == "true"

    def end(self) -> None:
        """Raises: ApiError 400 for a field that nothing asked for: a filter with a typing error must not filter nothing."""
        if unknown := set(self._fields) - self._known:
            takes = f"takes {', '.join(sorted(self._known))}" if self._known else "takes no fields"
            raise invalid(None, f"The query string has {len(unknown)} fields that are not known; this endpoint {takes}.")


class Page:
    """Which part of a list is asked for: `limit` objects behind the one with the id `after`."""

    def __init__(self, query: Query, *, orders: bool = False) -> None:
        self.after = query.one("after") or None
        self.limit = query.integer("limit", least=1, most=MAX_PAGE) or DEFAULT_PAGE
        self.newest_first = orders and query.one("order", ("asc", "desc")) == "desc"

    def of(self, objects: Sequence[Mapping[str, object]]) -> dict[str, object]:
        """The list object with that part of `objects`, which are oldest first. Raises: ApiError 400 where none has the id `after`."""
        objects = objects[::-1] if self.newest_first else objects
        start = 0
        if self.after is not None:
            ids = [each["id"] for each in objects]
            if self.after not in ids:
                raise invalid("after", "after names nothing in this list.")
            start = ids.index(self.after) + 1
        return listed(objects[start : start + self.limit], has_more=len(objects) > start + self.limit)


def listed(objects: Sequence[Mapping[str, object]], *, has_more: bool) -> dict[str, object]:
    """A list as OpenAI's clients read it."""
    ends = {"first_id": objects[0]["id"] if objects else None, "last_id": objects[-1]["id"] if objects else None}
    return {"object": "list", "data": list(objects), **ends, "has_more": has_more}


def invalid(name: str | None, message: str) -> ApiError:
    """400 for a query string that can't be followed."""
    return ApiError(400, "invalid_request_error", "invalid_query", message, param=name)
