"""Policies: strict where nothing is said, and of one world."""

import msgspec
import pytest

from ollm.values.level import Level
from ollm.values.policy import AttestationPolicy, NitroPolicy, NvidiaPolicy, SnpPolicy, TdxPolicy

ROOT = "ab" * 32


def test_nothing_said_is_strict() -> None:
    policy = AttestationPolicy(name="p", level=Level.TEE)
    assert (policy.cpu, policy.require_event_log, policy.require_compose, policy.nvidia) == (("tdx",), True, True, None)
    assert policy.tdx.accepted_tcb_status == ("UpToDate",)
    assert (policy.snp.allow_vlek, policy.snp.require_crl, policy.snp.vmpls, policy.snp.allow_migration_agent) == (False, True, (0,), False)
    assert not (policy.tdx.reference_values or policy.snp.reference_values or policy.nitro.reference_values)
    assert NvidiaPolicy().require_ocsp


def test_the_roots_of_what_is_in_use_and_no_others() -> None:
    policy = AttestationPolicy(name="p", level=Level.TEE, tdx=TdxPolicy(simulated_root_sha256=ROOT), cpu=("sev-snp", "nitro"))
    assert policy.simulated_roots == (None, None)
    assert not policy.simulated
    every = msgspec.structs.replace(
        policy,
        cpu=("tdx", "sev-snp", "nitro"),
        snp=SnpPolicy(simulated_root_sha256="cd" * 32),
        nitro=NitroPolicy(simulated_root_sha256="ef" * 32),
        nvidia=NvidiaPolicy(simulated_root_sha256="01" * 32, simulated_rim_root_sha256="23" * 32),
    )
    assert every.simulated_roots == (ROOT, "cd" * 32, "ef" * 32, "01" * 32, "23" * 32)


@pytest.mark.parametrize("root", [None, ROOT])
def test_one_simulated_root_makes_a_policy_simulated(root: str | None) -> None:
    policy = AttestationPolicy(name="p", level=Level.TEE, cpu=("tdx", "sev-snp"), tdx=TdxPolicy(simulated_root_sha256=root))
    assert policy.simulated is (root is not None)
