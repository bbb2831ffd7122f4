"""What a policy accepts and what it leaves open, in words: a table of sentences for each struct of `values/policy.py`."""
