"""Loading: every way in which a configuration or a secret is unusable says what is wrong and how to mend it."""

from pathlib import Path

import pytest

from ollm.config.load import Loaded, is_loopback, key_bytes, listen_address, load, parse, read_secret
from ollm.errors import ConfigError
from ollm.testing.providers.tls import certified
from ollm.values.hexes import sha256_of
from ollm.values.secret import Sealed

POLICY = """\
[policies.p]
level = "tee"
"""
UPSTREAM = """\
[upstreams.u]
url = "https://provider.example"
policy = "p"
"""
MODEL = """\
[models."meta/llama-3.3:70b"]
upstreams = ["u"]
"""
WHOLE = POLICY + UPSTREAM + MODEL
ROOT = "ab" * 32
KEY = "0f" * 32


def refused(text: str | bytes) -> ConfigError:
    """What `parse` says of `text`."""
    with pytest.raises(ConfigError) as refusal:
        parse(text.encode() if isinstance(text, str) else text)
    assert refusal.value.mend, "an error without its mend"
    return refusal.value


def write(path: Path, data: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


# The file


def test_the_digest_is_that_of_the_exact_bytes(tmp_path: Path) -> None:
    one = load(write(tmp_path / "one.toml", WHOLE.encode()))
    other = load(write(tmp_path / "other.toml", WHOLE.encode() + b"# a comment\n"))
    assert one.digest == sha256_of(WHOLE.encode())
    assert one.settings == other.settings
    assert one.digest != other.digest


def test_paths_are_relative_to_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "ollm.toml", b"")
    monkeypatch.chdir(tmp_path.parent)
    loaded = load(Path(tmp_path.name) / "ollm.toml")
    assert loaded.directory == tmp_path
    assert loaded.path("state") == tmp_path / "state"
    assert loaded.path("/var/lib/ollm") == Path("/var/lib/ollm")


def test_a_missing_file_is_told_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refusal:
        load(tmp_path / "ollm.toml")
    assert refusal.value.cause == f"can't read {tmp_path / 'ollm.toml'}: No such file or directory"
    assert refusal.value.mend == "run `ollm init`, or name the file with -c"


def test_bytes_that_are_no_text_or_no_toml() -> None:
    assert refused(b'[gateway]\nlisten = "\xff"').cause == "the configuration is not UTF-8"
    assert refused("[gateway\n").cause.startswith("the configuration is not TOML: ")
    assert "line 1" in refused("[gateway\n").cause


def test_a_name_is_taken_from_its_table() -> None:
    assert parse(WHOLE.encode()).policies["p"].name == "p"


@pytest.mark.parametrize(
    "modalities", ["text->text", "text+image->text", "text+image+file+audio+video->text+image", "text->embeddings", "text->rerank"]
)
def test_what_goes_in_and_out_of_a_model(modalities: str) -> None:
    model = f'[models.m]\nupstreams = ["u"]\nmodalities = "{modalities}"\nmax_output = 8\nsupported_parameters = ["tools", "top_p"]'
    found = parse((POLICY + UPSTREAM + 'region = "eu-west"\n' + model).encode())
    assert (found.models["m"].modalities, found.models["m"].max_output, found.upstreams["u"].region) == (modalities, 8, "eu-west")


# References and contradictions: (what is written, cause, a word of the mend)

