"""The configuration's fields: what holds when nothing is said, and that nothing unknown is passed over."""

import msgspec
import pytest

from ollm.cli.template import CONFIG
from ollm.config.load import parse
from ollm.config.settings import (
    CollateralSettings,
    CountersSettings,
    EvidenceSettings,
    GatewaySettings,
    ModelSettings,
    SecretSources,
    Settings,
    Timeouts,
    UpstreamSettings,
)
from ollm.errors import ConfigError
from ollm.traffic.price import cost_micro
from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, TdxPolicy, TdxReferenceValues
from ollm.values.price import Price
from ollm.values.usage import Usage

TABLES: dict[str, type[msgspec.Struct]] = {
    "": Settings,
    "gateway": GatewaySettings,
    "gateway.timeouts": Timeouts,
    "secrets": SecretSources,
    "evidence": EvidenceSettings,
    "collateral": CollateralSettings,
    "counters": CountersSettings,
    "policies.p": AttestationPolicy,
    "policies.p.tdx": TdxPolicy,
    "upstreams.u": UpstreamSettings,
    "models.m": ModelSettings,
    "models.m.price": Price,
}


def test_nothing_said_is_the_strict_configuration() -> None:
    settings = parse(b"")
    assert settings == Settings()
    assert settings.gateway.floor is Level.TEE
    assert settings.gateway.durability == "full"
    assert settings.gateway.listen == "127.0.0.1:8400"
    assert settings.gateway.tls_certificate is settings.gateway.tls_key is None
    assert settings.evidence.quote_source == "none"
    assert not (settings.policies or settings.upstreams or settings.models)


def test_an_upstream_is_sealed_and_endorsed_by_intel_unless_said_otherwise() -> None:
    upstream = UpstreamSettings(url="https://provider.example", policy="p")
    assert (upstream.adapter, upstream.seal, upstream.session_seconds, upstream.api_key) == ("aci", None, 3600, None)
    assert upstream.pcs_url is upstream.root_crl_url is None
    collateral = CollateralSettings()
    assert collateral.pcs_url == "https://api.trustedservices.intel.com"
    assert collateral.root_crl_url == "https://certificates.trustedservices.intel.com/IntelSGXRootCA.der"
    assert collateral.directory and not collateral.offline


def test_a_policy_accepts_nothing_until_it_has_reference_values() -> None:
    policy = parse(b'[policies.p]\nlevel = "tee"').policies["p"]
    assert policy.name == "p"
    assert policy.tdx.reference_values == ()
    assert (policy.require_event_log, policy.require_compose) == (True, True)
    assert policy.tdx.accepted_tcb_status == ("UpToDate",)
    assert policy.tdx.simulated_root_sha256 is None


def test_secrets_are_named_and_never_stand_in_the_file() -> None:
    for source in msgspec.structs.astuple(SecretSources()):
        assert source.startswith("file:secrets/")


def test_what_init_writes_says_the_defaults() -> None:
    assert parse(CONFIG.encode()) == Settings()


@pytest.mark.parametrize("table", TABLES)
def test_an_unknown_field_is_refused_everywhere(table: str) -> None:
    head = f"[{table}]\n" if table else ""
    with pytest.raises(ConfigError) as refusal:
        parse(f"{head}attestation_optional = true\n".encode())
    assert "`attestation_optional`" in refusal.value.cause
    assert refusal.value.mend == "see docs/reference/config.md"


WRONG_TYPES = [
    ("gateway", "max_body_bytes = 1.5", "int"),
    ("gateway", 'drain_seconds = "30"', "float"),
    ("gateway", "listen = 8400", "str"),
    ("gateway", 'floor = "none"', "'none'"),
    ("gateway", 'durability = "best effort"', "'best effort'"),
    ("gateway.timeouts", "verify = true", "float"),
    ("secrets", "pepper = 5", "str"),
    ("evidence", 'keyset_days = "30"', "int"),
    ("policies.p", 'require_compose = "yes"', "bool"),
    ("upstreams.u", "url = 1", "str"),
    ("models.m", 'upstreams = "u"', "array"),
]


@pytest.mark.parametrize(("table", "line", "told"), WRONG_TYPES)
def test_a_value_of_another_type_is_refused_and_the_field_named(table: str, line: str, told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse(f"[{table}]\n{line}\n".encode())
    assert told in refusal.value.cause
    field = line.partition(" ")[0]
    assert field in refusal.value.cause


@pytest.mark.parametrize("name", ["policies", "upstreams", "models", "gateway"])
def test_a_value_where_a_table_belongs_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        parse(f"{name} = 3".encode())


@pytest.mark.parametrize("kind", TABLES.values(), ids=lambda kind: kind.__name__)
def test_settings_are_frozen_and_forbid_unknown_fields(kind: type[msgspec.Struct]) -> None:
    assert kind.__struct_config__.frozen
    assert kind.__struct_config__.forbid_unknown_fields
    assert TdxReferenceValues.__struct_config__.forbid_unknown_fields


NONSENSE = [
    ("gateway", "max_body_bytes = 0"),
    ("gateway", "max_concurrent = 0"),
    ("gateway", "drain_seconds = -1"),
    *(("gateway.timeouts", f"{phase} = {value}") for phase in ("verify", "connect", "headers", "idle", "total") for value in ("0", "-1.5", "nan")),
    ("evidence", "keyset_days = 0"),
    ("upstreams.u", 'url = "https://x"\npolicy = "p"\nsession_seconds = 0'),
    ("upstreams.u", 'url = "https://x"\npolicy = "p"\nmax_connections = 0'),
    ("models.m", 'upstreams = ["u"]\ncontext_length = 0'),
    ("models.m", 'upstreams = ["u"]\nprice = { input = -1, output = 1 }'),
    ("models.m", 'upstreams = ["u"]\nprice = { input = 1, output = 1000000000001 }'),
    ("models.m", 'upstreams = ["u"]\nprice = { input = 1, output = 1, cached = -1 }'),
]


@pytest.mark.parametrize(("table", "lines"), NONSENSE)
def test_a_number_that_makes_no_sense_is_refused(table: str, lines: str) -> None:
    """A time of nothing would fail every request, and a price beyond these could not be written into the ledger."""
    with pytest.raises(ConfigError, match=table.partition(".")[0]):
        parse(f"[{table}]\n{lines}\n".encode())


def test_a_phase_may_last_forever() -> None:
    assert parse(b"[gateway.timeouts]\ntotal = inf\n").gateway.timeouts.total == float("inf")


def test_the_largest_cost_fits_the_ledger() -> None:
    most = 10**12
    usage = Usage(input_tokens=2**40, output_tokens=2**40, images=2**20, audio_ms=2**32, characters=2**25)
    cost = cost_micro(usage, Price(most, most, most, per_request=most, per_image=most, per_minute=most, per_million_characters=most))
    assert cost is not None and 2**60 < cost < 2**63
