"""The sparse factor and its selected inverse agree with dense linear algebra."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_matrix, triu

from gridloom.twin.sparse import Factor, Symbolic


def gain_of_random_tree(n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rows = [np.eye(n)]
    for child in range(1, n):
        row = np.zeros(n)
        row[child], row[rng.integers(child)] = 1.0, -1.0
        rows.append(rng.uniform(0.1, 10.0) * row[None])
    jacobian = np.concatenate(rows)
    return jacobian.T @ jacobian


def factor_of(matrix: np.ndarray, order: np.ndarray) -> Factor:
    upper = csc_matrix(triu(csc_matrix(matrix[order][:, order])))
    symbolic = Symbolic.of(upper.indptr.astype(np.int64), upper.indices.astype(np.int64))
    return symbolic.factorise(upper.data)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 25), st.integers(0, 10_000))
def test_solution_and_variances_equal_the_dense_ones(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    ordered = gain_of_random_tree(n, seed)[order][:, order]
    factor = factor_of(ordered, np.arange(n))
    right_side = rng.normal(size=n)
    expected = np.linalg.solve(ordered, right_side)
    np.testing.assert_allclose(factor.solve(right_side), expected, rtol=1e-8, atol=1e-10)
    inverse, dense = factor.invert_selected(), np.linalg.inv(ordered)
    np.testing.assert_allclose(inverse.diagonal, np.diag(dense), rtol=1e-8)
    column = np.repeat(np.arange(n), np.diff(factor.column_start))
    np.testing.assert_allclose(inverse.value, dense[factor.row, column], rtol=1e-7, atol=1e-12)


def test_leaves_first_causes_no_fill_on_a_tree() -> None:
    factor = factor_of(gain_of_random_tree(200, 7), np.arange(200)[::-1])
    assert len(factor.row) == 199


def test_a_singular_matrix_gives_a_tiny_pivot_instead_of_an_error() -> None:
    factor = factor_of(np.ones((2, 2)), np.arange(2))
    assert factor.smallest_pivot < 1e-12