REFUSALS = {
    "policy name": ('[policies."a b"]\nlevel = "tee"', "policy name 'a b' has characters that a name can't have", "letters"),
    "upstream name": (
        POLICY + '[upstreams."ü"]\nurl = "https://h"\npolicy = "p"',
        "upstream name 'ü' has characters that a name can't have",
        "letters",
    ),
    "model name": (POLICY + UPSTREAM + '[models."m\\n"]\nupstreams = ["u"]', r"model name 'm\n' has characters that a name can't have", "letters"),
    "long name": (f'[policies.{"a" * 129}]\nlevel = "tee"', f"policy name {'a' * 129!r} has characters that a name can't have", "letters"),
    "certificate alone": ('[gateway]\ntls_certificate = "c"', "only one of gateway.tls_certificate and gateway.tls_key is set", "both"),
    "key alone": ('[gateway]\ntls_key = "k"', "only one of gateway.tls_certificate and gateway.tls_key is set", "both"),
    "other policy name": ('[policies.p]\nname = "q"\nlevel = "tee"', "policies.p.name is 'q'", "leave it out"),
    "real level with a simulated root": (
        f'[policies.p]\nlevel = "tee"\n[policies.p.tdx]\nsimulated_root_sha256 = "{ROOT}"',
        "policies.p mixes simulated and real hardware",
        "only with it",
    ),
    "simulated level without a root": ('[policies.p]\nlevel = "simulated"', "policies.p mixes simulated and real hardware", "only with it"),
    "zdr policy": ('[policies.p]\nlevel = "zdr"', "policies.p.level is zdr", "has none"),
    "unknown adapter": (POLICY + UPSTREAM + 'adapter = "nobody"', "upstreams.u.adapter 'nobody' is unknown", "aci"),
    "unknown seal": (POLICY + UPSTREAM + 'seal = "none"', "upstreams.u.seal 'none' is unknown", "ehbp or aci-e2ee-v2 or tls"),
    "unknown policy": (UPSTREAM, "upstreams.u names policy 'p', which is not configured", "[policies.p]"),
    "no upstreams": (POLICY + UPSTREAM + "[models.m]\nupstreams = []", "models.m.upstreams is empty", "at least one"),
    "unknown upstream": (
        POLICY + UPSTREAM + '[models.m]\nupstreams = ["u", "v"]',
        "models.m names upstream 'v', which is not configured",
        "[upstreams.v]",
    ),
    "price version": (
        POLICY + UPSTREAM + '[models.m]\nupstreams = ["u"]\nprice = { input = 1, output = 1, version = "of May" }',
        "models.m.price.version is not a name of at most 64 characters",
        "letters",
    ),
    "long price version": (
        POLICY + UPSTREAM + f'[models.m]\nupstreams = ["u"]\nprice = {{ input = 1, output = 1, version = "{"v" * 65}" }}',
        "models.m.price.version is not a name of at most 64 characters",
        "letters",
    ),
    "modalities": (
        POLICY + UPSTREAM + '[models.m]\nupstreams = ["u"]\nmodalities = "text,image"',
        "models.m.modalities 'text,image' says not what goes in and what comes out",
        "text+image->text",
    ),
    "unknown modality": (
        POLICY + UPSTREAM + '[models.m]\nupstreams = ["u"]\nmodalities = "text->smell"',
        "models.m.modalities 'text->smell' says not what goes in and what comes out",
        "text+image->text",
    ),
    "supported parameter": (
        POLICY + UPSTREAM + '[models.m]\nupstreams = ["u"]\nsupported_parameters = ["tools", "Top P"]',
        "models.m.supported_parameters names 'Top P', which no member of a request can be",
        "temperature",
    ),
    "region": (POLICY + UPSTREAM + 'region = "EU west"', "upstreams.u.region 'EU west' is not a short name", "eu-west"),
    "upstream twice": (POLICY + UPSTREAM + '[models.m]\nupstreams = ["u", "u"]', "models.m.upstreams names an upstream twice", "weights"),
    "alias of a model": (
        POLICY + UPSTREAM + '[models.m]\nupstreams = ["u"]\n[models.n]\nupstreams = ["u"]\naliases = ["m"]',
        "models.n.aliases names 'm', which is another model's name or alias",
        "one model",
    ),
    "alias twice": (
        POLICY + UPSTREAM + '[models.m]\nupstreams = ["u"]\naliases = ["a"]\n[models.n]\nupstreams = ["u"]\naliases = ["a"]',
        "models.n.aliases names 'a', which is another model's name or alias",
        "one model",
    ),
    "alias": (
        POLICY + UPSTREAM + '[models.m]\nupstreams = ["u"]\naliases = ["a b"]',
        "alias name 'a b' has characters that a name can't have",
        "letters",
    ),
    "weight of nobody": (
        POLICY + UPSTREAM + '[models.m]\nupstreams = ["u"]\nchoose = "weighted"\nweights = { v = 1 }',
        "models.m.weights names 'v', which is none of its upstreams",
        "upstreams",
    ),
    "weights that nothing weighs": (
        POLICY + UPSTREAM + '[models.m]\nupstreams = ["u"]\nweights = { u = 1 }',
        "models.m.weights is set, and nothing weighs",
        "weighted",
    ),
    "spread and choose": (
        POLICY + UPSTREAM + '[models.m]\nupstreams = ["u"]\nspread = true\nchoose = "latency"',
        "models.m has both spread and choose",
        "leave",
    ),
    "key and keys": (
        POLICY + UPSTREAM + 'api_key = "env:A"\napi_keys = ["env:B"]',
        "upstreams.u has both api_key and api_keys",
        "one of them",
    ),
    "key twice": (POLICY + UPSTREAM + 'api_keys = ["env:B", "env:B"]', "upstreams.u.api_keys names a source twice", "once"),
    "long upstream name": (
        POLICY + UPSTREAM.replace("upstreams.u", "upstreams." + "u" * 65),
        f"upstream name {'u' * 65!r} is longer than 64 characters",
        "shorter",
    ),
}


