"""Subjects are built from clean tokens and matched as NATS matches them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridloom.core.errors import BadInput
from gridloom.ioe import subjects
from gridloom.ioe.subjects import Lane, matches


@given(st.text(min_size=1))
def test_any_text_survives_as_a_token(text: str) -> None:
    made = subjects.token(text)
    assert subjects.from_token(made) == text
    assert subjects.event(made) == f"event.{made}"


@pytest.mark.parametrize("path", ["", "a..b", "a.*", "a.>", "a b", ".a", "a.", "a\r\nPUB x"])
def test_paths_that_could_escape_are_refused(path: str) -> None:
    with pytest.raises(BadInput):
        subjects.command(path)


@pytest.mark.parametrize(
    ("pattern", "subject", "covered"),
    [
        ("event.>", "event.a.b", True),
        ("event.>", "event", False),
        ("event.*", "event.a", True),
        ("event.*", "event.a.b", False),
        ("event.*.b", "event.a.b", True),
        ("event.a", "event.a", True),
        ("event.a", "event.b", False),
        ("telemetry.>", "event.a", False),
    ],
)
def test_patterns_match_as_in_nats(pattern: str, subject: str, covered: bool) -> None:
    assert matches(pattern, subject) is covered


def test_every_lane_has_its_own_subjects() -> None:
    made = [subjects.subject(lane, "a.b") for lane in Lane]
    assert len(set(made)) == len(Lane)
    assert subjects.split(subjects.ack("a.b")) == ("ack", "a.b")
