"""The recipe of a video, on real files of every sort, in the child process that a worker starts."""

import io
import random
from typing import Any

import av
import pytest
from PIL import Image

import children
import films
import sounds
from children import Developed, video_recipe
from films import film
from mooring.processing.sandbox import Spoiled
from pictures import BLUE, CORNERS, GREEN, RED, YELLOW, quarters

CODECS = {"video/mp4": "h264", "video/quicktime": "h264", "video/webm": "vp8", "video/x-matroska": "h264"}
TURNED = {90: (BLUE, RED, YELLOW, GREEN), 180: (YELLOW, BLUE, GREEN, RED), 270: (GREEN, YELLOW, RED, BLUE)}


async def developed(body: bytes, content_type: str = "video/mp4", told: list[int] | None = None) -> Developed:
    return await children.developed(video_recipe(), "video", body, content_type, told=told)


async def spoiled(body: bytes, content_type: str = "video/mp4", **limits: int) -> Spoiled:
    return await children.spoiled(video_recipe(**limits), "video", body, content_type)


def poster(out: Developed) -> Image.Image:
    assert out.types["poster"] == "image/jpeg"
    return Image.open(io.BytesIO(out.files["poster"]))


def shows(picture: Image.Image, corners: tuple[tuple[int, int, int], ...] = CORNERS) -> bool:
    across, down = picture.size
    places = [(x, y) for y in (down // 4, down * 3 // 4) for x in (across // 4, across * 3 // 4)]
    found = [picture.convert("RGB").getpixel(place) for place in places]
    return all(
        abs(a - b) <= 40
        for seen, corner in zip(found, corners, strict=True)
        for a, b in zip(seen, corner, strict=True)  # type: ignore[arg-type]
    )


# ── what is made ──


@pytest.mark.parametrize("content_type", CODECS)
async def test_every_sort_of_video_becomes_one_that_every_browser_plays(content_type: str) -> None:
    out = await developed(film(content_type), content_type)
    assert out.types == {"poster": "image/jpeg", "720p": "video/mp4"}
    assert out.sizes == {"poster": (320, 180), "720p": (320, 180)}
    assert out.facts == {
        "duration_seconds": pytest.approx(1, abs=0.1),
        "width": 320,
        "height": 180,
        "video_codec": CODECS[content_type],
        "audio_codec": "opus" if films.WRITTEN[content_type][2] == "libopus" else "aac",
    }
    body = out.files["720p"]
    with films.read(body) as played:
        picture, sound = played.streams.video[0].codec_context, played.streams.audio[0].codec_context
        assert (picture.name, picture.pix_fmt, sound.name) == ("h264", "yuv420p", "aac")
    assert body.index(b"moov") < body.index(b"mdat"), "it plays before all of it is there"
    shown = films.pictures_of(body)
    assert len(shown) == 10
    assert shows(shown[0])
    assert shows(shown[-1])
    assert shows(poster(out))
    assert sum(frame.samples for frame in films.heard_in(body)) == pytest.approx(48000, rel=0.2)


async def test_a_video_without_sound_is_one_without_sound() -> None:
    out = await developed(film(sound=False))
    assert out.facts["audio_codec"] is None
    assert len(films.read(out.files["720p"]).streams.audio) == 0


@pytest.mark.parametrize(
    ("size", "becomes"),
    [
        ((1920, 1080), (1280, 720)),
        ((1080, 1920), (720, 1280)),
        ((1440, 1080), (960, 720)),
        ((1920, 800), (1280, 534)),
        ((320, 240), (320, 240)),
        ((1920, 64), (1280, 42)),
    ],
)
async def test_it_is_made_smaller_in_its_proportions_and_never_larger(
    size: tuple[int, int], becomes: tuple[int, int]
) -> None:
    out = await developed(film(seconds=0.2, size=size, sound=False))
    assert (out.facts["width"], out.facts["height"]) == size
    assert out.sizes == {"poster": becomes, "720p": becomes}
    [first, *_] = films.pictures_of(out.files["720p"])
    assert first.size == poster(out).size == becomes


@pytest.mark.parametrize("degrees", TURNED)
async def test_what_was_held_upright_stands_upright(degrees: int) -> None:
    out = await developed(films.turned(film(seconds=0.3), degrees))
    size = (180, 320) if degrees % 180 else (320, 180)
    assert (out.facts["width"], out.facts["height"]) == size
    assert out.sizes["720p"] == size
    [first, *_] = films.pictures_of(out.files["720p"])
    assert first.size == size
    assert shows(first, TURNED[degrees])
    assert shows(poster(out), TURNED[degrees])


@pytest.mark.parametrize(("degrees", "upright"), [(89.99, 90), (100, 90), (179.5, 180), (300, 270), (45, 0), (359, 0)])
async def test_what_is_turned_by_no_right_angle_is_turned_by_the_nearest(degrees: float, upright: int) -> None:
    out = await developed(films.turned(film(seconds=0.2, sound=False), degrees))
    assert out.sizes["720p"] == ((180, 320) if upright % 180 else (320, 180))
    assert shows(poster(out), TURNED.get(upright, CORNERS))


async def test_a_matrix_that_says_nothing_turns_nothing() -> None:
    out = await developed(films.with_matrix(film(seconds=0.2, sound=False), 0, 0, 0, 0))
    assert shows(poster(out))


async def test_pixels_that_are_not_square_become_so() -> None:
    out = await developed(film(seconds=0.2, size=(360, 288), sound=False, stretched="16:11"))
    assert (out.facts["width"], out.facts["height"]) == (524, 288)
    assert out.sizes["720p"] == (524, 288)


async def test_pictures_and_sound_stay_together() -> None:
    """The sound is loud in the first half alone, the pictures are black in the second."""
    dark = Image.new("RGB", (320, 180))
    out = await developed(film(seconds=2, second_half=dark))
    shown = films.pictures_of(out.files["720p"])
    last_bright = max(number for number, picture in enumerate(shown) if shows(picture))
    assert last_bright == 9
    heard = films.loudness_of(out.files["720p"])
    last_loud = max(second for second, loud in heard if loud > 0.05)
    assert last_loud == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize(
    "which",
    [[True], [True] * 6, [True, False] * 6, [False] * 3 + [True] * 3, [True] * 3 + [False] * 3],
    ids=["one", "all", "to and fro", "from the middle", "to the middle"],
)
async def test_of_interlaced_pictures_none_is_lost_and_each_keeps_its_time(which: list[bool]) -> None:
    out = await developed(films.interlaced(which), "video/quicktime")
    with films.read(out.files["720p"]) as played:
        shown = [(frame.time, frame.interlaced_frame) for frame in played.decode(video=0)]
    assert shown == [(pytest.approx(number / films.RATE, abs=0.001), False) for number in range(len(which))]
    assert out.facts["duration_seconds"] == pytest.approx(len(which) / films.RATE, abs=0.01)
    assert shows(poster(out))


async def test_sound_that_goes_on_with_fewer_channels_is_heard_to_the_end() -> None:
    out = await developed(films.then_mono(), "video/x-matroska")
    assert out.facts["audio_codec"] == "mp3"
    assert sum(frame.samples for frame in films.heard_in(out.files["720p"])) / 44100 == pytest.approx(2, abs=0.15)
    loud = [at for at, most in films.loudness_of(out.files["720p"]) if most > 0.1]
    assert [at for at in loud if at < 0.9], "the stereo half"
    assert max(loud) == pytest.approx(1.5, abs=0.15), "and the mono one"


async def test_it_says_how_far_it_is() -> None:
    told: list[int] = []
    out = await developed(film(seconds=4, size=(640, 360), picture=None), told=told)
    assert out.facts["duration_seconds"] == pytest.approx(4, abs=0.1)
    assert len(told) > 5
    assert told == sorted(set(told))
    assert 0 <= told[0] < 50 < told[-1] < 100


async def test_nothing_that_its_camera_wrote_is_in_what_is_made() -> None:
    body = film(title="Ada's secret", location="+37.5509+126.9910/", comment="at home")
    assert b"loci" in body
    out = await developed(body)
    for made in out.files.values():
        for secret in (b"Ada", b"loci", b"\xa9xyz", b"at home"):
            assert secret not in made


async def test_the_poster_is_not_the_black_that_it_begins_with() -> None:
    out = await developed(film(seconds=2, picture=Image.new("RGB", (320, 180)), second_half=quarters(320, 180)))
    assert not shows(poster(out)), "a tenth of it is still black"
    out = await developed(film(seconds=2, picture=Image.new("RGB", (320, 180)), then=quarters(320, 180)))
    assert shows(poster(out))


# ── files that lie, or are broken ──


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"Dear diary, today I filmed nothing.\n" * 100, "The file is no video that we know."),
        (sounds.sound("audio/mp4"), "There are no moving pictures in the file that we can read."),
        (sounds.sound("audio/mpeg"), "There are no moving pictures in the file that we can read."),
        (b"%PDF-1.7 and so on", "The file is really a PDF, and no video."),
        (b"#EXTM3U\n#EXTINF:9,\nfile:///etc/passwd\n", "The file is no video that we know."),
        (film(seconds=0.2)[:300], "The file can't be read as an MP4: it is damaged or cut off."),
    ],
)
async def test_what_is_no_video_is_told_so_in_a_sentence(body: bytes, reason: str) -> None:
    outcome = await spoiled(body)
    assert (outcome.reason, outcome.is_final) == (reason, True)