@pytest.mark.parametrize(("text", "cause", "mend"), REFUSALS.values(), ids=REFUSALS.keys())
def test_references_are_checked_before_anything_starts(text: str, cause: str, mend: str) -> None:
    problem = refused(text)
    assert problem.cause == cause
    assert mend in problem.mend


@pytest.mark.parametrize("url", ["http://provider.example", "http://127.0.0.1:8000", "ftp://provider.example"])
def test_a_prompt_leaves_over_tls_only(url: str) -> None:
    problem = refused(POLICY + f'[upstreams.u]\nurl = "{url}"\npolicy = "p"')
    assert problem.cause == "upstreams.u.url is not https"


@pytest.mark.parametrize(
    "url",
    [
        "provider.example",
        "https://",
        "https://provider.example/v1",
        "https://user@provider.example",
        "https://:secret@provider.example",
        "https://provider.example?key=1",
        "https://provider.example#x",
    ],
)
def test_an_upstream_is_an_origin(url: str) -> None:
    assert refused(POLICY + f'[upstreams.u]\nurl = "{url}"\npolicy = "p"').cause == "upstreams.u.url is not an origin"


@pytest.mark.parametrize("url", ["https://[::1", "https://h:99999", "https://h:port"])
def test_what_is_no_url_at_all_is_said_so(url: str) -> None:
    assert refused(POLICY + f'[upstreams.u]\nurl = "{url}"\npolicy = "p"').cause == "upstreams.u.url is not a URL"
    assert refused(POLICY + UPSTREAM + f'pcs_url = "{url}"').cause == "upstreams.u.pcs_url is not a URL"


@pytest.mark.parametrize("field", ["pcs_url", "root_crl_url"])
def test_collateral_comes_over_https_or_from_this_machine(field: str) -> None:
    for url in ("https://pccs.example/x", "http://127.0.0.1:9000", "http://[::1]:9000", "http://localhost:9000"):
        assert getattr(parse((POLICY + UPSTREAM + f'{field} = "{url}"').encode()).upstreams["u"], field) == url
    for url in ("http://pccs.example", "http://10.0.0.1", "file:///tmp/crl", "pccs.example"):
        assert refused(POLICY + UPSTREAM + f'{field} = "{url}"').cause == f"upstreams.u.{field} is not https"


def test_only_this_machine_is_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example", "127.0.0.1.example", "")))


@pytest.mark.parametrize(
    ("listen", "address"),
    [("127.0.0.1:8400", ("127.0.0.1", 8400)), ("[::1]:0", ("::1", 0)), ("::1:80", ("::1", 80)), ("gateway.example:443", ("gateway.example", 443))],
)
def test_where_to_listen(listen: str, address: tuple[str, int]) -> None:
    assert listen_address(listen) == address


