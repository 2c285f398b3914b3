"""The same, with a client for S3 made at import, as handlers that read their model from a bucket have it."""
# mypy: ignore-errors

import boto3
from lambda_powertools import handler

__all__ = ["handler", "s3"]
s3 = boto3.client("s3", region_name="us-east-1")
