import asyncio
import socket
import threading
from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest

from services.media import packetize
from services.media.origin import Origin
from services.media.sources import Encoding, Source, SourceLost, SourceMissing

ENCODING = Encoding(320, 180, 30, 500_000, 64_000, passthrough=True)


def film(path, *, codec="libx264", seconds=1.0, sound="libopus", frames=(), size=(320, 180), rate=30, **options):
    """Write a film of a moving bar, with a tone."""
    with av.open(str(path), "w") as container:
        picture = container.add_stream(codec, rate=rate, options=options)
        picture.width, picture.height, picture.pix_fmt = *size, "yuv420p"
        tone = container.add_stream(sound, rate=48_000, layout="stereo") if sound else None
        for number in range(round(seconds * rate)):
            image = np.zeros((size[1], size[0], 3), dtype=np.uint8)
            image[:, (number * 7) % size[0] :][:, :20] = 200
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(picture.encode(frame))
        container.mux(picture.encode(None))
        if tone:
            wave = (np.sin(np.arange(round(seconds * 48_000)) / 48_000 * 440 * 2 * np.pi) * 8000).astype(np.int16)
            for start in range(0, len(wave) - 959, 960):
                both = np.repeat(wave[start : start + 960], 2).reshape(1, -1)
                frame = av.AudioFrame.from_ndarray(both, format="s16", layout="stereo")
                frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
                container.mux(tone.encode(frame))
            container.mux(tone.encode(None))
    return path


BROWSER = {"profile": "baseline", "bf": "0", "g": "15", "sc_threshold": "0"}


@pytest.fixture
async def reading():
    """Read sources; each is stopped at the end."""
    sources = []

    def start(value, *, loop_file=True, encoding=ENCODING):
        units = []
        source = Source(Origin(str(value)), encoding, loop_file=loop_file, sink=units.append)
        sources.append(source)
        source.start()
        return source, units

    yield start
    for source in sources:
        await source.stop()


def of(units, kind):
    return [unit for unit in units if unit.kind == kind]


async def test_a_browsers_h264_goes_through_untouched_with_parameter_sets_at_each_key(reading, tmp_path, until):
    path = film(tmp_path / "a.mp4", **BROWSER)
    with av.open(str(path)) as container:
        originals = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    source, units = reading(path)
    source.demand(wanted=True)
    await until(lambda: len(of(units, "video")) >= 30)
    video = of(units, "video")[:30]
    assert not source.want_key()
    assert [unit.key for unit in video] == [number % 15 == 0 for number in range(30)]
    for unit, original in zip(video, originals, strict=False):
        parts = list(packetize.units(unit.data))
        pictures = [part for part in parts if part[0] & 0x1F in (1, 5)]
        assert pictures
        assert all(part in original for part in pictures)
        assert {7, 8} <= {part[0] & 0x1F for part in parts} or not unit.key


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("b_frames.mp4", {"bf": "2", "g": "15"}),
        ("other.mkv", {"codec": "mpeg4"}),
        ("forced.mp4", {**BROWSER, "encoding": Encoding(320, 180, 30, 500_000, 64_000, passthrough=False)}),
    ],
)
async def test_what_browsers_cannot_play_is_encoded_once_without_reordering(reading, tmp_path, until, name, how):
    encoding = how.pop("encoding", ENCODING)
    source, units = reading(film(tmp_path / name, **how), encoding=encoding)
    source.demand(wanted=True)
    await until(lambda: len(of(units, "video")) >= 40)
    assert source.want_key()
    stamps = [unit.timestamp for unit in of(units, "video")]
    assert all(1500 <= second - first <= 6000 for first, second in pairwise(stamps))
    decoder = av.CodecContext.create("h264", "r")
    pictures = [one for unit in of(units, "video")[:20] for one in decoder.decode(av.Packet(unit.data))]
    assert len(pictures) == 20
    assert decoder.profile in ("Constrained Baseline", "Baseline")


async def test_a_key_frame_comes_when_it_is_wanted(reading, until):
    source, units = reading("testsrc")
    source.demand(wanted=True)
    await until(lambda: len(of(units, "video")) >= 10)
    assert source.want_key()
    seen = len(of(units, "video"))
    await until(lambda: len(of(units, "video")) >= seen + 4)
    assert any(unit.key for unit in of(units, "video")[seen : seen + 4])


