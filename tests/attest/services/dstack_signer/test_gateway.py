"""The rules for a gateway come from its own table; that one is there is checked before they are asked for."""

import pytest

from ollm.attest.services.dstack_signer import gateway
from ollm.errors import EvidenceRefused
from ollm.values.checks import Appraisal, Claims
from ollm.values.level import Level
from tests.attest.services.dstack_signer.signers import behind_gateway, policy


def test_rules_of_its_own_and_no_devices() -> None:
    accepted = behind_gateway()
    rules = gateway.rules(accepted)
    assert rules.tdx == accepted.service.gateway_tdx
    assert (rules.nvidia, rules.provenance, rules.level) == (None, None, Level.SIMULATED)
    with pytest.raises(EvidenceRefused, match=r"gateway\.accepted"):
        gateway.rules(policy())


def test_facts_of_the_gateway_are_named_as_its() -> None:
    judged = Appraisal("p", Level.TEE, (), Claims(extra={"tcb_status": "UpToDate", "other": "x"}))
    assert gateway.facts(judged) == {"gateway_tcb_status": "UpToDate"}


def test_a_signers_report_alone_is_no_gateways() -> None:
    assert gateway.split({"signing_address": "…"}, None) == (None, {"signing_address": "…"})
    assert gateway.split([], None) == (None, [])
