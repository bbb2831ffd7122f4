"""What one input may cost, and what a whole run may."""

import resource

LIMIT_SECONDS = 0.05  # for any one input
LIMIT_MEMORY = 100 * 2**20  # bytes that a run may add to the process


def allowed_memory(runs: int, keeps: int) -> int:
    """Bytes that `runs` inputs may add to the process, where a library keeps `keeps` of each."""
    return LIMIT_MEMORY + runs * keeps


def peak_memory() -> int:
    """The most that this process ever had in memory, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts KiB
