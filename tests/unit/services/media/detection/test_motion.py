import numpy as np
import pytest

from services.media.detection.motion import MotionDetector, MotionSettings

SETTINGS = MotionSettings(threshold=0.01)
SIZE = (180, 320)


def grey(level=100, size=SIZE):
    return np.full(size, level, dtype=np.uint8)


def with_box(x, y, width, height, level=250, size=SIZE):
    picture = grey(size=size)
    picture[y : y + height, x : x + width] = level
    return picture


def looked(pictures, settings=SETTINGS, interval_usec=600_000):
    detector = MotionDetector(settings)
    return [detector.look(picture, number * interval_usec) for number, picture in enumerate(pictures)]


def test_a_still_picture_never_moves():
    assert looked([grey()] * 10) == [None] * 10


def test_the_first_pictures_only_prime_it():
    moving = [with_box(n * 60, 40, 60, 60) for n in range(4)]
    assert [bool(motion) for motion in looked(moving)] == [False, False, True, True]


def test_what_moved_is_boxed_in_shares_of_the_picture():
    still = [grey()] * 3
    (motion,) = filter(None, looked([*still, with_box(160, 90, 80, 40)]))
    (region,) = motion.detections
    assert (region.x, region.y) == (pytest.approx(0.5, abs=0.04), pytest.approx(0.5, abs=0.06))
    assert (region.width, region.height) == (pytest.approx(0.25, abs=0.04), pytest.approx(0.222, abs=0.06))
    assert region.confidence == pytest.approx(150 / 255, abs=0.01)
    assert motion.data["score"] == pytest.approx(150 / 255 * region.data["cells"] / (32 * 18), abs=0.001)
    assert (motion.data["gridWidth"], motion.data["gridHeight"]) == (32, 18)
    assert len(motion.data["grid"]["cells"]) == 32 * 18
    assert region.label == "motion"


def test_things_that_move_apart_are_boxed_apart_largest_first():
    picture = np.maximum(with_box(20, 20, 40, 40), with_box(200, 100, 80, 60))
    motion = looked([grey(), grey(), picture])[-1]
    assert [region.x > 0.5 for region in motion.detections] == [True, False]
    assert motion.detections[0].data["cells"] > motion.detections[1].data["cells"]


def test_at_most_eight_things_are_boxed():
    picture = grey()
    for row in range(3):
        for column in range(4):
            picture[20 + row * 50 :][:20, 20 + column * 80 :][:, :20] = 250
    assert len(looked([grey(), grey(), picture])[-1].detections) == 8


def test_a_change_that_is_small_everywhere_is_the_whole_picture():
    motion = looked([grey(100), grey(100), grey(104)])[-1]
    (region,) = motion.detections
    assert (region.x, region.y, region.width, region.height, region.data["cells"]) == (0, 0, 1, 1, 32 * 18)


def test_after_an_event_there_is_none_for_a_while():
    moving = [with_box(n * 30 % 240, 40, 60, 60) for n in range(12)]
    told = looked(moving, interval_usec=200_000)
    at = [number * 200_000 for number, motion in enumerate(told) if motion]
    assert at == [400_000, 1_000_000, 1_600_000, 2_200_000]


def test_another_size_primes_it_again():
    small = [grey(size=(90, 160)), with_box(20, 20, 60, 40, size=(90, 160))]
    assert looked([grey(), grey(), *small]) == [None] * 4


def test_the_threshold_decides():
    moving = [grey(), grey(), with_box(0, 0, 80, 45)]
    score = looked(moving)[-1].data["score"]
    assert looked(moving, MotionSettings(threshold=score - 0.001))[-1]
    assert not looked(moving, MotionSettings(threshold=score + 0.001))[-1]


def test_a_picture_smaller_than_the_grid_is_no_trouble():
    tiny = [np.full((4, 4), level, dtype=np.uint8) for level in (0, 0, 255)]
    assert looked(tiny)[-1].data["score"] == pytest.approx(1)
