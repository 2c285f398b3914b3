"""The bucket: private, encrypted, versioned, and heard of whenever an object appears in it."""

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from infra.aws.place import Place, policy
from infra.names import code_key, named, tags
from infra.packages import Packaged


@dataclass(frozen=True, slots=True)
class Store:
    """The bucket, where it is, and the resource after which its events flow."""

    bucket: aws.s3.Bucket
    region: str
    speaking: aws.s3.BucketNotification

    @property
    def address(self) -> pulumi.Output[str]:
        """As `SAMARA_STORE` names it."""
        return pulumi.Output.concat("s3://", self.bucket.bucket, "?region=", self.region)


def create(place: Place) -> Store:
    """The one bucket of this stack."""
    stack = place.stack
    bucket = aws.s3.Bucket(
        named(stack, "bucket"),
        force_destroy=not stack.protect,
        tags=tags(stack),
        opts=place.opts(protect=stack.protect),
    )
    _closed(place, bucket)
    _kept(place, bucket)
    speaking = aws.s3.BucketNotification(
        named(stack, "bucket-events"), bucket=bucket.id, eventbridge=True, opts=place.opts(bucket)
    )
    return Store(bucket, stack.region, speaking)


def upload(place: Place, store: Store, name: str, package: Packaged, *, keep: bool = False) -> aws.s3.BucketObjectv2:
    """The zip of a package, in the bucket. With `keep` a later one leaves it there, for jobs that still wait."""
    return aws.s3.BucketObjectv2(
        named(place.stack, name, "code"),
        bucket=store.bucket.id,
        key=code_key(name, package.digest),
        source=pulumi.FileAsset(str(package.path)),
        content_type="application/zip",
        server_side_encryption="AES256",
        tags=tags(place.stack),
        opts=place.opts(store.bucket, retain_on_delete=keep),
    )


def _closed(place: Place, bucket: aws.s3.Bucket) -> None:
    """Nobody outside the account, nothing over plain HTTP, no object owned by another account."""
    name, opts = named(place.stack, "bucket"), place.opts(bucket)
    block = aws.s3.BucketPublicAccessBlock(
        f"{name}-private",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
        opts=opts,
    )
    aws.s3.BucketOwnershipControls(
        f"{name}-owner",
        bucket=bucket.id,
        rule=aws.s3.BucketOwnershipControlsRuleArgs(object_ownership="BucketOwnerEnforced"),
        opts=opts,
    )
    aws.s3.BucketPolicy(
        f"{name}-policy",
        bucket=bucket.id,
        policy=bucket.arn.apply(lambda arn: policy({
            "Sid": "EncryptedOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": [arn, f"{arn}/*"],
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        })),
        opts=place.opts(bucket, [block]),
    )  # fmt: skip


def _kept(place: Place, bucket: aws.s3.Bucket) -> None:
    """Encrypted at rest; what is overwritten or deleted can be brought back for a while, and then is gone."""
    name, opts = named(place.stack, "bucket"), place.opts(bucket)
    aes = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
        sse_algorithm="AES256"
    )
    aws.s3.BucketServerSideEncryptionConfiguration(
        f"{name}-encryption",
        bucket=bucket.id,
        rules=[aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(apply_server_side_encryption_by_default=aes)],
        opts=opts,
    )
    versions = aws.s3.BucketVersioning(
        f"{name}-versions",
        bucket=bucket.id,
        versioning_configuration=aws.s3.BucketVersioningVersioningConfigurationArgs(status="Enabled"),
        opts=opts,
    )
    aws.s3.BucketLifecycleConfiguration(
        f"{name}-lifecycle",
        bucket=bucket.id,
        rules=[_old_versions(place.stack.keep_days), _abandoned_uploads()],
        opts=place.opts(bucket, [versions]),
    )


def _old_versions(days: int) -> aws.s3.BucketLifecycleConfigurationRuleArgs:
    return aws.s3.BucketLifecycleConfigurationRuleArgs(
        id="old-versions",
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
        noncurrent_version_expiration=aws.s3.BucketLifecycleConfigurationRuleNoncurrentVersionExpirationArgs(
            noncurrent_days=days
        ),
        expiration=aws.s3.BucketLifecycleConfigurationRuleExpirationArgs(expired_object_delete_marker=True),
    )


def _abandoned_uploads() -> aws.s3.BucketLifecycleConfigurationRuleArgs:
    return aws.s3.BucketLifecycleConfigurationRuleArgs(
        id="abandoned-uploads",
        status="Enabled",
        filter=aws.s3.BucketLifecycleConfigurationRuleFilterArgs(prefix=""),
        abort_incomplete_multipart_upload=aws.s3.BucketLifecycleConfigurationRuleAbortIncompleteMultipartUploadArgs(
            days_after_initiation=1
        ),
    )
