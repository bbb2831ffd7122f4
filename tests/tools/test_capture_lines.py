"""Lines that another verifier enforced, and what answers them."""

from ollm.attest.tables import ALL_CHECKS
from tools.capture_lines import COVERED, missing_lines

REPORT = """\
Tier 1
  ✓ nonce_match             nonce matches  [ENFORCED]
  ✗ tdx_debug_disabled      debug bit is set  [ENFORCED]
  ✓ gateway_tee_cert_chain  chain valid  [ENFORCED]
  ✗ cpu_id_registry         hardware not found  [ALLOWED]
  ✓ e2ee_usable             289 fields decrypted  [ENFORCED]
"""


def test_what_no_check_and_no_word_answers_is_missing() -> None:
    assert missing_lines(REPORT, (), "") == ["nonce_match", "tdx_debug_disabled", "gateway_tee_cert_chain", "e2ee_usable"]
    assert missing_lines(REPORT, ("signer.nonce", "quote.debug", "snp.root"), "") == ["e2ee_usable"]
    assert missing_lines(REPORT, ("signer.nonce", "quote.debug", "chain.root"), "needs a chat: `e2ee_usable`") == []


def test_every_check_named_here_exists() -> None:
    assert {check for checks in COVERED.values() for check in checks} <= set(ALL_CHECKS)
