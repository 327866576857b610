"""A stranger opens a share link in a private window of a real browser."""

from typing import Any

from playwright.async_api import BrowserContext, Page

from pictures import detailed, jpeg
from servers.serving import Mooring, Person, put, until

PASSWORD = "하늘 바다"
OPEN = """async (password) => {
    const answer = await fetch(location.href, {
        method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({password}),
    });
    return {status: answer.status, body: await answer.json()};
}"""
SHOW = """async (urls) => Promise.all(urls.map(async (url) => {
    const image = new Image();
    image.src = url;
    try { await image.decode(); } catch { return 0; }
    return image.naturalWidth;
}))"""


def uploaded(person: Person, count: int) -> list[int]:
    """Real pictures, by their temporary URLs, worked on to the end."""
    files = [jpeg(detailed(640 + number, 480)) for number in range(count)]
    issued = [person.issue(file, filename=f"{number}.jpg") for number, file in enumerate(files)]
    for one, file in zip(issued, files, strict=True):
        assert put(one, file).status_code == 200
        assert person.confirm(one).status_code == 200
    until(lambda: all(person.state(one) == "COMPLETED" for one in issued) or None, 60)
    return [one["photo_id"] for one in issued]


async def opened(page: Page, password: str) -> tuple[int, dict[str, Any]]:
    answer = await page.evaluate(OPEN, password)
    return answer["status"], answer["body"]


async def test_with_its_password_until_it_is_revoked(mooring: Mooring, private_window: BrowserContext) -> None:
    person = mooring.serve(MOORING_WORKER="on").sign_in()
    photos = uploaded(person, 3)
    link = person.http.post(f"/albums/{person.album_id}/share-links", json={"password": PASSWORD}).json()

    page = await private_window.new_page()
    answer = await page.goto(link["url"])
    assert answer is not None
    assert answer.status == 401
    assert (await opened(page, "a guess"))[0] == 401
    status, shown = await opened(page, PASSWORD)
    assert status == 200
    assert [photo["id"] for photo in shown["photos"]] == photos
    urls = [photo["image_url"] for photo in shown["photos"]]
    assert await page.evaluate(SHOW, urls) == [640, 641, 642]
    assert await page.evaluate(SHOW, [photo["thumb_url"] for photo in shown["photos"]]) == [320] * 3

    assert person.http.delete(f"/share-links/{link['id']}").status_code == 204
    assert await page.evaluate(SHOW, [url + "&again" for url in urls]) == [0] * 3
    answer = await page.reload()
    assert answer is not None
    assert answer.status == 410
    assert (await opened(page, PASSWORD))[0] == 410
