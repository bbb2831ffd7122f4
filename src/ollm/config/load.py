"""Reading the configuration: bytes of `ollm.toml` to `Settings`, with every reference checked before anything starts."""

import ipaddress
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec
from cryptography import x509

from ollm.config import policy_rules, price_rules
from ollm.config.adapters import ADAPTERS, Traits
from ollm.config.counters import check_counters
from ollm.config.issuers import check_issuers
from ollm.config.policy_file import REFERENCE, policy_of, toml_table
from ollm.config.rules_file import check_references, rules_of
from ollm.config.settings import CollateralSettings, ModelSettings, Settings, StoreSettings, UpstreamSettings
from ollm.config.terms_rules import check_administration
from ollm.errors import ConfigError
from ollm.values.hexes import Sha256, sha256_of
from ollm.values.secret import Sealed
from ollm.wire.endpoints import NAMES

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")  # names end up in ledger columns and metrics labels
_SHORT = 64  # characters that the ledger's column for upstreams holds
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LABEL = "[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_FLEET = re.compile(rf"{_LABEL}(?:\.{_LABEL})+\.[a-z][a-z0-9-]*")  # a host below a domain: no address, and no domain of the top level
_ONE_MACHINE = re.compile(r"[^.]*-i[0-9]+\..*")
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MEMBER = re.compile(r"[a-z][a-z0-9_]{0,63}")
_KIND = "(?:text|image|audio|video|file)"
_MODALITIES = re.compile(rf"{_KIND}(?:\+{_KIND})*->(?:{_KIND}(?:\+{_KIND})*|embeddings|rerank)")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*/?")  # of an API's base: it goes into request lines as it stands


class Loaded(msgspec.Struct, frozen=True):
    """A configuration with the place it came from and the digest of its exact bytes."""

    settings: Settings
    directory: Path
    digest: Sha256

    def path(self, text: str) -> Path:
        """`text` as a path, relative to the configuration file."""
        return (self.directory / text).resolve()

    def secret(self, source: str) -> Sealed:
        """The secret that `source` (`file:PATH` or `env:NAME`) names. Raises: ConfigError."""
        return read_secret(source, self.directory)


def load(path: Path) -> Loaded:
    """Read and check the configuration at `path`. Raises: ConfigError."""
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise ConfigError(f"can't read {path}: {problem.strerror}", "run `ollm init`, or name the file with -c") from None
    directory = path.resolve().parent
    return Loaded(parse(data, directory), directory, sha256_of(data))


def parse(data: bytes, directory: Path = Path()) -> Settings:
    """`data` as settings, all references checked; paths of policy files are relative to `directory`. Raises: ConfigError."""
    tree = toml_table(data, "the configuration")
    tables, rule_tables = _taken(tree, "policies"), _taken(tree, "rules")
    try:
        settings = msgspec.convert(tree, Settings)
    except msgspec.ValidationError as problem:
        raise ConfigError(str(problem), REFERENCE) from None
    for name in tables:
        check_name("policy", name)
    policies = {name: policy_of(name, table, directory) for name, table in tables.items()}
    rules = {name: rules_of(name, table, directory) for name, table in rule_tables.items()}
    upstreams = {name: _placed(upstream) for name, upstream in settings.upstreams.items()}
    models = price_rules.resolved(settings.models, settings.prices, settings.gateway)
    settings = msgspec.structs.replace(settings, policies=policies, rules=rules, upstreams=upstreams, models=models)
    _check(settings)
    return settings


