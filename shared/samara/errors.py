"""What went wrong, sorted by what to do about it.

SamaraError
├── NotFound       nothing is stored there            treat as absence, or say so
├── Conflict       somebody else wrote first          read again, decide again
├── Rejected       bad input, and bad it will stay    quarantine; never retry
├── Unavailable    busy, unreachable, not there yet   let the runtime retry
│   └── Unknown    perhaps written, perhaps not       read before writing again; clean nothing up
├── Unsupported    this provider cannot do that       choose another provider
└── Misconfigured  a deployment mistake               fail at start, tell a person
"""

from collections.abc import Callable
from functools import partial


class NotAtOnce(Exception):
    """What is asked takes its time, and who asks is the one all others wait for (`App.hasty`): ask again in a thread.

    No error, and never told: nothing has been written, and nothing is lost by beginning anew.
    """


class SamaraError(Exception):
    """Reads `subject: why`. The subject is a key, setting or column one can go and look at."""

    usual = "something went wrong"

    def __init__(self, subject: str, why: str = "") -> None:
        self.subject = subject
        self.why = why or self.usual
        super().__init__(f"{self.subject}: {self.why}")

    def __reduce__(self) -> tuple[Callable[[str, str], "SamaraError"], tuple[str, str]]:
        """Errors cross process boundaries: a worker's failure is reported by its dispatcher."""
        return type(self), (self.subject, self.why)


class NotFound(SamaraError):
    usual = "nothing is stored there"


class Conflict(SamaraError):
    usual = "somebody else wrote first"


class Rejected(SamaraError):
    """Bad input. `code` is stable and machine-readable; `why` is for people."""

    usual = "refused"

    def __init__(self, subject: str, why: str = "", *, code: str = "rejected") -> None:
        super().__init__(subject, why)
        self.code = code

    def __reduce__(self) -> tuple[Callable[[str, str], SamaraError], tuple[str, str]]:
        return partial(type(self), code=self.code), (self.subject, self.why)


class Unavailable(SamaraError):
    usual = "not reachable just now"


class Unknown(Unavailable):
    usual = "no answer came, so it may or may not have been written"


class Unsupported(SamaraError):
    usual = "this provider cannot do that"


class Misconfigured(SamaraError):
    usual = "a deployment mistake"
