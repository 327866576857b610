"""`mooring serve`, a CDN's edge and a storage that only the edge may read, each a process of its own."""

from pathlib import Path

import httpx

from e2e.test_s3 import at
from servers.nginx import edge_in
from servers.s3 import S3Server
from servers.serving import BODY, Mooring, put


def test_a_photo_is_shown_by_the_cdn_to_its_owner_alone(mooring: Mooring, swift: S3Server, tmp_path: Path) -> None:
    with edge_in(tmp_path, swift) as edge:
        mooring.env |= at(swift)
        bucket = mooring.env["MOORING_STORAGE"].removeprefix("s3://").partition("?")[0]
        mooring.env |= {
            "MOORING_CDN": "nhn",
            "MOORING_CDN_URL": f"{edge.url}/nhn/{bucket}",
            "MOORING_CDN_KEY": edge.key("nhn"),
        }
        mooring.run("storage", "setup")
        edge.only_reader_of(bucket)
        serving = mooring.serve()
        person, stranger = serving.sign_in(), serving.sign_in("stranger@example.org")
        issued = person.issue(filename="한글 이름+1%.jpg")
        assert put(issued).status_code == 200
        confirmed = person.confirm(issued).json()
        image = f"/photos/{issued['photo_id']}/image"
        sent = person.http.get(image)
        assert (sent.status_code, sent.headers["location"]) == (302, confirmed["url"])
        assert sent.headers["cache-control"].startswith("private, max-age=")
        for cached in ("MISS", "HIT"):
            shown = httpx.get(confirmed["url"], trust_env=False)
            assert (shown.status_code, shown.content, shown.headers["x-cache"]) == (200, BODY, cached)
        assert httpx.get(confirmed["url"].partition("?")[0], trust_env=False).status_code == 403
        assert stranger.http.get(image).status_code == 404
        assert serving.end() == 0