def _taken(tree: dict[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """The tables of `tree[name]`, taken out of it: each is read on its own, from a file perhaps, and its errors then name it."""
    tables = tree.get(name)
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        return {}
    del tree[name]
    return tables


def _placed(upstream: UpstreamSettings) -> UpstreamSettings:
    """`upstream` with its adapter's URL and patience where it names none."""
    traits = ADAPTERS.get(upstream.adapter)
    if traits is None:
        return upstream
    return msgspec.structs.replace(upstream, url=upstream.url or traits.url, verify_seconds=upstream.verify_seconds or traits.verify_seconds)


def _check(settings: Settings) -> None:
    for kind, table in (("upstream", settings.upstreams), ("model", settings.models), ("issuer", settings.issuers), ("price", settings.prices)):
        for name in table:
            check_name(kind, name)
    listen_address(settings.gateway.listen)
    listen_address(settings.admin.listen, "admin.listen")
    check_administration(settings)
    if (settings.gateway.tls_certificate is None) != (settings.gateway.tls_key is None):
        raise ConfigError("only one of gateway.tls_certificate and gateway.tls_key is set", "set both or none")
    _check_store(settings.store)
    _check_workers(settings)
    for name, policy in settings.policies.items():
        policy_rules.check_installed(f"policies.{name}", policy)
    for name, upstream in settings.upstreams.items():
        _check_upstream(name, upstream, settings)
    _check_models(settings)
    check_issuers(settings.issuers)
    check_counters(settings.counters)
    check_references(settings)


def _check_workers(settings: Settings) -> None:
    """What several workers have to share is not in one of them."""
    if settings.gateway.workers == 1:
        return
    if settings.store.url == "sqlite":
        raise ConfigError(
            f"gateway.workers is {settings.gateway.workers}, and store.url is sqlite, which one process writes", "name a PostgreSQL server"
        )
    if settings.counters.backend == "memory":
        raise ConfigError(
            f"gateway.workers is {settings.gateway.workers}, and counters.backend is memory, so that each would count for itself",
            'set counters.backend = "valkey"',
        )


def _check_store(store: StoreSettings) -> None:
    kept = store.retention_days
    if kept.ledger is not None and kept.receipts is not None and kept.receipts > kept.ledger:
        raise ConfigError("store.retention_days.receipts is more than store.retention_days.ledger", "receipts go with their entries at the latest")
    if store.url == "sqlite":
        if store.password is not None or store.tls_ca is not None:
            raise ConfigError(
                "store.password and store.tls_ca are for PostgreSQL, and store.url is sqlite", "remove them, or name the server in store.url"
            )
    elif not store.url.startswith("postgresql://"):
        raise ConfigError("store.url is neither sqlite nor postgresql://…", "write sqlite, or postgresql://user@host:5432/database")


def _check_models(settings: Settings) -> None:
    aliases: set[str] = set()
    for name, model in settings.models.items():
        _check_model(name, model, settings)
        _check_choice(name, model)
        for alias in model.aliases:
            check_name("alias", alias)
            if alias in settings.models or alias in aliases:
                raise ConfigError(f"models.{name}.aliases names {alias!r}, which is another model's name or alias", "give each name to one model")
            aliases.add(alias)
    for endpoint, named in settings.defaults.items():
        if endpoint not in NAMES:
            raise ConfigError(f"defaults.{endpoint} is no endpoint", f"one of: {', '.join(sorted(NAMES))}")
        if named not in settings.models and named not in aliases:
            raise ConfigError(f"defaults.{endpoint} names model {named!r}, which is not configured", f"add [models.{named!r}]")


def check_name(kind: str, name: str) -> None:
    """A name of the configuration's. Raises: ConfigError."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{kind} name {name!r} has characters that a name can't have", "use letters, digits and . _ : / @ -")


def listen_address(listen: str, field: str = "gateway.listen") -> tuple[str, int]:
    """Host and port of what `field` says. Raises: ConfigError."""
    host, _, port = listen.rpartition(":")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigError(f"{field} {listen!r} is not host:port", 'for example "127.0.0.1:8400"')
    return host.strip("[]"), int(port)


def _check_model(name: str, model: ModelSettings, settings: Settings) -> None:
    if not model.upstreams:
        raise ConfigError(f"models.{name}.upstreams is empty", "name at least one upstream")
    for endpoint in model.endpoints or ():
        if endpoint not in NAMES:
            raise ConfigError(f"models.{name}.endpoints names {endpoint!r}, which is no endpoint", f"one of: {', '.join(sorted(NAMES))}")
    if model.modalities is not None and not _MODALITIES.fullmatch(model.modalities):
        raise ConfigError(f"models.{name}.modalities {model.modalities!r} says not what goes in and what comes out", 'for example "text+image->text"')
    for member in model.supported_parameters:
        if not _MEMBER.fullmatch(member):
            raise ConfigError(f"models.{name}.supported_parameters names {member!r}, which no member of a request can be", "for example temperature")
    for candidate in model.upstreams:
        if candidate not in settings.upstreams:
            raise ConfigError(f"models.{name} names upstream {candidate!r}, which is not configured", f"add [upstreams.{candidate}]")


def _check_choice(name: str, model: ModelSettings) -> None:
    """Whom a model's requests go to first."""
    if len(set(model.upstreams)) != len(model.upstreams):
        raise ConfigError(f"models.{name}.upstreams names an upstream twice", "name each once; weights say how much each gets")
    for upstream in model.weights or ():
        if upstream not in model.upstreams:
            raise ConfigError(f"models.{name}.weights names {upstream!r}, which is none of its upstreams", "use the names in upstreams")
    if model.weights is not None and model.choose not in ("weighted", "least_busy"):
        raise ConfigError(f"models.{name}.weights is set, and nothing weighs", 'set choose = "weighted" or "least_busy"')
    if model.spread and model.choose != "order":
        raise ConfigError(f"models.{name} has both spread and choose", "leave spread out")


def _check_keys(name: str, upstream: UpstreamSettings) -> None:
    if upstream.api_key is not None and upstream.api_keys:
        raise ConfigError(f"upstreams.{name} has both api_key and api_keys", "keep one of them")
    if len(set(upstream.api_keys)) != len(upstream.api_keys):
        raise ConfigError(f"upstreams.{name}.api_keys names a source twice", "name each once")


def _check_upstream(name: str, upstream: UpstreamSettings, settings: Settings) -> None:
    if len(name) > _SHORT:
        raise ConfigError(f"upstream name {name!r} is longer than {_SHORT} characters", "choose a shorter one")
    traits = ADAPTERS.get(upstream.adapter)
    if traits is None:
        raise ConfigError(f"upstreams.{name}.adapter {upstream.adapter!r} is unknown", f"this release knows: {', '.join(ADAPTERS)}")
    if upstream.region is not None and not _REGION.fullmatch(upstream.region):
        raise ConfigError(f"upstreams.{name}.region {upstream.region!r} is not a short name", 'for example "eu-west" or "DE"')
    if upstream.seal not in (None, *traits.seals):
        raise ConfigError(f"upstreams.{name}.seal {upstream.seal!r} is unknown", " or ".join(("leave it out", *traits.seals)))
    if not traits.evidence and upstream.policy is not None:
        raise ConfigError(f"upstreams.{name} has a policy, and {upstream.adapter} has no evidence to judge", "leave the policy out: its level is zdr")
    if traits.evidence and upstream.policy is None:
        raise ConfigError(f"upstreams.{name} names no policy", "name the policy that its machine must meet")
    if upstream.policy is not None and upstream.policy not in settings.policies:
        raise ConfigError(f"upstreams.{name} names policy {upstream.policy!r}, which is not configured", f"add [policies.{upstream.policy}]")
    _check_keys(name, upstream)
    _check_way(name, upstream, traits)
    if upstream.max_machines is not None:
        _check_machines(name, upstream, settings, traits)


def _check_way(name: str, upstream: UpstreamSettings, traits: Traits) -> None:
    """Where the provider is, and where its collateral."""
    if not upstream.url:
        raise ConfigError(f"upstreams.{name} names no url", f"{upstream.adapter} has none of its own")
    if _origin(f"upstreams.{name}.url", upstream.url, path=traits.base) != "https":
        raise ConfigError(f"upstreams.{name}.url is not https", "a prompt leaves over TLS only")
    if upstream.ca is not None:
        _check_ca(name, upstream.ca, traits)
    if traits.model is not None and not re.fullmatch(traits.model[0], upstream.model or ""):
        raise ConfigError(f"upstreams.{name}.model is not what {upstream.adapter} needs", traits.model[1])
    for field, url in (("pcs_url", upstream.pcs_url), ("root_crl_url", upstream.root_crl_url)):
        if url is not None:
            _check_source(f"upstreams.{name}.{field}", url)


def _check_machines(name: str, upstream: UpstreamSettings, settings: Settings, traits: Traits) -> None:
    """Machines are looked for beside a host that reaches any of them."""
    if not traits.machines:
        raise ConfigError(f"upstreams.{name}.max_machines is set, and machines of {upstream.adapter} have no hosts of their own", "leave it out")
    host = urlsplit(upstream.url).hostname or ""
    if not _FLEET.fullmatch(host) or _ONE_MACHINE.fullmatch(host):
        raise ConfigError(
            f"upstreams.{name}.max_machines is set, and its url is not that of a model", "write https://MODEL.DOMAIN, without the number of a machine"
        )
    if upstream.policy is not None and settings.policies[upstream.policy].service.gateway_tdx is not None:
        raise ConfigError(f"upstreams.{name}.max_machines is set, and its policy is for a gateway", "a gateway chooses among machines itself")


def _check_collateral(settings: CollateralSettings) -> None:
    for field in ("pcs_url", "root_crl_url", "kds_url", "rim_url", "ocsp_url", "nras_url"):
        _check_source(f"collateral.{field}", getattr(settings, field))
    if settings.offline and not settings.directory:
        raise ConfigError("collateral.offline is set, and collateral.directory is not", "name the directory that collateral was imported into")
    if settings.sigstore_root_sha256 is not None and not (_SHA256.fullmatch(settings.sigstore_root_sha256) and settings.directory):
        raise ConfigError("collateral.sigstore_root_sha256 is no SHA-256, or there is no collateral.directory", "64 hexadecimal characters")


def _check_source(field: str, url: str) -> None:
    split = _split(field, url)
    if split.scheme != "https" and not (split.scheme == "http" and is_loopback(split.hostname or "")):
        raise ConfigError(f"{field} is not https", "collateral comes over https, or http from loopback")
    if not split.hostname or split.username or split.password or split.query or split.fragment:
        raise ConfigError(f"{field} is not a plain URL", "write it as https://host or https://host/path, without credentials or a query")


def _check_ca(name: str, ca: str, traits: Traits) -> None:
    if not traits.certified:
        raise ConfigError(f"upstreams.{name}.ca is set, and this adapter's evidence names the key of the connection", "leave it out")
    try:
        x509.load_pem_x509_certificates(ca.encode())
    except ValueError:
        raise ConfigError(f"upstreams.{name}.ca is no certificate", "write the CA's certificate there, as PEM text") from None


def _origin(field: str, url: str, *, path: bool = False) -> str:
    split = _split(field, url)
    if not path and split.path not in ("", "/"):
        raise ConfigError(f"{field} is not an origin", "write it as https://host or https://host:port")
    if not split.hostname or split.username or split.password or split.query or split.fragment or not _PATH.fullmatch(split.path):
        raise ConfigError(f"{field} is not an origin", "write it as https://host or https://host:port")
    return split.scheme


def _split(field: str, url: str) -> SplitResult:
    try:
        split = urlsplit(url)
        _ = split.port  # read by name only: it is checked then
    except ValueError:
        raise ConfigError(f"{field} is not a URL", "write it as https://host or https://host:port") from None
    return split


def is_loopback(host: str) -> bool:
    """Whether `host` can only be this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_secret(source: str, directory: Path) -> Sealed:
    """The bytes behind `source`; whitespace at the ends is dropped. Raises: ConfigError, which never holds the secret."""
    kind, _, name = source.partition(":")
    if kind == "env":
        value = os.environ.get(name, "").strip()
        if not value:
            raise ConfigError(f"environment variable {name} is not set", "set it, or name another source")
        return Sealed(value.encode())
    if kind != "file":
        raise ConfigError("a secret's source is neither file: nor env:", "secrets are never written into the configuration itself")
    path = directory / name
    try:
        data = path.read_bytes().strip()
        mode = path.stat().st_mode
    except OSError as problem:
        raise ConfigError(f"can't read secret {path}: {problem.strerror}", "run `ollm init`, or restore the file") from None
    if mode & 0o077:
        raise ConfigError(f"secret {path} can be read by others", f"chmod 600 {path}")
    if not data:
        raise ConfigError(f"secret {path} is empty", "restore it")
    return Sealed(data)


def key_bytes(secret: Sealed, source: str) -> bytes:
    """A 32-byte key from its hex form. Raises: ConfigError."""
    try:
        key = bytes.fromhex(secret.expose().decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        raise ConfigError(f"the secret at {source} is not hex", "it must be 64 hexadecimal characters") from None
    if len(key) != 32:
        raise ConfigError(f"the secret at {source} is not 32 bytes", "it must be 64 hexadecimal characters")
    return key
