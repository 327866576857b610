from pydantic_settings import BaseSettings


class Settings(BaseSettings):
    database_url: str
    secret_key: str
    s3_endpoint: str
    s3_bucket: str = "photos"
    s3_region: str = "us-east-1"
    s3_access_key: str = "testkey"
    s3_secret_key: str = "testsecret"
    url_expires_seconds: int = 900
    cdn_url: str = "https://cdn.example.com"
    cdn_secret: str = "testsecret"
    cdn_expires_seconds: int = 120


settings = Settings()
