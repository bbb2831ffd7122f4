"""The measured configuration, typed. One file, `ollm.toml`, holds every trust anchor; unknown fields are refused.

Secrets are never in it: only where to find them (`file:` or `env:`). Its SHA-256 stands in the gateway's own evidence
and in every receipt, so an auditor can tell under which rules a prompt was handled.
"""

from typing import Annotated, Literal

import msgspec

from ollm.config.admin_settings import AdminSettings, OrganisationSettings, ProjectSettings
from ollm.config.issuers import IssuerSettings
from ollm.traffic.attempts import RetryRules
from ollm.traffic.breaker import BreakerRules
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy
from ollm.values.price import Price
from ollm.values.rules import RuleException, Rules

Seconds = Annotated[float, msgspec.Meta(gt=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Seconds. Each phase has its own, since a silent provider must not look like a slow one."""

    verify: Seconds = 15.0  # how long a request waits for a verified session before it is refused
    connect: Seconds = 5.0  # TCP and TLS, upstream
    headers: Seconds = 600.0  # request sent until response headers: whole answers of large models take minutes
    first_token: Seconds = 600.0  # request sent until the first piece of content of a stream: comments and empty events are none
    idle: Seconds = 120.0  # between two reads of an answer
    total: Seconds = 1800.0  # everything, all attempts and the pauses between them


class GatewaySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    listen: str = "127.0.0.1:8400"
    workers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 1  # processes; more than one share the store and the counters
    data_dir: str = "state"  # relative to the configuration file
    floor: Level = Level.TEE  # no request is served below it, whatever its key says
    currency: str = "USD"  # of all prices, costs and budgets: three letters
    durability: Literal["full", "process"] = "full"  # full: a completed answer survives power loss; process: it survives kill -9
    max_body_bytes: Count = 32 * 1024 * 1024  # images come as base64 inside the body
    max_concurrent: Count = 1024
    max_stream_bytes: Count = 256 * 1024 * 1024  # of one stream or file, beside the cap of each event
    remote_urls: Literal["pass", "refuse"] = "pass"  # in requests; pass: a provider may fetch them. Nothing here ever does
    keep_alive_seconds: Annotated[float, msgspec.Meta(ge=0)] = 15.0  # of silence in a stream before a comment is sent; 0: none is
    drain_seconds: Annotated[float, msgspec.Meta(ge=0)] = 30.0
    tls_certificate: str | None = None  # path; absent: plain HTTP, for loopback or behind your own TLS
    tls_key: str | None = None
    public_hostname: str | None = None  # restricts the TLS entry of the keyset to this name
    rules: tuple[str, ...] = ()  # tables of [rules] that hold for every request
    timeouts: Timeouts = Timeouts()


class SecretSources(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where secrets come from: `file:PATH` (relative to the configuration) or `env:NAME`. 32 bytes each, in hex."""

    pepper: str = "file:secrets/pepper"  # keys the HMAC of API keys
    row_key: str = "file:secrets/row-key"  # authenticates rows, so that the store can't forge a key
    receipt_key: str = "file:secrets/receipt-key"  # Ed25519 seed that signs receipts


class RetentionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whole days, of UTC, that rows are kept after the day on which they were written; absent: for ever. Sums for reports are always kept."""

    ledger: Count | None = None
    receipts: Count | None = None  # never longer than the ledger


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where keys, ledger, receipts and sessions are."""

    url: str = "sqlite"  # a file in gateway.data_dir; else postgresql://user@host:5432/database
    password: str | None = None  # of the PostgreSQL role: file: or env:
    tls: bool = True  # to PostgreSQL on another machine, whose certificate must be for its name
    tls_ca: str | None = None  # PEM of the only CA believed for it; absent: public CAs
    connections: Count = 4  # of each process, for all but the ledger's writer and the watch over keys
    retention_days: RetentionSettings = RetentionSettings()


class EvidenceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The gateway's own attestation. `quote_source` is `none` or `dstack:PATH` (a dstack guest agent's socket)."""

    quote_source: str = "none"
    keyset_days: Count = 30
    repo_url: str | None = None
    repo_commit: str | None = None
    image_digest: str | None = None


class CollateralSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where vendors' statements about hardware come from. Each URL can be a mirror's: what is fetched is verified, wherever it lay."""

    directory: str = "collateral"  # relative to gateway.data_dir; "": nothing outlives the process
    offline: bool = False  # never fetch: use what `ollm collateral import` put into the directory
    pcs_url: str = "https://api.trustedservices.intel.com"
    root_crl_url: str = "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
    pcs_update: Literal["standard", "early"] = "standard"  # early: TCB information as soon as there is any, about a year before it is standard
    kds_url: str = "https://kdsintf.amd.com"
    rim_url: str = "https://rim.attestation.nvidia.com"
    ocsp_url: str = "https://ocsp.ndis.nvidia.com"
    nras_url: str = "https://nras.attestation.nvidia.com"  # its keys are believed for this origin's TLS, so no mirror can stand in for it
    sigstore_root_sha256: str | None = None  # of a trusted_root.json that was brought into the directory; absent: the one of the library


class CountersSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where limits and budgets are counted: in this process, or in a Valkey or Redis that several workers and hosts share."""

    backend: Literal["memory", "valkey"] = "memory"
    url: str | None = None  # redis://host:port/0, rediss://… (TLS) or unix:///path?db=0, without credentials
    username: str | None = None
    password: str | None = None  # file: or env:
    ca: str | None = None  # path of a PEM of the CA to believe, for rediss://; absent: the machine's
    prefix: Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9_-]{0,31}$")] = "ollm"  # of all keys there; another one for each installation
    when_away: Literal["refuse", "local"] = "refuse"  # refuse what is limited, or give out a share of each limit without asking
    local_share: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.1  # of each limit, by each worker, with when_away = "local"
    lease_seconds: Annotated[float, msgspec.Meta(ge=1, le=300)] = 15.0  # after which a worker that is silent counts as dead
    timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=10)] = 1.0  # of one call, connecting included


class UpstreamSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One provider endpoint and the policy that its machine must meet."""

    url: str = ""  # origin, https only; absent: the adapter's own
    ca: str | None = None  # PEM of the only CA believed for the provider's certificate, where nothing attests its key; absent: public CAs
    policy: str | None = None  # absent only where the adapter has no evidence to judge: level zdr
    adapter: str = "aci"
    seal: str | None = None  # tls: the attested channel alone; absent: sealed as the adapter's protocol does it
    pcs_url: str | None = None  # collateral's; another for hardware that is endorsed elsewhere, such as simulated one
    root_crl_url: str | None = None
    model: str | None = None  # where evidence is of one model: as the provider names it
    session_seconds: Count = 3600  # a verification is used no longer than this
    verify_seconds: Seconds | None = None  # how long fetching evidence and collateral may take; absent: the adapter's, or gateway.timeouts.verify
    region: str | None = None  # where the operator says that it is; no evidence shows it
    api_key: str | None = None  # file: or env:
    api_keys: tuple[str, ...] = ()  # several, in its place: they take turns, and one that is refused or limited is passed over
    max_connections: Count = 256
    max_machines: Count | None = None  # verify so many machines of the model, each for itself; absent: whichever the url reaches

    @property
    def key_sources(self) -> tuple[str, ...]:
        """Where its credentials are; none where it wants none."""
        return self.api_keys if self.api_key is None else (self.api_key,)


class ModelSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A model as clients name it."""

    upstreams: tuple[str, ...]  # tried in this order
    aliases: tuple[str, ...] = ()  # other names that clients may use for it
    spread: bool = False  # take turns among the verified ones that reach the level of the first of them
    choose: Literal["order", "weighted", "least_busy", "latency"] = "order"  # which of those is tried first
    weights: dict[str, Count] | None = None  # upstream → its share, for weighted and least_busy; absent: 1
    attempts: Annotated[int, msgspec.Meta(ge=1, le=20)] | None = None  # absent: routing.attempts
    upstream_model: str | None = None  # absent: the same name
    owned_by: str = "ollm"
    price: Price | tuple[Price, ...] | str | None = None  # a version, several, or the name of one in [prices]
    context_length: Count | None = None  # tokens of prompt and answer together
    max_output: Count | None = None  # tokens of an answer; the limit of one where an API demands that and the client names none
    modalities: str | None = None  # what goes in and what comes out: "text+image->text"
    supported_parameters: tuple[str, ...] = ()  # members of a request that the model heeds
    endpoints: tuple[str, ...] | None = None  # what its upstreams answer to with this model; absent: what their adapters say

    @property
    def prices(self) -> tuple[Price, ...]:
        """The versions of its price; none where it isn't known. A reference was resolved when the configuration was read."""
        if isinstance(self.price, Price):
            return (self.price,)
        return self.price if isinstance(self.price, tuple) else ()


class RoutingSettings(RetryRules, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often a request is sent, after which pauses, and when a route is left alone."""

    breaker: BreakerRules = BreakerRules()


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    gateway: GatewaySettings = GatewaySettings()
    routing: RoutingSettings = RoutingSettings()
    secrets: SecretSources = SecretSources()
    store: StoreSettings = StoreSettings()
    evidence: EvidenceSettings = EvidenceSettings()
    collateral: CollateralSettings = CollateralSettings()
    counters: CountersSettings = CountersSettings()
    issuers: dict[str, IssuerSettings] = {}
    policies: dict[str, AttestationPolicy] = {}
    rules: dict[str, Rules] = {}
    exceptions: tuple[RuleException, ...] = ()
    upstreams: dict[str, UpstreamSettings] = {}
    prices: dict[str, Price | tuple[Price, ...]] = {}  # that models refer to by name
    models: dict[str, ModelSettings] = {}
    admin: AdminSettings = AdminSettings()
    organisation: OrganisationSettings | None = None  # absent: `ollm apply` leaves it as it is
    projects: dict[str, ProjectSettings] = {}  # what `ollm apply` makes, by name
    defaults: dict[str, str] = {}  # endpoint → the model of requests that name none
