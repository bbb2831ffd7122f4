"""The configuration that `ollm init` writes: commented, safe as it stands, serving nothing until an upstream is named."""

CONFIG = """\
# OLLM configuration. This one file holds every trust anchor; its SHA-256 stands in the gateway's own evidence and in
# every receipt. Unknown fields are refused. Reference: docs/reference/config.md

[gateway]
listen = "127.0.0.1:8400"
data_dir = "state"            # ledger, sealed receipts, sessions; never content
floor = "tee"                 # tee > zdr > simulated: no request is served below it, whatever its key says
durability = "full"           # full: a completed answer's row survives power loss; process: it survives kill -9
# tls_certificate = "tls/cert.pem"
# tls_key = "tls/key.pem"

[secrets]                     # where secrets come from, never the secrets themselves
pepper = "file:secrets/pepper"
row_key = "file:secrets/row-key"
receipt_key = "file:secrets/receipt-key"

[evidence]                    # the gateway's own attestation
quote_source = "none"         # or "dstack:/var/run/dstack.sock" inside a TDX guest

# [collateral]                # vendors' statements about hardware: fetched, and kept in state/collateral
# offline = true              # never fetch: use what `ollm collateral import` brought
# pcs_url = "https://pccs.example.com"   # a mirror; what it gives is verified like the vendor's own

# A trust decision: which machines, running which software, may read a prompt. An empty list accepts nothing.
# In a file of its own, which `ollm policy from-evidence` drafts, `explain` puts into words and `pin` checks:
# [policies.example]
# file = "policies/example.toml"
# sha256 = "…64 hexadecimal characters…"
# Or right here:
# [policies.example]
# level = "tee"
# [[policies.example.tdx.reference_values]]
# name = "inference-server 1.4"
# source = "release notes of 1.4, reproduced by us on 2026-11-20"
# mrtd = "…96 hexadecimal characters…"
# compose_hashes = ["…64 hexadecimal characters…"]

# [upstreams.example]
# url = "https://inference.example.com"
# policy = "example"
# api_key = "env:EXAMPLE_API_KEY"

# [models."llama-3.3-70b"]
# upstreams = ["example"]
# price = { input = 500000, output = 1500000 }   # micro-units of currency per million tokens
"""
