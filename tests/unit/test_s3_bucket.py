import pytest

from mooring.errors import SetupProblem
from mooring.storage.s3_bucket import Bucket, bucket_of


def read(url: str) -> Bucket:
    return bucket_of(url, access_key="key", secret_key="a secret", region="eu-west-1")


@pytest.mark.parametrize(
    ("url", "origin", "path"),
    [
        ("s3://photos", "https://photos.s3.eu-west-1.amazonaws.com", "/"),
        ("s3://photos?region=ap-northeast-2", "https://photos.s3.ap-northeast-2.amazonaws.com", "/"),
        ("s3://photos?region=cn-north-1", "https://photos.s3.cn-north-1.amazonaws.com.cn", "/"),
        ("s3://photos?style=path", "https://s3.eu-west-1.amazonaws.com", "/photos/"),
        ("s3://my.photos", "https://s3.eu-west-1.amazonaws.com", "/my.photos/"),
        ("s3://photos?endpoint=http://127.0.0.1:9000", "http://127.0.0.1:9000", "/photos/"),
        ("s3://photos?endpoint=http://[::1]:9000", "http://[::1]:9000", "/photos/"),
        ("s3://photos?endpoint=https://s3.example.com:443/", "https://s3.example.com", "/photos/"),
        ("s3://photos?endpoint=https://s3.example.com&style=virtual", "https://photos.s3.example.com", "/"),
    ],
)
def test_a_url_says_where_the_bucket_is(url: str, origin: str, path: str) -> None:
    bucket = read(url)
    assert (bucket.origin, bucket.path) == (origin, path)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://photos", "s3://bucket"),
        ("s3://", "no name of a bucket"),
        ("s3://photos/prefix", "s3://bucket"),
        ("s3://key:secret@photos", "no name of a bucket"),
        ("s3://photos?endpiont=http://x", "endpiont"),
        ("s3://photos?endpoint=127.0.0.1:9000", "must be http"),
        ("s3://photos?endpoint=http://x:port", "must be http"),
        ("s3://photos?endpoint=http://x/path", "without a path"),
        ("s3://photos?endpoint=http://user:word@x", "must be http"),
        ("s3://photos?style=paht", "paht"),
        ("s3://My_Photos?style=virtual", "style=path"),
    ],
)
def test_a_url_that_says_it_wrongly_is_explained(url: str, problem: str) -> None:
    with pytest.raises(SetupProblem, match=problem):
        read(url)


def test_missing_keys_are_asked_for_by_name() -> None:
    with pytest.raises(SetupProblem, match="AWS_ACCESS_KEY_ID"):
        bucket_of("s3://photos", access_key="key", secret_key=None)


def test_secrets_are_not_shown() -> None:
    bucket = bucket_of("s3://photos", access_key="key", secret_key="a secret", session_token="a token")
    assert "a secret" not in repr(bucket)
    assert "a token" not in repr(bucket)
