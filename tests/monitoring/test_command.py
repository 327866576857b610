"""`mooring monitoring`: what it writes, and what it says where it can't."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mooring.cli import app

RUN = CliRunner()


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_what_is_exported_is_where_the_settings_say(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOORING_MONITORING_TARGETS", "10.0.0.5:8000, 10.0.0.6:8000")
    monkeypatch.setenv("MOORING_MONITORING_WORKERS", "10.0.0.7:9101")
    monkeypatch.setenv("MOORING_MONITORING_EVENTS", "10.0.0.7:9102,10.0.0.8:9102")
    monkeypatch.setenv("MOORING_MONITORING_RUNBOOKS", "https://wiki.example.org/books/")
    monkeypatch.setenv("MOORING_MONITORING_SLACK_URL_FILE", "/etc/slack")
    assert RUN.invoke(app, ["monitoring", "export", "--out", "there"]).exit_code == 0
    scraped = (
        (tmp_path / "there/prometheus.yml").read_text().partition('job_name: "mooring"')[2].partition("- job_name")[0]
    )
    found = re.findall(r'- "(\S+)"', scraped)
    assert found == ["10.0.0.5:8000", "10.0.0.6:8000", "10.0.0.7:9101", "10.0.0.7:9102", "10.0.0.8:9102"]
    assert 'api_url_file: "/etc/slack"' in (tmp_path / "there/alertmanager.yml").read_text()
    rules = (tmp_path / "there/rules/availability.yml").read_text()
    assert 'runbook_url: "https://wiki.example.org/books/availability.md#service"' in rules
    assert RUN.invoke(app, ["monitoring", "export", "--out", "there", "--check"]).exit_code == 0
    monkeypatch.delenv("MOORING_MONITORING_TARGETS")
    checked = RUN.invoke(app, ["monitoring", "export", "--out", "there", "--check"])
    assert (checked.exit_code, checked.stderr.strip()) == (1, "differs: there/prometheus.yml")


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["export", "--out", "file"], 1, "can't be written: "),
        (["preview", "--prometheus", "http://127.0.0.1:1"], 1, "No Prometheus answers at http://127.0.0.1:1"),
        (["preview", "--last", "0s"], 2, "--last must be 10s at least"),
        (["report", "--day", "--week"], 2, "one of --day, --week and --month"),
        (["preview", "--last", "soon"], 2, "is no span of time"),
    ],
)
def test_what_cannot_be_is_a_sentence(words: list[str], status: int, said: str) -> None:
    Path("file").write_text("in the way")
    done = RUN.invoke(app, words if words[0] == "report" else ["monitoring", *words])
    assert done.exit_code == status
    assert said in done.stderr
    assert "Traceback" not in done.output
