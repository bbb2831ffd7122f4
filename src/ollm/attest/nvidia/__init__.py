"""Confidential computing of NVIDIA: a GPU's or an NVLink switch's own report, judged against NVIDIA's statements about it."""
