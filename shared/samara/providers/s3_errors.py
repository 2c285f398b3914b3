"""What S3's codes mean in our words, whoever carries the request."""

from samara.errors import Conflict, Misconfigured, NotFound, Rejected, SamaraError, Unavailable, Unsupported


class Beyond(Exception):
    """The part asked for begins behind the end of its object."""


MEANING: dict[str, type[SamaraError] | type[Beyond]] = {
    "NoSuchKey": NotFound,
    "404": NotFound,  # an answer to HEAD has no body to say more
    "InvalidRange": Beyond,
    "416": Beyond,
    "PreconditionFailed": Conflict,
    "412": Conflict,
    "ConditionalRequestConflict": Unavailable,  # two conditional writes met, and neither has landed yet
    "OperationAborted": Unavailable,
    "RequestTimeout": Unavailable,
    "SlowDown": Unavailable,
    "Throttling": Unavailable,
    "ThrottlingException": Unavailable,
    "KeyTooLongError": Rejected,
    "EntityTooLarge": Rejected,
    "NoSuchBucket": Misconfigured,
    "AccessDenied": Misconfigured,
    "403": Misconfigured,
    "AllAccessDisabled": Misconfigured,
    "AuthorizationHeaderMalformed": Misconfigured,  # another region
    "PermanentRedirect": Misconfigured,  # the same
    "301": Misconfigured,
    "ExpiredToken": Misconfigured,
    "InvalidAccessKeyId": Misconfigured,
    "InvalidToken": Misconfigured,
    "SignatureDoesNotMatch": Misconfigured,
    "RequestTimeTooSkewed": Misconfigured,  # this machine's clock is wrong
    "MethodNotAllowed": Unsupported,
    "NotImplemented": Unsupported,
}
WAYS_OUT = {
    "NoSuchBucket": "there is no such bucket: create it, or correct the address",
    "AccessDenied": "give this identity the permissions that its catalogue entry names",
    "403": "give this identity the permissions that its catalogue entry names",
    "PermanentRedirect": "the bucket is in another region: add ?region= to the address",
    "301": "the bucket is in another region: add ?region= to the address",
    "AuthorizationHeaderMalformed": "the bucket is in another region: add ?region= to the address",
    "ExpiredToken": "log in again",
    "RequestTimeTooSkewed": "set this machine's clock",
}


def said(code: str, meaning: type[Exception]) -> tuple[str, ...]:
    """What S3's code adds to the usual words of an error, and the way out where there is one to tell."""
    if meaning in (NotFound, Conflict):
        return ()
    return ("; ".join(filter(None, (f"S3 says {code}", WAYS_OUT.get(code)))),)
