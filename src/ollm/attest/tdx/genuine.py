"""Whether a quote is genuine: roots, certificates, revocation, signatures, TCB level (work in progress: constants first)."""

# Marks the PCK certificate of simulated hardware; see docs/decisions/0002-simulated-marker.md. Non-critical, value DER NULL.
# Arcs under RFC 5612's enterprise number for examples, then a random UUID as four 32-bit numbers.
SIMULATED_MARKER_OID = "1.3.6.1.4.1.32473.1528790030.2637843538.2322476877.1908423480"
SIMULATED_MARKER_VALUE = b"\x05\x00"
