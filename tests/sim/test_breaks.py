"""The table of defects: complete, and every name in it stable."""

import re

from ollm.attest.checks import CHECKS
from ollm.sim.breaks import BREAKS

# What the product promises to refuse; see docs of `ollm sim enclave --break`.
PROMISED = {
    "no-evidence", "debug-bit", "wrong-nonce", "replayed-quote", "relayed-quote", "spki-mismatch", "hpke-mismatch", "stale-collateral",
    "collateral-from-future", "revoked-pck", "revoked-ca", "tcb-out-of-date", "tcb-below-every-level", "unknown-measurement", "event-log-broken",
    "event-log-relabelled", "event-log-missing", "compose-mismatch", "compose-unknown", "expired-keyset", "forged-root", "unmarked-leaf",
    "sept-ve-disable-clear", "malformed-report", "malformed-keyset", "malformed-quote-header", "truncated-quote", "trailing-bytes",
    "malformed-certification-data", "malformed-event-log", "malformed-collateral", "qe-identity-wrong", "bad-quote-signature",
}  # fmt: skip


def test_every_promised_defect_is_there() -> None:
    assert BREAKS.keys() >= PROMISED


def test_every_entry_names_its_layer_its_check_and_what_is_wrong() -> None:
    for kind, entry in BREAKS.items():
        assert entry.kind == kind
        assert re.fullmatch(r"[a-z][a-z-]+", kind)
        assert entry.layer in ("hardware", "report", "channel")
        assert entry.checks and all(re.fullmatch(r"[a-z_]+\.[a-z_]+", check) for check in entry.checks)
        assert entry.description and not entry.description.endswith(".")


def test_every_check_that_appraisal_makes_is_provoked_by_some_defect() -> None:
    provoked = {check for entry in BREAKS.values() for check in entry.checks}
    assert provoked <= CHECKS.keys()
    # The policy's own consistency, and the library's refusals in words that nobody has seen yet, are no defects of evidence;
    # the policy of the simulation lists no machines, and an ACI report carries no firmware log.
    unprovoked = {"policy.level", "quote.library_verdict", "platform.listed", "firmware_log.format", "firmware_log.replay"}
    unprovoked |= {"channel.field_key"}  # the simulated enclave seals whole bodies; tests/testing/providers/test_aci.py has the defects
    assert CHECKS.keys() - provoked == unprovoked
