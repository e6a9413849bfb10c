"""Delays and losses of the link technologies."""

import numpy as np
import pytest

from gridloom.core.errors import BadInput
from gridloom.field.links import LINK_OF_KIND, LINKS, LinkProfile


@pytest.mark.parametrize("link", LINKS.values(), ids=lambda link: link.name)
def test_drawn_delays_have_the_stated_floor_median_and_p99(link: LinkProfile) -> None:
    rng = np.random.default_rng(1)
    delay_ms = np.array([link.delay_ns(rng) for _ in range(20_000)]) / 1e6
    assert delay_ms.min() >= link.floor_ms
    assert np.median(delay_ms) == pytest.approx(link.median_ms, rel=0.03)
    assert np.quantile(delay_ms, 0.99) == pytest.approx(link.p99_ms, rel=0.12)


def test_the_stated_share_is_lost() -> None:
    rng = np.random.default_rng(2)
    link = LINKS["plc"]
    lost = np.mean([link.carry_ns(rng) is None for _ in range(20_000)])
    assert lost == pytest.approx(link.loss, abs=0.004)


def test_a_loss_does_not_shift_the_draws_that_follow() -> None:
    sure = LinkProfile(name="a", floor_ms=1, median_ms=2, p99_ms=5, loss=0.0, source="")
    shaky = LinkProfile(name="b", floor_ms=1, median_ms=2, p99_ms=5, loss=0.5, source="")
    rng_a, rng_b = np.random.default_rng(3), np.random.default_rng(3)
    pairs = [(sure.carry_ns(rng_a), shaky.carry_ns(rng_b)) for _ in range(200)]
    assert all(b is None or a == b for a, b in pairs)
    assert any(b is None for _, b in pairs)


def test_every_kind_of_instrument_has_a_link() -> None:
    assert set(LINK_OF_KIND.values()) <= set(LINKS)


@pytest.mark.parametrize(
    ("floor_ms", "median_ms", "p99_ms", "loss"),
    [(5.0, 4.0, 6.0, 0.0), (1.0, 2.0, 2.0, 0.0), (-1.0, 2.0, 3.0, 0.0), (1.0, 2.0, 3.0, 1.0)],
)
def test_senseless_links_are_refused(floor_ms, median_ms, p99_ms, loss) -> None:
    with pytest.raises(BadInput, match="link odd"):
        LinkProfile(
            name="odd", floor_ms=floor_ms, median_ms=median_ms, p99_ms=p99_ms, loss=loss, source=""
        )
