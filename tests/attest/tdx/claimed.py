"""What the library says of a platform in order, for tests that bend one member of it."""

from ollm.attest.tdx.genuine import PlatformClaims

PLATFORM = PlatformClaims(
    tcb_status="UpToDate",
    advisories=(),
    tcb_date="2026-08-12T00:00:00Z",
    tcb_evaluation_data_number=20,
    current_tcb_status=None,
    qe_tcb_status="UpToDate",
    qe_tcb_date="2026-08-12T00:00:00Z",
    fmspc="00A06D080000",
    ppid="0123456789abcdef" * 2,
    dynamic_platform="True",
    cached_keys="False",
    smt="True",
)
