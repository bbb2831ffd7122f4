"""What contradicts itself, or could never accept anything, is refused when the configuration is read."""

import datetime
from typing import Any

import msgspec
import pytest

from ollm.config.policy_rules import check_installed, check_policy, check_reviewed, check_table
from ollm.errors import ConfigError
from ollm.values.level import Level
from ollm.values.policy import (
    AttestationPolicy,
    Grace,
    NitroPolicy,
    NitroReferenceValues,
    NvidiaPolicy,
    ServicePolicy,
    SnpGrace,
    SnpPolicy,
    SnpReferenceValues,
    SnpTcb,
    TdxPolicy,
    TdxReferenceValues,
)
from ollm.values.provenance import ProvenancePolicy
from tests.config import samples
from tests.config.samples import OTHER_ROOT, REGISTER, ROOT

DAY = datetime.date(2027, 1, 1)


def policy(**fields: Any) -> AttestationPolicy:
    return AttestationPolicy(**{"name": "p", "level": Level.TEE, **fields})


def snp(**fields: Any) -> AttestationPolicy:
    return policy(cpu=("sev-snp",), snp=SnpPolicy(**fields))


def test_a_policy_that_uses_everything_is_fine() -> None:
    check_policy("p", samples.full())


TABLES: dict[str, tuple[dict[str, Any], str, str]] = {
    "no technology": ({"cpu": []}, "policies.p.cpu names no technology", "tdx, sev-snp, nitro"),
    "no list": ({"cpu": "tdx"}, "policies.p.cpu names no technology", "tdx, sev-snp, nitro"),
    "unknown technology": ({"cpu": ["tdx", "sgx"]}, "policies.p.cpu names 'sgx'", "this release knows tdx, sev-snp, nitro"),
    "no name at all": ({"cpu": [3]}, "policies.p.cpu names '3'", "this release knows"),
    "table of another": ({"snp": {}}, "policies.p has a table snp, and its cpu does not name sev-snp", 'cpu = ["tdx", "sev-snp"]'),
    "table of the default": ({"cpu": ["nitro"], "tdx": {}}, "policies.p has a table tdx, and its cpu does not name tdx", 'cpu = ["nitro", "tdx"]'),
}


