"""Weighted least squares finds the truth, knows how sure it is, and its derivatives are right."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.twin.equations import Equations
from gridloom.twin.measurements import Quantity
from gridloom.twin.network import Network
from gridloom.twin.wls import CommonError, covariance, solve_wls


def random_network(n: int, rng: np.random.Generator, loops: int = 0) -> Network:
    to_node = np.concatenate([np.arange(1, n), rng.integers(n // 2, n, loops)])
    from_node = np.concatenate(
        [
            np.array(
                [rng.integers(max(0, child - 4), child) for child in range(1, n)], dtype=np.int64
            ),
            rng.integers(0, max(n // 2, 1), loops),
        ]
    )
    b = len(to_node)
    series = 1.0 / (rng.uniform(0.001, 0.02, b) + 1j * rng.uniform(0.001, 0.02, b))
    charging = 1j * rng.uniform(0, 1e-3, b)
    ratio = np.exp(1j * rng.uniform(-0.5, 0.5, b)) * rng.uniform(0.97, 1.03, b)
    ratio[n - 1 :] = 1.0
    return Network(
        n_nodes=n,
        from_node=from_node,
        to_node=to_node,
        y_ff=(series + charging) / np.abs(ratio) ** 2,
        y_ft=-series / ratio.conj(),
        y_tf=-series / ratio,
        y_tt=series + charging,
        shunt=np.zeros(n, dtype=complex),
        reference=np.array([0]),
        reference_rad=np.array([0.0]),
    )


def full_set(network: Network, rng: np.random.Generator) -> Equations:
    n, b = network.n_nodes, len(network.from_node)
    sizes = [n, n, n, b, b, b, b, b, b]
    quantity = np.repeat(np.array([int(one) for one in Quantity]), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    keep = rng.uniform(size=len(place)) < 0.9
    return Equations(network, quantity[keep], place[keep])


def voltages(network: Network, rng: np.random.Generator) -> np.ndarray:
    n = network.n_nodes
    angles = np.angle(network.flat_start) + 0.004 * rng.normal(size=n) * (np.arange(n) > 0)
    return (1 + 0.005 * rng.normal(size=n)) * np.exp(1j * angles)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 30), st.integers(0, 1000))
def test_derivatives_equal_central_differences(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(n, rng)
    equations, voltage = full_set(network, rng), voltages(network, rng)
    at = equations.linearise(voltage)
    slope = equations.jacobian(at).toarray()
    for column in rng.integers(0, 2 * n, 4):
        change = np.zeros(2 * n)
        change[column] = 1e-6
        sides = [
            (np.abs(voltage) + sign * change[n:])
            * np.exp(1j * (np.angle(voltage) + sign * change[:n]))
            for sign in (1, -1)
        ]
        up, down = (equations.predict(equations.linearise(side)) for side in sides)
        difference = (up - down) / 2e-6
        atol = 2e-5 * max(1.0, np.abs(difference).max())
        np.testing.assert_allclose(slope[:, column], difference, atol=atol)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 20), st.integers(0, 3), st.integers(0, 1000))
def test_sparse_products_and_variances_equal_the_dense_ones(n: int, loops: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(n, rng, loops if n > 4 else 0)
    equations = full_set(network, rng)
    at = equations.linearise(voltages(network, rng))
    in_order = np.stack([equations.position, equations.position], axis=1) * 2 + [0, 1]
    columns = np.concatenate([in_order[:, 0], in_order[:, 1]])
    slope = np.zeros((len(equations.quantity), 2 * n))
    slope[:, columns] = equations.jacobian(at).toarray()
    weight = rng.uniform(1.0, 4.0, len(slope))
    change, rows = rng.normal(size=2 * n), rng.normal(size=len(slope))
    np.testing.assert_allclose(equations.push(at, change), slope @ change, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(equations.pull(at, rows), slope.T @ rows, rtol=1e-9, atol=1e-8)
    entry, _ = equations.gain(at, weight, rows, prior=1.0)
    dense = slope.T @ (weight[:, None] * slope) + np.eye(2 * n)
    dense[columns[0], columns[0]] += 1e12
    inverse = np.linalg.inv(dense)
    selected = equations.factorise(entry).invert_selected()
    np.testing.assert_allclose(selected.diagonal, np.diag(inverse), rtol=1e-4)
    expected = np.einsum("ij,jk,ik->i", slope, inverse, slope)
    np.testing.assert_allclose(equations.explained(at, selected), expected, rtol=1e-4, atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 40), st.integers(0, 3), st.integers(0, 1000))
def test_exact_measurements_give_back_the_exact_state(n: int, loops: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(n, rng, loops if n > 4 else 0)
    truth, equations = voltages(network, rng), full_set(network, rng)
    exact = equations.predict(equations.linearise(truth))
    solution = solve_wls(equations, exact, np.full(len(exact), 1e6), network.flat_start)
    assert solution.converged
    turned = truth * np.exp(-1j * np.angle(truth[0]))
    np.testing.assert_allclose(solution.voltage, turned, atol=1e-6)


@pytest.mark.parametrize("has_common_error", [False, True])
def test_stated_uncertainty_is_the_scatter_seen_over_many_draws(*, has_common_error: bool) -> None:
    rng = np.random.default_rng(5)
    network = random_network(25, rng)
    truth, equations = voltages(network, rng), full_set(network, rng)
    exact = equations.predict(equations.linearise(truth))
    sigma = np.full(len(exact), 2e-3)
    # A few voltages are free of the error that the others share.
    shares = equations.is_voltage & (equations.place > 3)
    common = CommonError(rows=shares, sigma=5e-3) if has_common_error else None
    draws, residuals = [], []
    for _ in range(300):
        noisy = exact + rng.normal(size=len(exact)) * sigma
        if common is not None:
            noisy += shares * common.sigma * rng.normal()
        solution = solve_wls(equations, noisy, sigma**-2, truth, common=common)
        draws.append(np.abs(solution.voltage))
        residuals.append(solution.residual)
    spread = covariance(equations, solution, common)
    np.testing.assert_allclose(np.std(draws, axis=0), spread.v_sigma_pu, rtol=0.2)
    stated = spread.residual_sigma(sigma**-2)
    np.testing.assert_allclose(np.std(residuals, axis=0), stated, rtol=0.25, atol=1e-6)
