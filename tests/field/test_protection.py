"""The relay's sequence of trips, reclosings and lock-out."""

import pytest

from gridloom.core.errors import BadInput
from gridloom.field.protection import Relay, RelaySettings, RelayState


def test_a_relay_without_reclosing_has_no_shot() -> None:
    relay = Relay(RelaySettings())
    relay.pick_up()
    assert relay.state is RelayState.PICKED_UP
    assert relay.trip() is None
    assert relay.state is RelayState.TRIPPED


def test_reclosing_shots_are_used_in_order_and_come_back_with_a_reset() -> None:
    relay = Relay(RelaySettings(reclose_after_s=(0.3, 15.0)))
    assert [relay.trip(), relay.trip(), relay.trip()] == [0.3, 15.0, None]
    relay.lock_out()
    assert relay.state is RelayState.LOCKED_OUT
    relay.reset()
    assert relay.state is RelayState.RESET
    assert relay.trip() == 0.3


@pytest.mark.parametrize("wrong", [{"backup_s": 0.0}, {"reclose_after_s": (-1.0,)}])
def test_times_that_are_not_positive_are_refused(wrong) -> None:
    with pytest.raises(BadInput):
        RelaySettings(**wrong)
