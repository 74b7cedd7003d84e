"""Adding a perturbation: the budget holds at every size, and equal sizes lose nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import resize

from anti_i2v.errors import BudgetError
from anti_i2v.images.perturbation import STRIP, add_delta, check_budget

side = st.integers(1, 70)


@given(
    seed=st.integers(0, 2**32 - 1),
    full=st.tuples(side, side),
    small=st.tuples(side, side),
    budget=st.integers(1, 64),
    excess=st.floats(0.1, 4),
)
@settings(max_examples=100, deadline=None)
def test_the_result_is_never_over_budget(
    seed: int, full: tuple[int, int], small: tuple[int, int], budget: int, excess: float
) -> None:
    generator = np.random.default_rng(seed)
    clean = generator.integers(0, 256, (*full, 3), np.uint8)
    delta = generator.uniform(-excess, excess, (3, *small)).astype(np.float32) * np.float32(budget / 255)
    protected = add_delta(clean, delta, budget)
    assert (protected.shape, protected.dtype) == (clean.shape, np.uint8)
    assert np.abs(protected.astype(int) - clean).max() <= budget
    assert check_budget(clean, protected, budget) == np.abs(protected.astype(int) - clean).max()


@given(seed=st.integers(0, 2**32 - 1), size=st.tuples(side, side), budget=st.integers(1, 64))
@settings(max_examples=50, deadline=None)
def test_whole_levels_at_equal_size_are_added_exactly(seed: int, size: tuple[int, int], budget: int) -> None:
    generator = np.random.default_rng(seed)
    clean = generator.integers(0, 256, (*size, 3), np.uint8)
    levels = generator.integers(-budget, budget + 1, (3, *size))
    protected = add_delta(clean, (levels / 255).astype(np.float32), budget)
    assert np.array_equal(protected, (clean + levels.transpose(1, 2, 0)).clip(0, 255))


def test_a_photo_taller_than_a_strip_has_no_seams() -> None:
    clean = np.full((2 * STRIP + 40, 8, 3), 128, np.uint8)
    protected = add_delta(clean, np.full((3, 20, 2), 5 / 255, np.float32), 8)
    assert (protected == 133).all()


def test_upscaling_is_bilinear() -> None:
    delta = np.random.default_rng(0).uniform(-40, 40, (3, 9, 7)).astype(np.float32) / 255
    protected = add_delta(np.full((36, 28, 3), 128, np.uint8), delta, 64)
    expected = resize(delta.transpose(1, 2, 0) * 255, (36, 28), order=1, mode="edge", anti_aliasing=False)
    assert np.abs(protected - 128.0 - expected).max() <= 0.51


@pytest.mark.parametrize(
    "row", [0, STRIP - 1, STRIP, 2 * STRIP + 9], ids=["first", "end of strip", "next strip", "last"]
)
@pytest.mark.parametrize("sign", [-1, 1])
def test_one_value_over_budget_is_found_anywhere(row: int, sign: int) -> None:
    clean = np.full((2 * STRIP + 10, 5, 3), 128, np.uint8)
    protected = clean.copy()
    protected[row, 3, 1] = 128 + 9 * sign
    assert check_budget(clean, protected, 9) == 9
    with pytest.raises(BudgetError, match="differs by 9 levels, its budget is 8"):
        check_budget(clean, protected, 8)


def test_differences_do_not_wrap_around() -> None:
    clean, protected = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    with pytest.raises(BudgetError, match="255 levels"):
        check_budget(clean, protected, 64)
