"""What Amazon's services other than S3 refuse, in our words."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from botocore import exceptions
from botocore.exceptions import ClientError

from samara.errors import Misconfigured, Unavailable


@contextmanager
def translated(subject: str, service: str, busy: Collection[str]) -> Iterator[None]:
    """Raise our error for that service's, with its as the cause. `busy` are the codes that ask for another try."""
    try:
        yield
    except ClientError as error:
        code, why = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        again = code in busy or error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500
        raise (Unavailable if again else Misconfigured)(subject, f"{service} says {code}: {why}") from error
    except (exceptions.ConnectionError, exceptions.HTTPClientError) as error:
        raise Unavailable(subject, f"{service} was not reached, or did not answer ({type(error).__name__})") from error
    except exceptions.BotoCoreError as error:
        raise unusable(subject, error) from error


def unusable(subject: str, error: exceptions.BotoCoreError) -> Misconfigured:
    """What it means that the SDK does not even ask: no credentials, no region and the like."""
    if isinstance(error, exceptions.NoCredentialsError):
        return Misconfigured("Amazon's credentials", "none were found; run aws sso login, or give the function a role")
    return Misconfigured(subject, str(error))
