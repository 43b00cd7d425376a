"""Programs that are kept within a memory, and what a worker has for them."""

from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainables.fitting.compiled.kept_programs import (
    KeptPrograms,
    memory_for_programs,
    memory_of_machine,
)


def program(memory):
    return SimpleNamespace(memory=memory)


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 60)), max_size=30))
def test_the_last_used_are_kept_within_the_memory(asked) -> None:
    kept, sizes, order = KeptPrograms(100), {}, []
    for key, size in asked:
        sizes[key] = sizes[key] if key in order else size
        trace = Mock(return_value=program(size))
        found = kept.get(key, trace)

        assert trace.called == (key not in order)
        assert found.memory == sizes[key]
        order = [*(other for other in order if other != key), key]
        while sum(sizes[other] for other in order) > 100:
            order.pop(0)
        assert len(kept) == len(order)
        assert kept.memory == pytest.approx(sum(sizes[other] for other in order), abs=0.1)


def test_one_that_takes_more_than_all_may_is_kept_until_the_next() -> None:
    kept = KeptPrograms(100)
    kept.get("small", lambda: program(10))
    kept.get("large", lambda: program(500))

    assert len(kept) == 1
    assert kept.get("large", lambda: pytest.fail("it was traced again"))
    kept.get("small", lambda: program(10))
    assert kept.memory == pytest.approx(10, abs=0.1)


@pytest.mark.parametrize(
    ("memory", "cores", "expected"),
    [(16384, 8, 1024), (24576, 4, 3072), (262144, 16, 4096), (2048, 64, 1024)],
)
def test_a_worker_has_half_of_its_share_of_the_machine_within_bounds(
    memory, cores, expected
) -> None:
    assert memory_for_programs(memory, cores) == expected


def test_the_limit_of_a_container_counts(tmp_path, monkeypatch) -> None:
    whole = memory_of_machine()
    limit, unlimited = tmp_path / "limit", tmp_path / "unlimited"
    limit.write_text(f"{512 * 2**20}\n")
    unlimited.write_text("max\n")
    module = "trainables.fitting.compiled.kept_programs.LIMITS"

    monkeypatch.setattr(module, (str(unlimited), str(tmp_path / "absent")))
    assert memory_of_machine() >= whole
    monkeypatch.setattr(module, (str(unlimited), str(limit)))
    assert memory_of_machine() == 512
