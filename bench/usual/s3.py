import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from starlette.concurrency import run_in_threadpool

from usual.settings import settings

client = boto3.client(
    "s3",
    endpoint_url=settings.s3_endpoint,
    region_name=settings.s3_region,
    aws_access_key_id=settings.s3_access_key,
    aws_secret_access_key=settings.s3_secret_key,
    config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, max_pool_connections=50),
)


def presign_put(key: str, content_type: str, content_length: int) -> str:
    return client.generate_presigned_url(
        "put_object",
        Params={
            "Bucket": settings.s3_bucket,
            "Key": key,
            "ContentType": content_type,
            "ContentLength": content_length,
        },
        ExpiresIn=settings.url_expires_seconds,
    )


def presign_get(key: str) -> str:
    return client.generate_presigned_url(
        "get_object", Params={"Bucket": settings.s3_bucket, "Key": key}, ExpiresIn=settings.url_expires_seconds
    )


async def size_of(key: str) -> int | None:
    try:
        found = await run_in_threadpool(client.head_object, Bucket=settings.s3_bucket, Key=key)
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
            return None
        raise
    return found["ContentLength"]
