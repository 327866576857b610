"""Guide 003's own JavaScript, to the letter, in a real browser with a microphone, against a real `mooring serve`."""

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.async_api import BrowserContext, Page

from servers.serving import Mooring, Serving
from sounds import sound

GUIDE = Path(__file__).with_name("guide_003.js").read_text()
# What the guide leaves open: whose token, the recorder itself, and the dialog; and that its FileUploadService has the
# three calls of its RecordingService.
AROUND = """
class Recorder extends RecordingService {
    constructor(token) { super(); this.token = token; }

    async startRecording() {
        await super.startRecording();
        const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
        this.recorder = new MediaRecorder(stream);
        this.chunks = [];
        this.recorder.ondataavailable = (event) => this.chunks.push(event.data);
        this.recorder.start(100);
    }

    async stopRecording() {
        await new Promise((stopped) => { this.recorder.onstop = stopped; this.recorder.stop(); });
        this.audioBlob = new Blob(this.chunks, { type: this.recorder.mimeType });
        return super.stopRecording();
    }

    async showTitleDialog() { return '내 첫 번째 녹음'; }
}

class Uploader extends FileUploadService {
    constructor(token) { super(); this.token = token; }
}
for (const name of ['requestPresignedUrl', 'uploadToS3', 'createRecord', 'showTitleDialog']) {
    Uploader.prototype[name] = Recorder.prototype[name];
}
"""
RECORD = """async ([token, milliseconds]) => {
    const recorder = new Recorder(token);
    await recorder.startRecording();
    await new Promise((over) => setTimeout(over, milliseconds));
    const record = await recorder.stopRecording();
    window.blob = recorder.audioBlob;
    return [record, recorder.audioBlob.type];
}"""
UPLOAD = """async ([token, base64, name, type]) => {
    const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
    return new Uploader(token).uploadExternalFile(new File([bytes], name, { type }));
}"""
UPLOAD_RECORDED = "async (token) => new Uploader(token).uploadExternalFile(window.blob)"
PLAYED = """(url) => new Promise((played) => {
    const audio = document.createElement('audio');
    audio.addEventListener('loadedmetadata', () => played(audio.duration));
    audio.addEventListener('error', () => played(audio.error.message));
    audio.src = url;
})"""


@pytest.fixture
async def elsewhere() -> AsyncIterator[str]:
    """Another origin, that serves one empty page."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<!doctype html><title>Recorder</title>")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        yield f"http://localhost:{server.sockets[0].getsockname()[1]}/"


async def open_page(window: BrowserContext, address: str, api: str = "") -> Page:
    """A page there that holds the guide's code. `api`: where its relative addresses lead, if not to the same origin."""
    page = await window.new_page()
    await page.goto(address)
    if api:
        led = f"const here = window.fetch; window.fetch = (url, more) => here(new URL(url, '{api}'), more);"
        await page.add_script_tag(content=f"{{ {led} }}")
    await page.add_script_tag(content=GUIDE + AROUND)
    return page


def token_of(serving: Serving) -> str:
    return serving.sign_in().http.headers["Authorization"].removeprefix("Bearer ")


async def completed(serving: Serving, token: str, record: dict[str, Any]) -> dict[str, Any]:
    """The machine may be busy: then the answer said PROCESSING, and it is worked on a little later."""
    assert record.get("processingStatus") in ("COMPLETED", "PROCESSING"), record
    headers = {"Authorization": f"Bearer {token}"}
    async with asyncio.timeout(60), httpx.AsyncClient(base_url=serving.url, headers=headers, trust_env=False) as http:
        while record["processingStatus"] == "PROCESSING":
            await asyncio.sleep(0.1)
            record = (await http.get(f"/records/async/{record['id']}")).json()
        assert record["processingStatus"] == "COMPLETED", record
        sound = await http.get(record["publicUrl"])
        assert (sound.status_code, sound.headers["content-type"]) == (200, "audio/mp4")
    return record


async def test_the_guides_recording_flow_ends_with_a_sound_that_plays(
    mooring: Mooring, private_window: BrowserContext
) -> None:
    """Its WebM, which it calls audio/mpeg, has no length: the one that is shown was measured."""
    serving = mooring.serve(MOORING_WORKER="on")
    page, token = await open_page(private_window, f"{serving.url}/health/live"), token_of(serving)
    record, recorded_as = await page.evaluate(RECORD, [token, 2300])
    assert recorded_as.startswith("audio/webm")
    assert record["title"] == "내 첫 번째 녹음"
    assert record["s3Key"].endswith("_recording.mp3")
    done = await completed(serving, token, record)
    assert abs(done["durationSeconds"] - 2) <= 1
    assert abs(await page.evaluate(PLAYED, done["publicUrl"]) - 2.3) < 1
    again = await page.evaluate(UPLOAD_RECORDED, token)  # as a file, for whose length the browser says Infinity
    assert again["durationSeconds"] in (None, done["durationSeconds"])
    assert (await completed(serving, token, again))["durationSeconds"] == done["durationSeconds"]
    assert serving.end() == 0


async def test_the_guides_file_flow_works_from_a_page_of_another_origin(
    mooring: Mooring, private_window: BrowserContext, elsewhere: str
) -> None:
    serving = mooring.serve(MOORING_WORKER="on")
    page, token = await open_page(private_window, elsewhere, serving.url), token_of(serving)
    file = base64.b64encode(sound("audio/wav", 3.2)).decode()
    record = await page.evaluate(UPLOAD, [token, file, "노래.wav", "audio/wav"])
    assert (record["title"], record["durationSeconds"]) == ("내 첫 번째 녹음", 3)
    done = await completed(serving, token, record)
    assert done["durationSeconds"] == 3
    assert abs(await page.evaluate(PLAYED, done["publicUrl"]) - 3.2) < 0.3
    refused = await page.evaluate(UPLOAD, [token + "x", file, "a.wav", "audio/wav"])
    assert refused["error"]["code"] == "NOT_SIGNED_IN"
    assert serving.end() == 0
