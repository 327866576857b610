from django.db import models
from s3_file_field import S3FileField


class File(models.Model):
    blob = S3FileField()
