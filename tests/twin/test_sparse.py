"""The sparse factor and its selected inverse agree with dense linear algebra."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_matrix

from gridloom.twin.sparse import factorise, invert_selected, solve


def gain_of_random_tree(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = [np.eye(n)]
    for child in range(1, n):
        row = np.zeros(n)
        row[child], row[rng.integers(child)] = 1.0, -1.0
        rows.append(rng.uniform(0.1, 10.0) * row[None])
    jacobian = np.concatenate(rows)
    return jacobian, jacobian.T @ jacobian


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 25), st.integers(0, 10_000))
def test_solution_and_variances_equal_the_dense_ones(n: int, seed: int) -> None:
    jacobian, gain = gain_of_random_tree(n, seed)
    rng = np.random.default_rng(seed)
    factor = factorise(csc_matrix(gain), rng.permutation(n).astype(np.int64))
    right_side = rng.normal(size=n)
    np.testing.assert_allclose(solve(factor, right_side), np.linalg.solve(gain, right_side), rtol=1e-8, atol=1e-10)
    inverse = invert_selected(factor)
    dense = np.linalg.inv(gain)
    np.testing.assert_allclose(inverse.variances(), np.diag(dense), rtol=1e-8)
    rows = csc_matrix(jacobian).tocsr()
    forms = inverse.quadratic_forms(rows.indptr, rows.indices, rows.data)
    np.testing.assert_allclose(forms, np.einsum("ij,jk,ik->i", jacobian, dense, jacobian), rtol=1e-7)


def test_leaves_first_causes_no_fill_on_a_tree() -> None:
    _, gain = gain_of_random_tree(200, 7)
    factor = factorise(csc_matrix(gain), np.arange(200)[::-1].astype(np.int64))
    assert len(factor.row) == 199