@pytest.mark.parametrize(("table", "cause", "mend"), TABLES.values(), ids=TABLES.keys())
def test_tables_and_technologies_belong_together(table: dict[str, Any], cause: str, mend: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        check_table("policies.p", table)
    assert refusal.value.cause == cause
    assert mend in refusal.value.mend


@pytest.mark.parametrize("table", [{}, {"tdx": {}}, {"cpu": ["sev-snp", "nitro"], "snp": {}, "nitro": {}, "nvidia": {}}])
def test_tables_that_do(table: dict[str, Any]) -> None:
    check_table("policies.p", table)


SIMULATED_TDX = TdxPolicy(simulated_root_sha256=ROOT)
TURIN = SnpTcb(snp=4)

REFUSED: dict[str, tuple[AttestationPolicy, str, str]] = {
    "zdr": (policy(level=Level.ZDR), "p.level is zdr", "has none"),
    "simulated in part": (
        policy(level=Level.SIMULATED, tdx=SIMULATED_TDX, nvidia=NvidiaPolicy()),
        "p pins simulated roots for some of its technologies, not for all",
        "nvidia has two",
    ),
    "one of nvidia's two": (
        policy(level=Level.SIMULATED, tdx=SIMULATED_TDX, nvidia=NvidiaPolicy(simulated_root_sha256=ROOT)),
        "p pins simulated roots for some of its technologies, not for all",
        "nvidia has two",
    ),
    "one of two kinds of CPU": (
        policy(level=Level.SIMULATED, cpu=("tdx", "sev-snp"), tdx=SIMULATED_TDX),
        "p pins simulated roots for some of its technologies, not for all",
        "each of cpu",
    ),
    "simulated roots for real prompts": (policy(tdx=SIMULATED_TDX), "p mixes simulated and real hardware", "only with it"),
    "simulated without roots": (policy(level=Level.SIMULATED), "p mixes simulated and real hardware", "only with it"),
    "cpu twice": (policy(cpu=("tdx", "tdx")), "p.cpu has 'tdx' twice", "keep one"),
    "grace twice": (
        policy(tdx=TdxPolicy(grace=(Grace(status="OutOfDate", until=DAY, reason="r"),) * 2)),
        "p.tdx.grace, by status, has 'OutOfDate' twice",
        "keep one",
    ),
    "grace without an end": (
        policy(tdx=TdxPolicy(accepted_tcb_status=("UpToDate", "OutOfDate"), grace=(Grace(status="OutOfDate", until=DAY, reason="r"),))),
        "p.tdx.grace is for OutOfDate, which accepted_tcb_status accepts without an end",
        "so that the grace can end",
    ),
    "images without a log": (
        policy(
            require_event_log=False,
            require_compose=False,
            tdx=TdxPolicy(reference_values=(TdxReferenceValues(name="n", source="s", mrtd=REGISTER, os_image_hashes=(ROOT,)),)),
        ),
        "p.tdx lists OS images, which only the event log names, and demands no event log",
        "require_event_log = true",
    ),
    "a gateway's applications without a gateway": (
        policy(service=ServicePolicy(gateway_app_ids=("00" * 20,))),
        "p.service lists applications of a gateway, and admits no gateway",
        "gateway_tdx",
    ),
    "a gateway's grace without an end": (
        policy(
            service=ServicePolicy(
                gateway_tdx=TdxPolicy(accepted_tcb_status=("OutOfDate",), grace=(Grace(status="OutOfDate", until=DAY, reason="r"),))
            )
        ),
        "p.service.gateway.tdx.grace is for OutOfDate, which accepted_tcb_status accepts without an end",
        "so that the grace can end",
    ),
    "a simulated gateway before real hardware": (
        policy(service=ServicePolicy(gateway_tdx=SIMULATED_TDX)),
        "p pins simulated roots for some of its technologies, not for all",
        "each of cpu",
    ),
    "applications without a log": (
        policy(require_event_log=False, require_compose=False, service=ServicePolicy(app_ids=("00" * 20,))),
        "p.service.app_ids names what only the event log proves",
        "require_event_log = true",
    ),
    "a manager's files without its statement": (
        policy(service=ServicePolicy(manager_files=(ROOT,))),
        "p.service.manager_files compares a statement that need not be there",
        "require_manager = true",
    ),
    "unknown line of firmware": (snp(min_tcb={"Rome": TURIN}), "p.snp.min_tcb is for 'Rome'", "Milan, Genoa, Turin"),
    "fmc elsewhere": (snp(min_tcb={"Genoa": SnpTcb(fmc=1)}), "p.snp demands fmc of Genoa", "only Turin has it"),
    "firmware of another line": (
        snp(products=("Genoa",), min_tcb={"Turin": TURIN}),
        "p.snp has a TCB for Turin, which its products do not name",
        "add Turin to products",
    ),
    "grace from nothing": (
        snp(grace=(SnpGrace(product="Turin", min_tcb=TURIN, until=DAY, reason="r"),)),
        "p.snp.grace is for Turin, which has no min_tcb to be excused from",
        "add min_tcb.Turin",
    ),
    "vlek of anybody": (snp(allow_vlek=True), "p.snp allows keys of cloud providers (VLEK) and names no provider", "vlek_csp_ids"),
    "vlek that is not allowed": (snp(vlek_csp_ids=("CN=x",)), "p.snp names providers of VLEKs and does not allow VLEKs", "allow_vlek = true"),
    "debug enclave": (
        policy(cpu=("nitro",), nitro=NitroPolicy(reference_values=(NitroReferenceValues(name="n", source="s", pcr0="0" * 96),))),
        "p.nitro.reference_values has zeros for one of the first three PCRs",
        "debug mode",
    ),
    "debug enclave by another register": (
        policy(cpu=("nitro",), nitro=NitroPolicy(reference_values=(NitroReferenceValues(name="n", source="s", pcr0=REGISTER, pcr2="0" * 96),))),
        "p.nitro.reference_values has zeros for one of the first three PCRs",
        "debug mode",
    ),
    "no device": (policy(nvidia=NvidiaPolicy(min_gpus=0)), "p.nvidia demands no GPU and no switch", "leave the table out"),
    "images by nobody": (
        policy(provenance=ProvenancePolicy(require_images=True)),
        "p.provenance demands built images and names no builder",
        "[[provenance.builds]]",
    ),
    "images without compose": (
        policy(require_compose=False, provenance=ProvenancePolicy(require_images=True, builds=(samples.build(),))),
        "p.provenance demands built images, which only a measured compose file names",
        "require_compose = true",
    ),
    "images elsewhere": (
        policy(cpu=("tdx", "nitro"), provenance=ProvenancePolicy(require_images=True, builds=(samples.build(),))),
        "p.provenance demands built images, which only a measured compose file names",
        'cpu = ["tdx"]',
    ),
    "a witness of nothing": (
        policy(provenance=ProvenancePolicy(witness=samples.build())),
        "p.provenance has a witness of releases and names no builder of any",
        "[[provenance.builds]]",
    ),
    "misspelled": (policy(tdx=TdxPolicy(platforms=("x",))), "p: tdx.platforms[0] is 'x', 1 characters", "a PPID"),
}


@pytest.mark.parametrize(("wrong", "cause", "mend"), REFUSED.values(), ids=REFUSED.keys())
def test_contradictions(wrong: AttestationPolicy, cause: str, mend: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        check_policy("p", wrong)
    assert refusal.value.cause == cause
    assert mend in refusal.value.mend


@pytest.mark.parametrize(
    "right",
    [
        policy(level=Level.SIMULATED, tdx=SIMULATED_TDX),
        policy(level=Level.SIMULATED, tdx=SIMULATED_TDX, nvidia=NvidiaPolicy(simulated_root_sha256=ROOT, simulated_rim_root_sha256=OTHER_ROOT)),
        policy(nvidia=NvidiaPolicy(min_gpus=0, min_switches=1)),
        policy(provenance=ProvenancePolicy(require_images=True, builds=(samples.build(),), witness=samples.build())),
        snp(allow_vlek=True, vlek_csp_ids=("CN=x",)),
        snp(min_tcb={"Turin": SnpTcb(fmc=1)}),
        policy(tdx=TdxPolicy(reference_values=(TdxReferenceValues(name="n", source="s", mrtd=REGISTER),) * 2)),
    ],
)
def test_what_only_looks_like_one(right: AttestationPolicy) -> None:
    check_policy("p", right)


def test_reference_values_that_nobody_reviewed() -> None:
    drafted = "drafted from a file; NOT REVIEWED"
    for each in (
        policy(tdx=TdxPolicy(reference_values=(TdxReferenceValues(name="n", source=drafted, mrtd=REGISTER),))),
        snp(reference_values=(SnpReferenceValues(name="n", source=drafted, measurement=REGISTER),)),
        policy(nitro=NitroPolicy(reference_values=(NitroReferenceValues(name="n", source=drafted, pcr0=REGISTER),))),
    ):
        with pytest.raises(ConfigError, match="'n' says that nobody reviewed them"):
            check_reviewed("p", each)
    check_reviewed("p", samples.full())


@pytest.mark.parametrize(("module", "extra"), [("signxml", "nvidia"), ("sigstore", "provenance")])
def test_a_library_that_is_not_there_is_named_with_the_extra_that_brings_it(module: str, extra: str) -> None:
    def installed(name: str) -> object:
        return None if name == module else object()

    with pytest.raises(ConfigError) as refusal:
        check_installed("policies.p", samples.full(), installed)
    assert refusal.value.mend == f"pip install 'ollm[{extra}]'"
    check_installed("policies.p", policy(), installed)


def test_a_library_that_no_rule_needs_may_be_missing() -> None:
    check_installed("p", policy(nvidia=NvidiaPolicy(accept=("nras",)), provenance=ProvenancePolicy(signers=(ROOT,))), lambda _: None)
    check_installed("p", msgspec.structs.replace(samples.full()))
