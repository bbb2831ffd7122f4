"""AMD SEV-SNP: an attestation report, its chip's certificate, and what both must say to be accepted."""