@pytest.mark.parametrize("listen", ["8400", ":8400", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:²"])
def test_an_address_without_host_or_port_is_refused(listen: str) -> None:
    problem = refused(f'[gateway]\nlisten = "{listen}"')
    assert problem.cause == f"gateway.listen {listen!r} is not host:port"
    assert "127.0.0.1:8400" in problem.mend


# Secrets


def test_a_secret_is_read_from_its_file_and_never_printed(tmp_path: Path) -> None:
    write(tmp_path / "pepper", f" {KEY}\n".encode())
    secret = read_secret("file:pepper", tmp_path)
    assert secret.expose() == KEY.encode()
    assert KEY not in repr(secret)
    assert key_bytes(secret, "file:pepper") == bytes.fromhex(KEY)


def test_a_secret_is_read_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLM_TEST_PEPPER", KEY + "\n")
    assert read_secret("env:OLLM_TEST_PEPPER", tmp_path).expose() == KEY.encode()


@pytest.mark.parametrize("value", [None, "", "  \n"])
def test_a_variable_without_a_value_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None) -> None:
    if value is not None:
        monkeypatch.setenv("OLLM_TEST_PEPPER", value)
    with pytest.raises(ConfigError, match="environment variable OLLM_TEST_PEPPER is not set"):
        read_secret("env:OLLM_TEST_PEPPER", tmp_path)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_secret_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = write(tmp_path / "pepper", KEY.encode(), mode)
    with pytest.raises(ConfigError) as refusal:
        read_secret("file:pepper", tmp_path)
    assert refusal.value.cause == f"secret {path} can be read by others"
    assert refusal.value.mend == f"chmod 600 {path}"
    assert KEY not in str(refusal.value)


def test_a_secret_that_is_missing_or_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't read secret .*: No such file"):
        read_secret("file:absent", tmp_path)
    write(tmp_path / "empty", b" \n")
    with pytest.raises(ConfigError, match="is empty"):
        read_secret("file:empty", tmp_path)


@pytest.mark.parametrize("source", [KEY, "", "vault:pepper", "FILE:pepper"])
def test_a_source_that_is_none_is_not_repeated(tmp_path: Path, source: str) -> None:
    """Somebody may have written the secret itself there."""
    with pytest.raises(ConfigError) as refusal:
        read_secret(source, tmp_path)
    assert refusal.value.cause == "a secret's source is neither file: nor env:"
    assert KEY not in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("words, not hex digits", "is not hex"),
        ("ab" * 31, "is not 32 bytes"),
        ("ab" * 33, "is not 32 bytes"),
        ("a" * 63, "is not hex"),
        ("ß" * 64, "is not hex"),
    ],
)
def test_a_key_is_32_bytes_in_hex(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        key_bytes(Sealed(text.encode()), "file:pepper")
    assert refusal.value.cause == f"the secret at file:pepper {told}"
    assert text not in str(refusal.value)


def test_a_loaded_configuration_finds_its_secrets(tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    write(tmp_path / "secrets" / "pepper", KEY.encode())
    loaded: Loaded = load(write(tmp_path / "ollm.toml", b""))
    assert loaded.secret(loaded.settings.secrets.pepper).expose() == KEY.encode()


OPEN = '[upstreams.o]\nadapter = "openai-compatible"\nurl = "https://h.example/openai/v1"\n'


def test_an_adapter_may_know_where_its_provider_is() -> None:
    found = parse(b'[upstreams.o]\nadapter = "openai"\n[upstreams.p]\nadapter = "openai"\nurl = "https://eu.api.openai.com"').upstreams
    assert (found["o"].url, found["p"].url) == ("https://api.openai.com", "https://eu.api.openai.com")
    assert refused('[upstreams.o]\nadapter = "openai-compatible"').cause == "upstreams.o names no url"


def test_the_base_of_a_compatible_api_may_have_a_path() -> None:
    assert parse(OPEN.encode()).upstreams["o"].url == "https://h.example/openai/v1"
    assert refused('[upstreams.o]\nadapter = "openai"\nurl = "https://h.example/v1"').cause == "upstreams.o.url is not an origin"


@pytest.mark.parametrize("path", ["/v1?x=1", "/v1#x", "/a b", "/v1\\r\\nx: y", "//v1", "/v1/%0d"])
def test_a_base_is_plain(path: str) -> None:
    assert refused(OPEN.replace("/openai/v1", path)).cause.startswith("upstreams.o.url is not ")


def test_a_ca_is_a_certificate_and_stands_where_no_evidence_names_the_key() -> None:
    ca = certified(1_700_000_000).ca
    assert parse(f'{OPEN}ca = """{ca}"""'.encode()).upstreams["o"].ca == ca
    assert refused(OPEN + 'ca = "none"').cause == "upstreams.o.ca is no certificate"
    assert refused(f'{POLICY}{UPSTREAM}ca = """{ca}"""').cause.startswith("upstreams.u.ca is set")


def test_an_adapter_may_know_how_long_its_evidence_takes() -> None:
    chutes = '[upstreams.c]\nadapter = "chutes"\npolicy = "p"\nmodel = "00000000-0000-4000-8000-000000000000"\n'
    assert parse((POLICY + UPSTREAM).encode()).upstreams["u"].verify_seconds is None
    assert parse((POLICY + chutes).encode()).upstreams["c"].verify_seconds == 60
    assert parse((POLICY + chutes + "verify_seconds = 5").encode()).upstreams["c"].verify_seconds == 5


def near(url: str = "https://model.machines.example", more: str = "max_machines = 4") -> str:
    return f'[upstreams.n]\nadapter = "near"\npolicy = "p"\nmodel = "m"\nurl = "{url}"\n{more}\n'


def test_machines_are_looked_for_beside_a_models_host() -> None:
    for url in ("https://model.machines.example", "https://qwen35-122b.completions.near.ai:8443/"):
        assert parse((POLICY + near(url)).encode()).upstreams["n"].max_machines == 4
    assert parse((POLICY + near(more="")).encode()).upstreams["n"].max_machines is None


@pytest.mark.parametrize(
    "url",
    [
        "https://10.0.0.1",
        "https://[::1]",
        "https://localhost",
        "https://near.ai",
        "https://model-i3.machines.example",
        "https://m.a.1",
        "https://-m.a.example",
    ],
)
def test_a_host_that_is_not_a_models_has_no_machines_beside_it(url: str) -> None:
    assert refused(POLICY + near(url)).cause == "upstreams.n.max_machines is set, and its url is not that of a model"


def test_machines_of_other_adapters_have_no_hosts_of_their_own() -> None:
    other = '[upstreams.n]\nadapter = "tinfoil"\npolicy = "p"\nurl = "https://m.a.example"\nmax_machines = 2\n'
    assert refused(POLICY + other).cause == "upstreams.n.max_machines is set, and machines of tinfoil have no hosts of their own"


def test_a_gateway_chooses_among_machines_itself() -> None:
    gateway = POLICY + "[policies.p.service.gateway_tdx]\nmin_tcb_evaluation_data_number = 17\n"
    assert refused(gateway + near()).cause == "upstreams.n.max_machines is set, and its policy is for a gateway"


@pytest.mark.parametrize(
    "text",
    ["attempts = 0", "attempts = 21", "backoff = -1", "retries = 3", "[routing.breaker]\nrate = 0.0", "[routing.breaker]\nopen_seconds = 0"],
)
def test_rules_of_routing_have_their_bounds(text: str) -> None:
    assert refused("[routing]\n" + text).cause


def test_routing_is_read() -> None:
    text = (
        WHOLE
        + 'aliases = ["x"]\nchoose = "least_busy"\nweights = { u = 3 }\nattempts = 5\n[routing]\nattempts = 2\n[routing.breaker]\nfailures = 0\n'
    )
    settings = parse(text.encode())
    [model] = settings.models.values()
    assert (model.aliases, model.choose, model.weights, model.attempts) == (("x",), "least_busy", {"u": 3}, 5)
    assert (settings.routing.attempts, settings.routing.resend_after_reset, settings.routing.breaker.failures) == (2, False, 0)


def test_one_key_and_several_are_sources_alike() -> None:
    for line, sources in (("", ()), ('api_key = "env:A"', ("env:A",)), ('api_keys = ["env:A", "file:b"]', ("env:A", "file:b"))):
        assert parse((POLICY + UPSTREAM + line).encode()).upstreams["u"].key_sources == sources


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ('url = "mysql://h/db"', "store.url is neither sqlite nor postgresql://…"),
        ('password = "env:P"', "store.password and store.tls_ca are for PostgreSQL, and store.url is sqlite"),
        ('tls_ca = "ca.pem"', "store.password and store.tls_ca are for PostgreSQL, and store.url is sqlite"),
        ("retention_days = { ledger = 30, receipts = 31 }", "store.retention_days.receipts is more than store.retention_days.ledger"),
    ],
)
def test_a_store_that_can_not_be_is_refused(text: str, cause: str) -> None:
    assert refused("[store]\n" + text).cause == cause


