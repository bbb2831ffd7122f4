"""Counters of limits and budgets: in this process for one worker, in Valkey or Redis for several."""
