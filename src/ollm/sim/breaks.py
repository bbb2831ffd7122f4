"""Every way in which evidence can be wrong, by name: what `--break KIND` does and which check must refuse it.

Who plays it: layer `hardware` is `sim.broken.BrokenMachine` (quote, event log, compose, collateral); layers `report` (the ACI
document around the quote) and `channel` (the connection, the keys that are really used) are the simulated enclave.
"""

import msgspec


class Break(msgspec.Struct, frozen=True):
    """One defect. `checks` are the checks any one of which may be the first to refuse it: one name, save where fetching
    and appraising see the same thing."""

    kind: str
    layer: str  # hardware | report | channel
    checks: tuple[str, ...]
    description: str


def _table(*breaks: Break) -> dict[str, Break]:
    return {each.kind: each for each in breaks}


BREAKS: dict[str, Break] = _table(
    # The channel: the keys that are used are not the ones that are attested.
    Break("spki-mismatch", "channel", ("channel.spki",), "TLS is served with a key that the attested keyset doesn't list"),
    Break("hpke-mismatch", "channel", ("channel.hpke_key",), "the sealing key that is published is not the attested one"),
    # The report around the quote.
    Break("no-evidence", "report", ("evidence.fetch",), "there is no attestation report"),
    Break("malformed-report", "report", ("report.format",), "the report is not a JSON object of the agreed shape"),
    Break("unknown-report-version", "report", ("report.version",), "the report is of a version that nobody speaks"),
    Break("malformed-keyset", "report", ("keyset.format",), "the keyset lacks members"),
    Break("keyset-digest-mismatch", "report", ("keyset.digest",), "the digest that is named is not the keyset's"),
    Break("expired-keyset", "report", ("keyset.expiry",), "the keyset's time is over"),
    Break("endless-keyset", "report", ("keyset.expiry",), "the keyset is valid for an implausibly long time"),
    Break("wrong-nonce", "report", ("binding.report_data",), "the quote answers another nonce than was sent"),
    Break("replayed-quote", "report", ("binding.report_data",), "one quote, made once, is shown to every verifier"),
    Break("relayed-quote", "report", ("channel.spki",), "the fresh and genuine report of another machine is passed on"),
    # The quote: its bytes.
    Break("truncated-quote", "hardware", ("quote.format",), "the quote ends in the middle of its certification data"),
    Break("trailing-bytes", "hardware", ("quote.format",), "bytes that nothing signs follow the quote"),
    Break("malformed-quote-header", "hardware", ("quote.header",), "the header names an unknown quoting enclave vendor"),
    Break("malformed-certification-data", "hardware", ("quote.certification_data",), "the certification data is of another type"),
    Break("bad-quote-signature", "hardware", ("quote.signature",), "measurements are changed after signing"),
    Break("bad-qe-signature", "hardware", ("quote.signature",), "no platform vouches for the quoting enclave and its attestation key"),
    # The quote: the state of the machine.
    Break("debug-bit", "hardware", ("quote.debug",), "the host can read the machine's memory"),
    Break("sept-ve-disable-clear", "hardware", ("quote.sept_ve_disable",), "the host can inject exceptions by unmapping pages"),
    Break("reserved-attributes", "hardware", ("quote.reserved_attributes",), "an attribute bit is set whose meaning nobody knows"),
    Break("unknown-cpu-state", "hardware", ("quote.xfam",), "the machine uses a component of CPU state that nobody knows"),
    Break("migratable-td", "hardware", ("quote.migratable",), "the machine may move to hardware that nobody appraised"),
    Break("service-td", "hardware", ("quote.service_td",), "another trust domain, unappraised, serves this one"),
    Break("seam-signer", "hardware", ("quote.seam_signer",), "the TDX module is not signed by the vendor"),
    Break("module-downgraded", "hardware", ("quote.current_module",), "the TDX module was exchanged for an older one while the machine ran"),
    # The platform and its certificates.
    Break("cached-keys", "hardware", ("platform.configuration",), "the platform keeps its keys with the vendor's registration service"),
    Break("unmarked-leaf", "hardware", ("platform.marker",), "the PCK certificate hides that the hardware is simulated"),
    Break("forged-root", "hardware", ("chain.root",), "everything is in order, under a root that nobody pinned"),
    Break("expired-pck", "hardware", ("chain.pck",), "the PCK certificate's time is over"),
    Break("revoked-pck", "hardware", ("chain.revocation",), "the platform's certificate is revoked"),
    Break("revoked-ca", "hardware", ("chain.revocation",), "the CA of the platform's certificate is revoked"),
    Break("revoked-tcb-signer", "hardware", ("chain.revocation",), "the certificate that signs TCB information is revoked"),
    Break("tcb-out-of-date", "hardware", ("tcb.status",), "the platform lacks a security update"),
    Break("tcb-below-every-level", "hardware", ("tcb.level",), "the platform is older than every level that is still described"),
    Break("tcb-revoked", "hardware", ("tcb.status",), "the platform's level is revoked: its keys are known to others"),
    Break("qe-out-of-date", "hardware", ("tcb.status",), "the quoting enclave lacks a security update"),
    Break("module-out-of-date", "hardware", ("tcb.status",), "the TDX module lacks a security update"),
    Break("module-unknown", "hardware", ("tcb.level",), "the TDX module is one that the vendor doesn't describe"),
    # The collateral.
    Break("no-collateral", "hardware", ("evidence.fetch", "collateral.format"), "nobody endorses the platform: the collateral service knows it not"),
    Break("malformed-collateral", "hardware", ("collateral.format",), "tcbInfo lacks a member"),
    Break("stale-collateral", "hardware", ("collateral.validity",), "the collateral's nextUpdate is past"),
    Break("collateral-from-future", "hardware", ("collateral.validity",), "the collateral's issueDate is yet to come"),
    Break("stale-crl", "hardware", ("collateral.validity",), "the revocation lists' nextUpdate is past"),
    Break("crl-from-future", "hardware", ("collateral.validity",), "the revocation lists' thisUpdate is yet to come"),
    Break("foreign-tcb-signer", "hardware", ("chain.tcb_signing",), "TCB information is signed by someone whom another root certified"),
    Break("tcb-info-forged", "hardware", ("tcb.info",), "tcbInfo is changed after signing"),
    Break("tcb-info-of-other-family", "hardware", ("tcb.info",), "tcbInfo describes another family of platforms"),
    Break("qe-identity-forged", "hardware", ("tcb.qe_identity",), "the QE identity is changed after signing"),
    Break("qe-identity-wrong", "hardware", ("tcb.qe_identity",), "the quoting enclave is not signed by whom the QE identity names"),
    Break("qe-identity-of-sgx", "hardware", ("tcb.qe_identity",), "the identity is signed, and of the quoting enclave of another technology"),
    Break("advisory-rejected", "hardware", ("tcb.advisories",), "the platform's level carries an advisory that the policy rejects"),
    Break("evaluation-number-low", "hardware", ("tcb.evaluation_number",), "genuine but superseded TCB information, from before an update"),
    # The event log, the application, the build.
    Break("event-log-missing", "hardware", ("event_log.format",), "there is no event log"),
    Break("malformed-event-log", "hardware", ("event_log.format",), "the event log is not a JSON array of events"),
    Break("event-digest-missing", "hardware", ("event_log.format",), "an event of the firmware has no digest"),
    Break("event-log-broken", "hardware", ("event_log.replay",), "the event log tells of another kernel command line than was measured"),
    Break("event-payload-changed", "hardware", ("event_log.replay",), "a runtime event's payload doesn't have its digest"),
    Break("event-log-relabelled", "hardware", ("event_log.replay",), "the compose-hash event has a genuine digest and a foreign type"),
    Break("compose-hash-twice", "hardware", ("compose.hash",), "two different compose hashes are measured before the system was ready"),
    Break(
        "compose-hash-late",
        "hardware",
        ("compose.hash",),
        "a compose hash is measured by the application itself, after the system was ready",
    ),
    Break("compose-missing", "hardware", ("compose.hash",), "there is no app-compose file"),
    Break("compose-mismatch", "hardware", ("compose.hash",), "the app-compose file that is shown is not the measured one"),
    Break("compose-written-again", "hardware", ("compose.hash",), "the app-compose file is shown with other spaces than it was measured with"),
    Break("mr-config-id-mismatch", "hardware", ("compose.mr_config_id",), "the host started the machine for another app-compose file than it runs"),
    Break("mr-config-id-unknown", "hardware", ("compose.mr_config_id",), "the host started the machine with a configuration of unknown form"),
    Break("compose-unknown", "hardware", ("compose.accepted",), "the measured app-compose file is not one that the policy accepts"),
    Break("unknown-measurement", "hardware", ("measurement.reference_values",), "firmware and kernel are not those that the policy accepts"),
)
