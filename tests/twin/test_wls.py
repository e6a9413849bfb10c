"""Weighted least squares finds the truth, knows how sure it is, and its derivatives are right."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gridloom.twin.measurements import Measurements, Origin, Quantity
from gridloom.twin.network import Network, jacobian, predict
from gridloom.twin.wls import covariance, solve_wls


def random_radial_network(n: int, rng: np.random.Generator) -> Network:
    to_node = np.arange(1, n)
    from_node = np.array([rng.integers(max(0, child - 4), child) for child in to_node], dtype=np.int64)
    series = 1.0 / (rng.uniform(0.001, 0.02, n - 1) + 1j * rng.uniform(0.001, 0.02, n - 1))
    charging = 1j * rng.uniform(0, 1e-3, n - 1)
    ratio = np.exp(1j * rng.uniform(-0.5, 0.5, n - 1)) * rng.uniform(0.97, 1.03, n - 1)
    return Network(
        n_nodes=n,
        from_node=from_node,
        to_node=to_node,
        y_ff=(series + charging) / np.abs(ratio) ** 2,
        y_ft=-series / ratio.conj(),
        y_tf=-series / ratio,
        y_tt=series + charging,
        shunt=np.zeros(n, dtype=complex),
        reference=0,
    )


def full_set(network: Network, rng: np.random.Generator, sigma: float) -> Measurements:
    n, b = network.n_nodes, len(network.from_node)
    sizes = [n, n, n, b, b, b, b]
    quantity = np.repeat(np.array(list(Quantity), dtype=np.int8), sizes)
    place = np.concatenate([np.arange(size) for size in sizes])
    m = len(place)
    rows = Measurements(
        quantity=quantity,
        place=place,
        value=np.zeros(m),
        sigma=np.full(m, sigma),
        origin=np.full(m, Origin.TELEMETRY, dtype=np.int8),
        instrument=np.arange(m),
    )
    return rows.keep(rng.uniform(size=m) < 0.9)


def voltages(network: Network, rng: np.random.Generator) -> np.ndarray:
    n = network.n_nodes
    return (1 + 0.02 * rng.normal(size=n)) * np.exp(1j * 0.02 * rng.normal(size=n) * (np.arange(n) > 0))


def with_values(rows: Measurements, value: np.ndarray) -> Measurements:
    return Measurements(
        quantity=rows.quantity, place=rows.place, value=value, sigma=rows.sigma,
        origin=rows.origin, instrument=rows.instrument,
    )


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 30), st.integers(0, 1000))
def test_derivatives_equal_central_differences(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_radial_network(n, rng)
    rows, voltage = full_set(network, rng, 1.0), voltages(network, rng)
    slope = jacobian(network, voltage, rows).toarray()
    for column in rng.integers(0, 2 * n, 4):
        change = np.zeros(2 * n)
        change[column] = 1e-6
        up = (np.abs(voltage) + change[n:]) * np.exp(1j * (np.angle(voltage) + change[:n]))
        down = (np.abs(voltage) - change[n:]) * np.exp(1j * (np.angle(voltage) - change[:n]))
        difference = (predict(network, up, rows) - predict(network, down, rows)) / 2e-6
        np.testing.assert_allclose(slope[:, column], difference, atol=2e-5 * max(1.0, np.abs(difference).max()))


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 40), st.integers(0, 1000))
def test_exact_measurements_give_back_the_exact_state(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_radial_network(n, rng)
    truth, rows = voltages(network, rng), full_set(network, rng, 1e-3)
    solution = solve_wls(network, with_values(rows, predict(network, truth, rows)), np.ones(n, dtype=complex))
    assert solution.converged
    np.testing.assert_allclose(solution.voltage * np.exp(-1j * np.angle(solution.voltage[0])),
                               truth * np.exp(-1j * np.angle(truth[0])), atol=1e-6)


def test_stated_uncertainty_is_the_scatter_seen_over_many_draws() -> None:
    rng = np.random.default_rng(5)
    network = random_radial_network(25, rng)
    truth, rows = voltages(network, rng), full_set(network, rng, 2e-3)
    exact = predict(network, truth, rows)
    draws, residuals = [], []
    for _ in range(300):
        noisy = with_values(rows, exact + rng.normal(size=len(rows)) * rows.sigma)
        solution = solve_wls(network, noisy, truth)
        draws.append(np.abs(solution.voltage))
        residuals.append(noisy.value - predict(network, solution.voltage, noisy))
    spread = covariance(network, rows, truth)
    np.testing.assert_allclose(np.std(draws, axis=0), spread.v_sigma_pu, rtol=0.2)
    np.testing.assert_allclose(np.std(residuals, axis=0), spread.residual_sigma, rtol=0.25, atol=1e-6)
