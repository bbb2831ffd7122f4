"""The checks of what a dstack machine booted and runs, in the order of appraisal."""

from ollm.attest.proof import Proof

_DSTACK = "dstack attestation guide"

CHECKS: dict[str, Proof] = {
    "event_log.format": Proof("the event log is well-formed", _DSTACK),
    "event_log.replay": Proof("the event log is what the machine measured; each runtime event has the digest of its name and payload", _DSTACK),
    "measurement.reference_values": Proof("firmware and operating system are a build that the policy lists", "RFC 9334 §8.4"),
    "compose.hash": Proof("the application's definition is the one that was measured, once, before any application ran", _DSTACK),
    "compose.mr_config_id": Proof("the configuration that the host fixed at start does not contradict it", _DSTACK),
    "compose.accepted": Proof("that definition is one that the policy lists for this build", "RFC 9334 §8.4"),
}
