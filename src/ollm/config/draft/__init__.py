"""Policies drafted from evidence, for a person to review: what a machine says of itself, written as the rules that would admit it."""
