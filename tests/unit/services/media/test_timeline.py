import itertools

import pytest

from services.media.timeline import Timeline

WRAP = 1 << 32


def test_a_track_begins_at_the_moment_it_arrives_and_follows_its_own_clock():
    timeline = Timeline()
    assert [timeline.stamp("audio", 5000 + 960 * n, 10.0 + 0.5 * n) for n in range(3)] == [480_000, 480_960, 481_920]


def test_the_wrap_of_the_timestamp_is_followed():
    timeline = Timeline()
    first = timeline.stamp("audio", WRAP - 480, 1.0)
    assert timeline.stamp("audio", 480, 1.02) == first + 960


def test_stamps_rise_strictly_even_where_the_sender_repeats_itself():
    timeline = Timeline()
    stamps = [timeline.stamp("video", timestamp, 1.0) for timestamp in (3000, 3000, 2000, 6000)]
    assert all(second > first for first, second in itertools.pairwise(stamps))


@pytest.mark.parametrize("late_seconds", [0.08, -0.05])
def test_the_picture_comes_into_step_with_the_sound_without_a_jump(late_seconds):
    """Both were taken at one moment, but the picture arrives later, or earlier, than the sound."""
    timeline = Timeline()
    timeline.stamp("audio", 0, 10.0)
    stamps = [timeline.stamp("video", 0, 10.0 + late_seconds)]
    timeline.report("audio", 1000.0, 0)
    timeline.report("video", 1000.0, 0)
    stamps += [timeline.stamp("video", 3000 * n, 10.0 + n / 30) for n in range(1, 121)]
    assert stamps[-1] - 120 * 3000 == pytest.approx(900_000, abs=2)
    steps = [second - first for first, second in itertools.pairwise(stamps)]
    assert all(abs(step - 3000) <= 90 for step in steps)


def test_clocks_that_do_not_hang_together_are_left_alone():
    timeline = Timeline()
    timeline.stamp("audio", 0, 10.0)
    first = timeline.stamp("video", 0, 10.0)
    timeline.report("audio", 1000.0, 0)
    timeline.report("video", 5000.0, 0)
    assert timeline.stamp("video", 3000, 10.1) == first + 3000


def test_a_track_that_counts_anew_goes_on_from_its_arrival():
    timeline = Timeline()
    timeline.report("video", 1.0, 0)  # of a track that is not there yet
    timeline.restart("video", 5, 1.0)
    first = timeline.stamp("video", 3_000_000, 10.0)
    timeline.restart("video", 7, 11.0)
    assert timeline.stamp("video", 7, 11.0) == first + 90_000
