"""How much a client may take before it is cut off: each limit stands against one way to hold a server up."""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Times in seconds, sizes in bytes."""

    header_seconds: float = 10.0  # first byte of a request (or the connection) until the end of its headers (slowloris)
    header_bytes: int = 32 * 1024
    header_fields: int = 100
    target_bytes: int = 8 * 1024  # path and query
    idle_seconds: float = 75.0  # between two requests; longer than the 60 s of common load balancers, so that they close first
    body_window_seconds: float = 10.0  # a body must bring body_min_rate in each such window, while the application reads
    body_min_rate: int = 1024  # bytes per second
    write_stall_seconds: float = 60.0  # a client that doesn't read so long is dropped
    linger_seconds: float = 2.0  # after a refusal, input is still read so long, lest a reset destroys the answer
    connections: int = 4096
    pipelined: int = 16  # requests that wait on one connection

    def tick(self) -> float:
        """Seconds between two looks at all connections: fine enough for the shortest limit."""
        shortest = min(self.header_seconds, self.idle_seconds, self.body_window_seconds, self.write_stall_seconds, self.linger_seconds)
        return max(0.02, min(1.0, shortest / 4))
