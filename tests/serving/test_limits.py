from ollm.serving.limits import Limits


def test_the_tick_is_fine_enough_for_the_shortest_limit() -> None:
    assert Limits().tick() == 0.5
    assert Limits(header_seconds=0.2, linger_seconds=1).tick() == 0.05
    assert Limits(idle_seconds=0.001).tick() == 0.02


def test_no_tick_is_longer_than_a_second() -> None:
    assert Limits(linger_seconds=60).tick() == 1.0
