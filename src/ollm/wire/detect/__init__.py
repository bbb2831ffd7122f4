"""Detectors: what looks like a card number, an account, a person's number or a credential in a text, and is one by its own check digits."""
