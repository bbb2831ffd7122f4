"""OLLM: a confidential AI gateway.

Applications speak the OpenAI API to it. It verifies, by hardware attestation, which machine and software will
read a prompt before the prompt leaves, seals the prompt to that machine, keeps no content, and signs a receipt.
"""

__version__ = "0.1.0"
