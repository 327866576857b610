"""The recipe of a recording, on real files of every sort, in the child process that a worker starts."""

import os
import struct

import pytest

import children
import sounds
from children import Developed, recording_recipe
from mooring.processing.sandbox import Spoiled
from pictures import jpeg
from sounds import sound, tone, wav

CODECS = {
    "audio/wav": "pcm_s16le",
    "audio/flac": "flac",
    "audio/mpeg": "mp3",
    "audio/mp4": "aac",
    "audio/ogg": "opus",
    "audio/webm": "opus",
    "audio/aac": "aac",
}


async def developed(body: bytes, content_type: str = "audio/mpeg", **limits: int) -> Developed:
    return await children.developed(recording_recipe(**limits), "recording", body, content_type)


async def spoiled(body: bytes, content_type: str = "audio/mpeg", **limits: int) -> Spoiled:
    return await children.spoiled(recording_recipe(**limits), "recording", body, content_type)


def plays(out: Developed) -> tuple[str, int, int, float]:
    """What a player finds: codec, channels, rate, seconds."""
    assert out.types["audio"] == "audio/mp4"
    with sounds.read(out.files["audio"]) as played:
        stream = played.streams.audio[0]
        heard = sum(frame.samples for frame in played.decode(stream))
        return stream.codec_context.name, stream.codec_context.channels, stream.rate, heard / stream.rate


# ── what is made ──


@pytest.mark.parametrize("content_type", CODECS)
async def test_every_sort_of_sound_becomes_one_that_every_player_knows(content_type: str) -> None:
    out = await developed(sound(content_type), content_type)
    codec, channels, rate, seconds = plays(out)
    assert (codec, channels, rate) == ("aac", 1, sounds.WRITTEN[content_type][2])
    assert seconds == pytest.approx(1, abs=0.08)
    assert out.facts == {
        "duration_seconds": pytest.approx(1, abs=0.08),
        "codec": CODECS[content_type],
        "sample_rate": rate,
        "channels": 1,
    }
    assert out.files["audio"].index(b"moov") < out.files["audio"].index(b"mdat"), "it plays before all of it is there"


async def test_what_a_browser_recorded_is_believed_by_its_bytes_whatever_it_is_called() -> None:
    """Guide 003's client calls it `audio/mpeg`; and no length is written in it."""
    body = sounds.as_browsers_record(sound("audio/webm", 2.0))
    assert sounds.read(body).duration is None
    out = await developed(body, "audio/mpeg")
    assert (out.facts["codec"], out.facts["duration_seconds"]) == ("opus", pytest.approx(2, abs=0.05))


async def test_the_waveform_shows_where_it_is_loud() -> None:
    out = await developed(wav(1, tone(1, 8000, loud=0.5)), "audio/wav")
    assert out.types["peaks"] == "application/json"
    drawn = out.peaks
    pairs = list(zip(drawn["data"][::2], drawn["data"][1::2], strict=True))
    about = {name: drawn[name] for name in drawn if name != "data"}
    assert about == {
        "version": 2,
        "channels": 1,
        "sample_rate": 8000,
        "samples_per_pixel": 256,
        "bits": 8,
        "length": len(pairs),
    }
    assert len(pairs) == 32, "8000 samples by 256, and what is left"
    assert set(pairs[:15]) == {(-64, 64)}
    assert set(pairs[17:]) == {(0, 0)}


async def test_the_waveform_does_not_grow_with_the_recording() -> None:
    rate, seconds = 48_000, 60
    loud = b"".join(struct.pack("<h", 16000 if second == 30 else 0) * rate for second in range(seconds))
    out = await developed(wav(seconds, loud, rate), "audio/wav")
    drawn = out.peaks
    assert drawn["length"] == len(drawn["data"]) // 2 <= 4096
    assert drawn["length"] * drawn["samples_per_pixel"] == pytest.approx(rate * seconds, abs=drawn["samples_per_pixel"])
    begins = drawn["data"].index(62) // 2 * drawn["samples_per_pixel"] / rate
    assert begins == pytest.approx(30, abs=drawn["samples_per_pixel"] / rate)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s24le", "pcm_f32le", "pcm_s16le"])
