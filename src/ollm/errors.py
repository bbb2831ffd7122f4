"""Every error that OLLM raises on purpose.

    OllmError
    ├── ConfigError            the operator's file or secret is unusable; says the cause and the mend
    ├── EvidenceRefused        evidence is malformed, not genuine or not wanted; names the check, got and want
    ├── SealError              a sealed body can't be made or opened; carries a code, never bytes
    ├── WireError              a client's or a provider's bytes break the format that was agreed
    │   └── ErrorAnswer        a provider says in the body of a good status that it failed
    ├── RuleBlocked            a rule about texts found one that it blocks; names the rule, never the text
    ├── TokenRefused           a caller's token is not one that we accept; names the check, for the log alone
    ├── StoreError             the store can't do what was asked
    │   ├── NoSuchSubject      there is no project, key, account or person of this id
    │   ├── ChangeRefused      an administrator's change contradicts what is there
    │   └── CountersAway       the counters can't be reached, or are not ready yet
    ├── ApiError               an answer to the client in OpenAI's shape
    └── UpstreamError          a provider failed; says in which phase, and whether the prompt may have left
        ├── ChannelRefused     the peer on a new connection is not the one that was verified
        ├── UpstreamAnswered   it answered with an error status
        ├── UpstreamResting    it failed so often of late that it is left alone
        └── CollateralError    a vendor's statement about hardware can't be had, or is not in time

Texts of these errors are written here or by their raiser from fixed words, names from the configuration and numbers.
They never hold bytes of a request, of an answer, or of a foreign exception's text: that is what keeps content out of
logs, so foreign exceptions are translated at the boundary with ``from None`` where their text could carry content.
"""

from collections.abc import Mapping


class OllmError(Exception):
    """Base of all deliberate errors."""


def let_go(problem: BaseException) -> None:
    """Let go of the frames that `problem` came through, once it is dealt with.

    Those frames hold prompts, and often `problem` itself: as a cycle, all of it would stay in memory until the collector comes.
    """
    seen: BaseException | None = problem
    while seen is not None:
        seen.__traceback__ = None
        seen = seen.__context__


class ConfigError(OllmError):
    """The configuration is unusable. `cause` says what is wrong and `mend` what to do about it."""

    def __init__(self, cause: str, mend: str = "") -> None:
        super().__init__(f"{cause} ({mend})" if mend else cause)
        self.cause = cause
        self.mend = mend


class EvidenceRefused(OllmError):
    """A check of evidence failed: `check` names it; `got` and `want` explain it in words or hex."""

    def __init__(self, check: str, got: str, want: str) -> None:
        super().__init__(f"{check}: got {got}, want {want}")
        self.check = check
        self.got = got
        self.want = want


class SealError(OllmError):
    """A sealed body can't be made or opened. `code` is one of EHBP's error classes (SPEC §5.5) or of those in seal/cipher.py."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code


class WireError(OllmError):
    """Bytes that break the agreed format. `reason` is fixed text; `param` names a known field or is None."""

    def __init__(self, reason: str, param: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.param = param


class ErrorAnswer(WireError):
    """A provider's error object under a good status. `status` is the HTTP status that its words stand for; None: they don't say.

    `other_key`: the provider has another credential of ours.
    """

    def __init__(self, status: int | None) -> None:
        super().__init__("the provider answered with an error object")
        self.status = status
        self.other_key = False

    @property
    def stands_for(self) -> int:
        """The HTTP status that it is treated as: where its words don't say, it is the provider's failure."""
        return self.status or 502


class RuleBlocked(OllmError):
    """A rule about texts blocks what stands in a request or an answer. `rule` is its name in the configuration, TABLE/NAME."""

    def __init__(self, rule: str) -> None:
        super().__init__(f"blocked by rule {rule}")
        self.rule = rule


class TokenRefused(OllmError):
    """A token of another issuer is refused: `check` names why. It is for the operator's log: callers hear the same of every reason."""

    def __init__(self, check: str) -> None:
        super().__init__(f"token refused: {check}")
        self.check = check


class StoreError(OllmError):
    """The store can't do what was asked: locked, from another installation, or not writable.

    `cause` says what is wrong and `mend` what to do about it.
    """

    def __init__(self, cause: str, mend: str = "") -> None:
        super().__init__(f"{cause} ({mend})" if mend else cause)
        self.cause = cause
        self.mend = mend


class NoSuchSubject(StoreError):
    """There is no row of this id, or none that is authentic. `kind` is fixed text, such as project."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"there is no such {kind}", f"list the {kind}s to see their ids")
        self.kind = kind


class ChangeRefused(StoreError):
    """An administrator's change contradicts what is there: what is revoked stays revoked."""


class CountersAway(StoreError):
    """The counters of limits and budgets can't be asked now. `seconds`: when it is worth trying again."""

    def __init__(self, cause: str, seconds: float = 1.0) -> None:
        super().__init__(cause)
        self.seconds = seconds


class ApiError(OllmError):
    """An answer to the client in OpenAI's error shape.

    `status` is the HTTP status, `type` and `code` the members of the error object, `headers` extra response headers.
    """

    def __init__(
        self, status: int, type: str, code: str | None, message: str, *, param: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.code = code
        self.message = message
        self.param = param
        self.headers: Mapping[str, str] = headers or {}


NO_CONNECTION_FREE = "no free connection"
SESSION_ENDED = "the verified session has ended"
OURS = frozenset({NO_CONNECTION_FREE, SESSION_ENDED})  # reasons of an UpstreamError that say nothing of the provider
UNANSWERED = "connection closed before any byte of an answer"  # the reason of such an UpstreamError: the provider may have worked all the same


class UpstreamError(OllmError):
    """A provider failed. `phase` is connect, send, headers, first_byte, first_token, stream, total or close; `status` its HTTP status, if any."""

    def __init__(self, phase: str, reason: str, *, status: int | None = None) -> None:
        super().__init__(f"{phase}: {reason}")
        self.phase = phase
        self.reason = reason
        self.status = status

    def again(self) -> "UpstreamError":
        """The same, to be raised anew: one exception raised twice collects two tracebacks."""
        return UpstreamError(self.phase, self.reason, status=self.status)


class ChannelRefused(UpstreamError):
    """The key of the peer on this connection is not one that the verified evidence binds."""

    def __init__(self, got: str, want: str) -> None:
        super().__init__("connect", f"channel.spki: got {got}, want {want}")
        self.got = got
        self.want = want


class UpstreamAnswered(UpstreamError):
    """A provider answered with another status than 200. `pause`: seconds that it asked to be left alone; `other_key`: it has another credential."""

    def __init__(self, status: int, pause: float | None, *, other_key: bool) -> None:
        super().__init__("headers", "an error status", status=status)
        self.pause = pause
        self.other_key = other_key


class UpstreamResting(UpstreamError):
    """Every route's circuit breaker is open; the first is due in `seconds`. Nothing was sent."""

    def __init__(self, seconds: float) -> None:
        super().__init__("connect", "left alone after failures")
        self.seconds = seconds


class CollateralError(UpstreamError):
    """A vendor's statement can't be had, or is not in time. `retry_after` is how many seconds the service asked to be left alone."""

    def __init__(self, phase: str, reason: str, *, status: int | None = None, retry_after: float | None = None, ended: bool = False) -> None:
        super().__init__(phase, reason, status=status)
        self.retry_after = retry_after
        self.ended = ended  # it was had, and its time is over

    def again(self) -> "CollateralError":
        """As `UpstreamError.again`."""
        return CollateralError(self.phase, self.reason, status=self.status, retry_after=self.retry_after, ended=self.ended)