def test_the_store_is_read() -> None:
    text = '[store]\nurl = "postgresql://u@h/db"\npassword = "env:P"\nconnections = 2\n[store.retention_days]\nledger = 400\nreceipts = 90\n'
    store = parse(text.encode()).store
    assert (store.url, store.password, store.tls, store.connections) == ("postgresql://u@h/db", "env:P", True, 2)
    assert (store.retention_days.ledger, store.retention_days.receipts) == (400, 90)
    assert parse(b"").store.retention_days.ledger is None


SHARED = '[store]\nurl = "postgresql://ollm@127.0.0.1/ollm"\n[counters]\nbackend = "valkey"\nurl = "redis://127.0.0.1:6379/0"\n'


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ("", "store.url is sqlite, which one process writes"),
        (SHARED.partition("[counters]")[0], "counters.backend is memory, so that each would count for itself"),
    ],
)
def test_several_workers_share_store_and_counters(more: str, cause: str) -> None:
    assert cause in refused(f"[gateway]\nworkers = 2\n{more}").cause


def test_workers_that_share_both_are_accepted() -> None:
    assert parse(f"[gateway]\nworkers = 4\n{SHARED}".encode()).gateway.workers == 4
    assert parse(b"").gateway.workers == 1
    refused("[gateway]\nworkers = 0\n")