@pytest.mark.parametrize("channels", [1, 2])
async def test_samples_of_any_width_are_heard_and_drawn(codec: str, channels: int) -> None:
    out = await developed(sounds.written("wav", codec, tone(1, 44100, channels), 44100, channels), "audio/wav")
    assert plays(out)[1] == channels
    assert (min(out.peaks["data"]), max(out.peaks["data"])) == (pytest.approx(-64, abs=1), pytest.approx(63, abs=1))


async def test_more_than_two_channels_become_two() -> None:
    samples = os.urandom(2 * 6 * 4410)
    header = wav(0, b"", 44100)
    body = header[:22] + struct.pack("<HIIHH", 6, 44100, 44100 * 12, 12, 16) + b"data"
    out = await developed(body + struct.pack("<I", len(samples)) + samples, "audio/wav")
    assert out.facts["channels"] == 6
    assert plays(out)[1] == 2


@pytest.mark.parametrize(
    ("first", "then"), [((44100, 2), (44100, 1)), ((44100, 1), (44100, 2)), ((44100, 1), (22050, 1))]
)
async def test_a_recording_that_goes_on_in_another_form_is_heard_to_the_end(
    first: tuple[int, int], then: tuple[int, int]
) -> None:
    """As where some were put one after the other."""
    one, other = (
        sounds.written("mp3", "libmp3lame", tone(4, rate, channels), rate, channels) for rate, channels in (first, then)
    )
    out = await developed(one + other + one)
    assert (out.facts["sample_rate"], out.facts["channels"]) == first
    assert out.facts["duration_seconds"] == pytest.approx(12, abs=0.25)
    codec, channels, rate, seconds = plays(out)
    assert (codec, rate, channels) == ("aac", *first)
    assert seconds == pytest.approx(12, abs=0.3)
    drawn = out.peaks
    assert drawn["length"] * drawn["samples_per_pixel"] == pytest.approx(12 * first[0], rel=0.03)
    loud = [abs(least) > 20 for least in drawn["data"][::2]]
    thirds = [loud[at * len(loud) // 3 : (at + 1) * len(loud) // 3] for at in range(3)]
    assert all(0.4 < sum(third) / len(third) < 0.6 for third in thirds), "each is silent in its second half"


async def test_what_a_file_says_of_who_recorded_it_and_where_is_not_in_what_is_made() -> None:
    body = sound("audio/mp4", title="Ada's secret", location="+37.5509+126.9910/")
    assert b"Ada's secret" in body
    out = await developed(body, "audio/mp4")
    assert b"Ada" not in out.files["audio"]
    assert b"+37.55" not in out.files["audio"]


async def test_the_sound_of_a_video_is_a_recording_too() -> None:
    """A phone's camera is a recorder as well: it has what was asked for."""
    import films

    out = await developed(films.film(seconds=1), "audio/mp4")
    assert out.facts["codec"] == "aac"
    assert plays(out)[3] == pytest.approx(1, abs=0.1)


# ── files that lie, or are broken ──


async def test_a_file_that_claims_ten_hours_lasts_as_long_as_it_does() -> None:
    body = sounds.length_said(sound("audio/webm"), 36_000)
    assert sounds.read(body).duration == 36_000 * 10**6
    assert (await developed(body, "audio/webm")).facts["duration_seconds"] == pytest.approx(1, abs=0.05)
    out = await developed(wav(36_000, tone(1, 8000)), "audio/wav")
    assert out.facts["duration_seconds"] == 1


async def test_a_recording_with_holes_in_its_time_lasts_as_long_as_it_sounds() -> None:
    """As where somebody paused, or a clock was set."""
    body = sounds.written("matroska", "pcm_s16le", tone(1, 8000), 8000, begins_again_at=30_000)
    out = await developed(body, "audio/webm")
    assert out.facts["duration_seconds"] == 1


@pytest.mark.parametrize("content_type", ["audio/mpeg", "audio/wav", "audio/webm", "audio/flac"])
async def test_of_what_is_cut_off_there_remains_what_is_there(content_type: str) -> None:
    body = sound(content_type, 2.0)
    out = await developed(body[: len(body) * 6 // 10], content_type)
    assert 0.2 < out.facts["duration_seconds"] < 1.9


async def test_what_is_cut_off_before_its_table_of_contents_can_not_be_read() -> None:
    body = sound("audio/mp4", 2.0)
    outcome = await spoiled(body[: body.index(b"moov")], "audio/mp4")
    assert (outcome.reason, outcome.is_final) == ("The file can't be read as an MP4: it is damaged or cut off.", True)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"Dear diary, today I did not record anything.\n" * 100, "The file is no recording that we know."),
        (b"", "The file is no recording that we know."),
        (b"\0" * 5000, "The file is no recording that we know."),
        (b"<!doctype html><script>alert(1)</script>", "The file is really an HTML page, and no recording."),
        (b"%PDF-1.7 and so on", "The file is really a PDF, and no recording."),
        (jpeg(), "The file is really a JPEG, and no recording."),
        (
            b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n",
            "The file is no recording that we know.",
        ),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "The file is no recording that we know."),
        (wav(0, b""), "There is no sound in the file that we can read."),
        (sound("audio/mp4")[:200], "The file can't be read as an MP4: it is damaged or cut off."),
        (b"RIFF\x24\0\0\0WAVEfmt ", "The file can't be read as a WAV: it is damaged or cut off."),
        (b"OggS and no more", "The file can't be read as an Ogg: it is damaged or cut off."),
    ],
)
async def test_what_is_no_recording_is_told_so_in_a_sentence(body: bytes, reason: str) -> None:
    outcome = await spoiled(body)
    assert (outcome.reason, outcome.is_final) == (reason, True)


