"""JSON values with one part replaced by another."""

from typing import Any

from hypothesis import strategies as st


def damaged(value: Any, data: st.DataObject) -> Any:
    """`value` with one of its parts replaced by something else."""
    other: st.SearchStrategy[Any] = st.sampled_from([None, 0, -1.5, "canary", "", True, [], {}, [[]], [{}], {"type": "canary"}, 2**70])
    if isinstance(value, dict) and value and data.draw(st.integers(0, 3)):
        name = data.draw(st.sampled_from(sorted(value)))
        return {**value, name: damaged(value[name], data)}
    if isinstance(value, list) and value and data.draw(st.integers(0, 3)):
        index = data.draw(st.integers(0, len(value) - 1))
        return [*value[:index], damaged(value[index], data), *value[index + 1 :]]
    return data.draw(other)