async def test_a_song_with_a_picture_on_its_cover_is_no_video() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as target:
        audio: Any = target.add_stream("aac", rate=44100, layout="mono")
        cover: Any = target.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        target.start_encoding()
        shown: Any = av.VideoFrame.from_image(quarters(64, 64)).reformat(format="yuvj420p")  # type: ignore[no-untyped-call]
        shown.pts = 0
        target.mux(cover.encode(shown))
        target.mux(cover.encode(None))
        for heard in sounds.frames(sounds.tone(0.5), 44100):
            target.mux(audio.encode(heard))
        target.mux(audio.encode(None))
    outcome = await spoiled(file.getvalue())
    assert outcome.reason == "There are no moving pictures in the file that we can read."


async def test_a_video_that_claims_ten_hours_lasts_as_long_as_it_does() -> None:
    body = sounds.length_said(film("video/webm"), 36_000)
    assert films.read(body).duration == 36_000 * 10**6
    out = await developed(body, "video/webm")
    assert out.facts["duration_seconds"] == pytest.approx(1, abs=0.1)
    assert shows(poster(out))


async def test_of_a_video_that_is_cut_off_there_remains_what_is_there() -> None:
    body = film("video/webm", 4, size=(160, 90))
    out = await developed(body[: len(body) // 2], "video/webm")
    assert 0.5 < out.facts["duration_seconds"] < 3.9


async def test_a_video_of_too_many_pixels_is_not_worked_on() -> None:
    outcome = await spoiled(film(seconds=0.2, size=(640, 480), sound=False), max_pixels=100_000)
    assert outcome.reason == "The video is 640 × 480 pixels large; at most 0.1 million are worked on."
    assert outcome.is_final


async def test_a_video_of_few_pixels_that_are_declared_to_be_very_wide_is_not_worked_on() -> None:
    outcome = await spoiled(films.stretched_beyond_measure(), "video/x-matroska")
    assert outcome.reason == "The video is 103079215104 × 48 pixels large; at most 2.1 million are worked on."
    assert outcome.is_final


async def test_a_video_that_lasts_too_long_is_stopped_at_the_limit() -> None:
    outcome = await spoiled(film(seconds=30, size=(64, 64), rate=1), max_seconds=20)
    assert outcome.reason == "The video lasts longer than 20 seconds: longer ones are not worked on."
    assert outcome.is_final


async def test_what_needs_too_much_memory_ends_the_child_and_not_us() -> None:
    outcome = await spoiled(film(seconds=0.5, size=(1920, 1080), sound=False), memory_bytes=2**27 + 2**26)
    assert outcome.reason == "Working on the file needs more than 192 MB of memory."
    assert outcome.is_final


async def test_a_full_disk_is_no_fault_of_the_video(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mooring.processing.sandbox.nameless", children.full)
    outcome = await spoiled(film(seconds=0.5))
    assert (outcome.reason, outcome.is_final) == ("This server could not work on the file.", False)


@pytest.mark.parametrize("content_type", CODECS)
async def test_noise_in_a_file_is_a_reason_or_a_video_and_never_a_crash(content_type: str) -> None:
    whole = film(content_type, 0.6, size=(160, 90))
    for seed in range(2):
        luck = random.Random(seed)
        body = bytearray(whole)
        for _ in range(12):
            body[luck.randrange(16, len(body))] = luck.randrange(256)
        outcome = await children.run(video_recipe(), "video", bytes(body), content_type)
        assert not isinstance(outcome, Spoiled) or outcome.is_final, (seed, outcome)