@pytest.mark.parametrize(("form", "codec"), [("aiff", "pcm_s16be"), ("mpegts", "aac"), ("caf", "pcm_s16le")])
async def test_only_formats_that_are_named_are_read(form: str, codec: str) -> None:
    """Each that is read is one more that may be attacked; some open what the file names."""
    outcome = await spoiled(sounds.written(form, codec, tone(0.2), 44100))
    assert outcome.reason == "The file is no recording that we know."


async def test_a_film_without_sound_is_no_recording() -> None:
    import films

    outcome = await spoiled(films.film(seconds=0.2, sound=False), "audio/mp4")
    assert (outcome.reason, outcome.is_final) == ("There is no sound in the file that we can read.", True)


async def test_a_small_file_that_lasts_for_ever_is_stopped_at_the_limit() -> None:
    body = sounds.written("flac", "flac", bytes(2 * 8000 * 600), 8000)
    assert len(body) < 150_000
    outcome = await spoiled(body, "audio/flac", max_seconds=300)
    assert outcome.reason == "The recording lasts longer than 300 seconds: longer ones are not worked on."
    assert outcome.is_final


async def test_what_keeps_the_decoder_busy_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mooring.processing.sandbox.BY_THE_CLOCK", 60)  # however busy this machine is
    body = wav(300, os.urandom(48_000 * 2 * 300), 48_000)
    outcome = await spoiled(body, "audio/wav", seconds=1)
    assert outcome.reason == "Working on the file took longer than 1 seconds."
    assert outcome.is_final, "it would take as long the next time"


async def test_a_full_disk_is_no_fault_of_the_recording(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mooring.processing.sandbox.nameless", children.full)
    outcome = await spoiled(sound())
    assert (outcome.reason, outcome.is_final) == ("This server could not work on the file.", False)


async def test_a_strange_rate_is_told_so() -> None:
    outcome = await spoiled(wav(1, bytes(8000), 3_000_000), "audio/wav")
    assert outcome.reason == "The file says that it has 3000000 samples a second: that can't be played."


@pytest.mark.parametrize("content_type", ["audio/mpeg", "audio/mp4", "audio/ogg", "audio/webm", "audio/flac"])
async def test_noise_in_a_file_is_a_reason_or_a_recording_and_never_a_crash(content_type: str) -> None:
    import random

    whole = sound(content_type, 1.0)
    for seed in range(2):
        luck = random.Random(seed)
        body = bytearray(whole)
        for _ in range(12):
            body[luck.randrange(16, len(body))] = luck.randrange(256)
        outcome = await children.run(recording_recipe(), "recording", bytes(body), content_type)
        assert not isinstance(outcome, Spoiled) or outcome.is_final, (seed, outcome)