async def test_a_loop_goes_on_on_one_clock_for_both_tracks(reading, tmp_path, until):
    source, units = reading(film(tmp_path / "a.mp4", seconds=0.5, **BROWSER))
    source.demand(wanted=True)
    await until(lambda: len(of(units, "video")) >= 40)  # beyond the second round of 15
    video = [unit.timestamp for unit in of(units, "video")]
    assert all(2000 <= second - first <= 8000 for first, second in pairwise(video))
    audio = [unit.timestamp for unit in of(units, "audio")]
    assert all(second > first for first, second in pairwise(audio))
    assert abs(video[-1] / 90_000 - audio[-1] / 48_000) < 0.2


async def test_a_film_is_read_in_its_own_time(reading, tmp_path, until):
    source, units = reading(film(tmp_path / "a.mp4", seconds=0.5, **BROWSER))
    source.demand(wanted=True)
    began = asyncio.get_running_loop().time()
    await until(lambda: len(of(units, "video")) >= 46)
    assert asyncio.get_running_loop().time() - began > 1.2  # 1.5 s of film; unpaced it is read in no time


async def test_without_loop_the_film_ends_and_begins_again_for_the_next_viewers(reading, tmp_path, until):
    source, units = reading(film(tmp_path / "a.mp4", seconds=0.4, sound=None, **BROWSER), loop_file=False)
    source.demand(wanted=True)
    await until(lambda: source._ended)
    assert len(units) == 12
    await source.check()
    source.demand(wanted=False)
    await until(lambda: not source._ended)
    source.demand(wanted=True)
    await until(lambda: source._ended)
    assert len(units) == 24
    assert not source.has_audio


async def test_opus_goes_through_and_other_sound_becomes_opus(reading, tmp_path, until):
    decoder = av.CodecContext.create("libopus", "r")
    for name, sound in (("a.mkv", "libopus"), ("b.mp4", "aac")):
        source, units = reading(film(tmp_path / name, sound=sound, **BROWSER))
        source.demand(wanted=True)
        await until(lambda units=units: len(of(units, "audio")) >= 20)
        assert all(decoder.decode(av.Packet(unit.data)) for unit in of(units, "audio")[:5])
        steps = {second.timestamp - first.timestamp for first, second in pairwise(of(units, "audio")[:20])}
        assert all(abs(step - 960) <= 48 for step in steps)  # Matroska counts in milliseconds


async def test_pictures_larger_or_faster_than_wanted_are_brought_down(reading, tmp_path, until):
    path = film(tmp_path / "a.mkv", codec="mpeg4", size=(640, 480), rate=60)
    source, units = reading(path)
    source.demand(wanted=True)
    await until(lambda: len(of(units, "video")) >= 30)
    decoder = av.CodecContext.create("h264", "r")
    [picture] = decoder.decode(av.Packet(of(units, "video")[0].data))
    assert (picture.width, picture.height) == (240, 180)
    steps = [second.timestamp - first.timestamp for first, second in pairwise(of(units, "video")[:28])]
    assert sum(steps) / len(steps) == pytest.approx(3000, rel=0.1)


async def test_a_lost_file_is_noticed_and_healed_while_nobody_watches(reading, tmp_path, until):
    path = film(tmp_path / "a.mp4", **BROWSER)
    source, _ = reading(path)
    await source.check()
    away = path.rename(tmp_path / "away.mp4")
    with pytest.raises(SourceMissing, match=f"Local media source not found: {path}"):
        await source.check()
    away.rename(path)
    await source.check()


async def test_a_source_that_is_not_there_at_the_start_is_found_later(reading, tmp_path, until):
    path = tmp_path / "late.mp4"
    source, units = reading(path)
    with pytest.raises(SourceMissing):
        await source.check()
    film(tmp_path / "made.mp4", **BROWSER).rename(path)

    async def healed():
        while True:
            try:
                return await source.check()
            except SourceLost:
                await asyncio.sleep(0.02)

    async with asyncio.timeout(10):
        await healed()
    source.demand(wanted=True)
    await until(lambda: len(of(units, "video")) >= 5)


