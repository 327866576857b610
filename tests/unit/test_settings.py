import stat
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from mooring.clock import now
from mooring.errors import SetupProblem
from mooring.secret import secret_of
from mooring.settings import Settings
from mooring.storage.choice import storage_of
from mooring.storage.disk import DiskStorage
from mooring.storage.s3 import S3Storage

DATABASE = "postgresql://mooring@db.example.org/mooring"
LONG = "k3Jw-9sTq_Zr5LmB7xVfA1cYdE8uGhNo"


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the machine that runs the tests has set."""
    for about in Settings.model_fields.values():
        for name in getattr(about.validation_alias, "choices", ()):
            monkeypatch.delenv(str(name), raising=False)
    for name in Settings.model_fields:
        monkeypatch.delenv(f"MOORING_{name.upper()}", raising=False)


# ── names ──


@pytest.mark.parametrize(
    ("name", "value", "field", "expected"),
    [
        ("S3_BUCKET_NAME", "orakgaraki-bucket", "s3_bucket", "orakgaraki-bucket"),
        ("S3_REGION", "ap-northeast-2", "s3_region", "ap-northeast-2"),
        ("AWS_ACCESS_KEY_ID", "AKIA", "s3_access_key_id", SecretStr("AKIA")),
        ("AWS_SECRET_ACCESS_KEY", "shh", "s3_secret_access_key", SecretStr("shh")),
        ("AWS_SESSION_TOKEN", "for now", "s3_session_token", SecretStr("for now")),
        ("BATCH_SIZE", "50", "batch_size", 50),
        ("BATCH_INTERVAL_MS", "30000", "batch_interval_ms", 30_000),
        ("BATCH_MAX_CONCURRENT", "10", "batch_max_concurrent", 10),
    ],
)
def test_the_guides_names_are_honoured_and_ours_come_first(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, field: str, expected: object
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(Settings(), field) == expected
    monkeypatch.setenv(f"MOORING_{field.upper()}", "777")
    ours = getattr(Settings(), field)
    assert str(ours.get_secret_value() if isinstance(ours, SecretStr) else ours) == "777"


def test_a_bucket_of_the_guides_names_alone_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIA",
        "AWS_SECRET_ACCESS_KEY": "shh",
        "S3_BUCKET_NAME": "orakgaraki-bucket",
        "S3_REGION": "ap-northeast-2",
    }.items():
        monkeypatch.setenv(name, value)
    storage = storage_of(Settings(), LONG, now)
    assert isinstance(storage, S3Storage)
    assert (storage.bucket.name, storage.bucket.region) == ("orakgaraki-bucket", "ap-northeast-2")


def test_a_folder_asked_for_by_name_outweighs_a_bucket(tmp_path: Path) -> None:
    asked = Settings(storage=f"disk:{tmp_path}", s3_bucket="left over")
    assert isinstance(storage_of(asked, LONG, now), DiskStorage)


@pytest.mark.parametrize("storage", ["ftp://x", "s3://", "s3://bucket/folder", "tape"])
def test_a_storage_that_is_none_is_refused_with_a_sentence(storage: str) -> None:
    with pytest.raises(SetupProblem) as refused:
        storage_of(Settings(storage=storage, s3_access_key_id="a", s3_secret_access_key="b"), LONG, now)
    assert "s3://bucket" in str(refused.value)


def test_origins_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().cors_origins == ["*"]
    monkeypatch.setenv("MOORING_CORS_ORIGINS", "https://a.example, http://127.0.0.1:3000,")
    assert Settings().cors_origins == ["https://a.example", "http://127.0.0.1:3000"]
    monkeypatch.setenv("MOORING_CORS_ORIGINS", "")
    assert Settings().cors_origins == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MOORING_UPLOAD_URL_SECONDS", "0"),
        ("MOORING_PHOTO_MAX_BYTES", "-1"),
        ("MOORING_DATABASE_CONNECTIONS", "1"),
        ("BATCH_SIZE", "0"),
        ("BATCH_INTERVAL_MS", "soon"),
        ("MOORING_LOG_LEVEL", "loud"),
        ("MOORING_SWEEP", "perhaps"),
        ("MOORING_RATE_LIMITS", "some"),
        ("MOORING_RATE_LIMIT_AUTH", "often"),
        ("MOORING_RATE_LIMIT_ISSUE", "10/minute;100/hour"),
        ("MOORING_RATE_LIMIT_STORE", "memcached://127.0.0.1"),
        ("MOORING_TRUSTED_PROXIES", "10.0.0.0/8,my-proxy"),
    ],
)
def test_a_value_that_makes_no_sense_stops_us(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError, match=rf"(?i){name.removeprefix('MOORING_')}"):
        Settings()


def test_a_printed_setting_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open sesame")
    shown = Settings(secret=SecretStr(LONG))
    assert "open sesame" not in f"{shown!r} {shown}"
    assert LONG not in f"{shown!r} {shown}"


# ── the secret ──


@pytest.mark.parametrize("database", [None, DATABASE])
@pytest.mark.parametrize("weak", ["", "secret", LONG[:31], "a" * 64, "0123456" * 10])
def test_a_weak_secret_is_refused_whoever_runs_the_database(weak: str, database: str | None, tmp_path: Path) -> None:
    with pytest.raises(SetupProblem, match="MOORING_SECRET is too weak"):
        secret_of(Settings(secret=SecretStr(weak), data=tmp_path, database_url=database))


def test_a_missing_secret_is_refused_with_a_database_of_ones_own(tmp_path: Path) -> None:
    with pytest.raises(SetupProblem, match="MOORING_SECRET is missing"):
        secret_of(Settings(database_url=DATABASE, data=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_a_given_secret_is_taken_and_kept_nowhere(tmp_path: Path) -> None:
    for database in (None, DATABASE):
        assert secret_of(Settings(secret=SecretStr(LONG), data=tmp_path, database_url=database)) == LONG
    assert list(tmp_path.iterdir()) == []


def test_the_embedded_default_makes_one_for_its_own_eyes_and_keeps_it(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    made = secret_of(settings)
    assert len(made) >= 32
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret_of(settings) == made
    assert secret_of(Settings(data=tmp_path)) == made
    assert [*tmp_path.iterdir()] == [file]
    other = tmp_path / "other"
    other.mkdir()
    assert secret_of(Settings(data=other)) != made


def test_an_empty_address_of_a_database_means_the_embedded_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As compose files and unit files write what they leave open."""
    monkeypatch.setenv("MOORING_DATABASE_URL", "")
    settings = Settings(data=tmp_path)
    assert settings.is_embedded
    assert secret_of(settings)


def test_two_that_start_at_once_agree_on_one_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The second looked when the first had not finished."""
    first = secret_of(Settings(data=tmp_path))
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert secret_of(Settings(data=tmp_path)) == first
    assert [file.name for file in tmp_path.iterdir()] == ["secret"]
