"""What S3's answers mean in our words, whoever carries the request."""

from collections.abc import Iterator
from contextlib import contextmanager

from samara.errors import Conflict, Misconfigured, NotFound, Rejected, SamaraError, Unavailable, Unsupported
from samara.ports import Version


class Beyond(Exception):
    """The part asked for begins behind the end of its object."""


class GivenUp(Unavailable):
    """The upload that a part is for is no more: it has been joined, or somebody gave it up."""


Meaning = type[SamaraError] | type[Beyond]
MEANING: dict[str, Meaning] = {
    "NoSuchKey": NotFound,
    "PreconditionFailed": Conflict,
    "412": Conflict,
    "ConditionalRequestConflict": Unavailable,  # two conditional writes met, and neither has landed yet
    "OperationAborted": Unavailable,
    "BadDigest": Unavailable,  # what we sent arrived damaged, or in part
    "IncompleteBody": Unavailable,
    "XAmzContentSHA256Mismatch": Unavailable,
    "NoSuchUpload": GivenUp,
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
    "TemporaryRedirect": Unavailable,  # a bucket so new that not all of S3 has heard of it
    "MethodNotAllowed": Unsupported,
    "NotImplemented": Unsupported,
}
WAYS_OUT = {
    "404": "nothing of S3's is at that endpoint: correct the address",
    "NoSuchBucket": "there is no such bucket: create it, or correct the address",
    "AccessDenied": "give this identity the permissions that its catalogue entry names",
    "403": "give this identity the permissions that its catalogue entry names",
    "PermanentRedirect": "the bucket is in another region: add ?region= to the address",
    "301": "the bucket is in another region: add ?region= to the address",
    "AuthorizationHeaderMalformed": "the bucket is in another region: add ?region= to the address",
    "ExpiredToken": "log in again",
    "NoSuchUpload": "its upload was given up midway: send it again",
    "RequestTimeTooSkewed": "set this machine's clock",
}


BUSY = (200, 307, 408, 425, 429)  # a late refusal, and those that ask for another try
UNLIKE = "the answer is none that S3 gives; something else answers there, or broke it"


def meant(code: str, status: int, *, headed: bool) -> Meaning:
    """What a refusal means. Only of an answer to HEAD, which has no body to say more, its status alone says that
    nothing is there: another server says so of any address."""
    if headed and status == 404:
        return NotFound
    return MEANING.get(code) or (Unavailable if status >= 500 or status in BUSY else Misconfigured)


def is_tag(text: str) -> bool:
    """Whether this can be an entity tag: not a star, which matches whatever is there, nor with a comma, which joins."""
    return bool(text) and text.isascii() and text.isprintable() and not any(letter in text for letter in " *,")


def version_of(tag: str) -> Version:
    if not is_tag(tag):
        raise ValueError("no entity tag")
    return Version(tag)


def only(key: str, version: Version) -> Version:
    """The version to write over. What cannot be an ETag is a version that never was."""
    if not is_tag(version):
        raise Conflict(key)
    return version


@contextmanager
def understood(key: str) -> Iterator[None]:
    """An answer that lacks what S3 tells is none: whether the request was heard is not known."""
    try:
        yield
    except (LookupError, ValueError) as error:
        raise Unavailable(key, UNLIKE) from error


def said(code: str, meaning: type[Exception]) -> tuple[str, ...]:
    """What S3's code adds to the usual words of an error, and the way out where there is one to tell."""
    if meaning in (NotFound, Conflict):
        return ()
    return ("; ".join(filter(None, (f"S3 says {code}", WAYS_OUT.get(code)))),)