async def test_what_is_no_film_says_why(reading, tmp_path):
    path = tmp_path / "text.mp4"
    path.write_text("no film")
    source, _ = reading(path)
    with pytest.raises(SourceLost, match="Invalid data"):
        await source.check()
    sound_only = tmp_path / "sound.mka"
    with av.open(str(sound_only), "w") as container:
        tone = container.add_stream("libopus", rate=48_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1920), dtype=np.int16), format="s16", layout="stereo")
        frame.sample_rate = 48_000
        container.mux(tone.encode(frame))
        container.mux(tone.encode(None))
    source, _ = reading(sound_only)
    with pytest.raises(SourceLost, match="no video"):
        await source.check()


async def test_credentials_of_an_unreachable_source_do_not_show(reading, unused_tcp_port):
    source, _ = reading(f"rtsp://user:secret@127.0.0.1:{unused_tcp_port}/x")
    with pytest.raises(SourceLost) as lost:
        await source.check()
    assert "secret" not in str(lost.value)


async def test_stopping_ends_the_thread_whatever_it_does(reading, tmp_path, until):
    for value, wanted in (("testsrc", True), ("testsrc", False), (tmp_path / "none.mp4", True)):
        source, _ = reading(value)
        source.demand(wanted=wanted)
        await source.stop()
        assert source._thread not in threading.enumerate()


class Camera(threading.Thread):
    """A live source: sends a film in real time to whoever connects, and closes the door when stopped."""

    def __init__(self, path, seconds, port=0):
        super().__init__(name="camera")
        self._data = path.read_bytes()
        self._chunk = int(len(self._data) / seconds / 30) + 1
        self._stopping = threading.Event()
        self._door = socket.create_server(("127.0.0.1", port))
        self._door.settimeout(0.1)
        self.port = self._door.getsockname()[1]
        self.start()

    def run(self):
        with self._door:
            while not self._stopping.is_set():
                try:
                    reader, _ = self._door.accept()
                except TimeoutError:
                    continue
                with reader:
                    self._send(reader)

    def _send(self, reader):
        for at in range(0, len(self._data), self._chunk):
            try:
                reader.sendall(self._data[at : at + self._chunk])
            except OSError:
                return
            if self._stopping.wait(1 / 30):
                return

    def stop(self):
        self._stopping.set()
        self.join(10)


@pytest.fixture
def camera(tmp_path):
    cameras = []

    def start(codec="libx264", port=0):
        path = tmp_path / f"{codec}.ts"
        if not path.exists():
            film(path, codec=codec, seconds=12.0, sound=None, **(BROWSER if codec == "libx264" else {"g": "15"}))
        cameras.append(Camera(path, 12.0, port))
        return cameras[-1]

    yield start
    for one in cameras:
        one.stop()


async def serves(source):
    while True:
        try:
            return await source.check()
        except SourceLost:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
async def test_a_live_source_that_ends_is_lost_at_once_and_reopened_on_the_same_clock(reading, camera, until, codec):
    first = camera(codec)
    source, units = reading(f"tcp://127.0.0.1:{first.port}")
    async with asyncio.timeout(20):
        await serves(source)
    source.demand(wanted=True)
    await until(lambda: len(units) >= 20)
    first.stop()
    await until(lambda: source._failure)
    with pytest.raises(SourceLost):
        await source.check()
    await asyncio.sleep(0)  # what was handed over before the loss arrives
    before = len(units)
    camera(codec, first.port)
    async with asyncio.timeout(20):
        await serves(source)
    await until(lambda: len(units) >= before + 10)
    assert units[before].key or source.want_key()  # an encoder goes on where it was
    stamps = [unit.timestamp for unit in units]
    assert all(second > first for first, second in pairwise(stamps))


async def test_a_live_source_is_followed_but_not_encoded_while_nobody_watches(reading, camera, until):
    sending = camera("mpeg4")
    source, units = reading(f"tcp://127.0.0.1:{sending.port}")
    async with asyncio.timeout(20):
        await serves(source)
    count = len(units)
    seen = source._last_unit
    await until(lambda: source._last_unit > seen + 1)
    assert len(units) <= count + 3
    await source.check()
    source.demand(wanted=True)
    await until(lambda: len(units) >= count + 20)
    sending.stop()
