"""What Amazon's services other than S3 refuse, in our words."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from botocore import exceptions
from botocore.exceptions import ClientError
from botocore.parsers import ResponseParserError

from samara.errors import Misconfigured, Unavailable

AGAIN = (307, 408, 429)


@contextmanager
def translated(subject: str, service: str, busy: Collection[str]) -> Iterator[None]:
    """Raise our error for that service's, with its as the cause. `busy` are the codes that ask for another try."""
    try:
        yield
    except ClientError as error:
        code, why = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        again = code in busy or status >= 500 or status in AGAIN
        raise (Unavailable if again else Misconfigured)(subject, f"{service} says {code or status}: {why}") from error
    except (ResponseParserError, KeyError, ValueError) as error:
        raise Unavailable(subject, f"what answers is not {service}, or broke off ({type(error).__name__})") from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise Unavailable(subject, f"{service} was not reached, or did not answer ({type(error).__name__})") from error
    except exceptions.BotoCoreError as error:
        raise unusable(subject, error) from error


@contextmanager
def unready(subject: str) -> Iterator[None]:
    """Refuse settings of which the SDK makes no client: a profile that is not there, a region that is none."""
    try:
        yield
    except exceptions.BotoCoreError as error:
        raise unusable(subject, error) from error
    except ValueError as error:
        raise Misconfigured(subject, str(error)) from error


def unusable(subject: str, error: exceptions.BotoCoreError) -> Misconfigured:
    """What it means that the SDK does not even ask: no credentials, no region and the like."""
    if isinstance(error, exceptions.NoCredentialsError):
        return Misconfigured("Amazon's credentials", "none were found; run aws sso login, or give the function a role")
    return Misconfigured(subject, str(error))
