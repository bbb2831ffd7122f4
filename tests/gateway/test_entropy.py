"""Random bytes by the page: every byte is handed out once, across refills."""

from ollm.gateway.entropy import Entropy


def test_no_two_draws_are_the_same() -> None:
    entropy = Entropy()
    draws = [entropy.take(10) for _ in range(5000)]  # several refills
    assert all(len(draw) == 10 for draw in draws)
    assert len(set(draws)) == len(draws)


def test_a_draw_that_the_rest_of_the_pool_cannot_serve_comes_from_a_new_one() -> None:
    entropy = Entropy()
    first = entropy.take(8000)
    second = entropy.take(1000)
    assert len(second) == 1000
    assert second not in first


def test_it_does_not_print_what_it_holds() -> None:
    entropy = Entropy()
    assert entropy.take(4).hex() not in repr(entropy)
