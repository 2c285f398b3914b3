"""What the clouds' payloads have in common: JSON of which we read a few fields, and strictly those."""

from collections.abc import Collection, Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from samara.core import flaws
from samara.core.strict import shown
from samara.errors import Rejected
from samara.events import Event, ObjectCreated
from samara.events.fields import malformed

LONGEST_WHY = 500  # of an error's own words: the log has the rest

Key = Annotated[str, Field(min_length=1, max_length=1024)]
Instant = AwareDatetime


class Payload(BaseModel):
    """What we read of a payload. Clouds add fields as they please, so others are left alone."""

    model_config = ConfigDict(frozen=True, extra="ignore")


Read = TypeVar("Read", bound=Payload)


def read(kind: type[Read], value: Any, what: str) -> Read:
    """`value` as that kind of payload, or `Rejected` with the first field that is not as it should be."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        field, why = flaws.first(error)
        raise malformed(what, f"{field}: {why}" if field else why) from error


def name_in(deployed: str, known: Collection[str]) -> str:
    """The catalogue's name in the name under which something was deployed, such as `samara-dev-ingest`.

    >>> name_in("acme-train-dev-ingest-0a1b2c3", ["train", "ingest"])
    'ingest'
    """
    return next((part for part in reversed(deployed.split("-")) if part in known), shown(deployed))


def subject_of(events: Iterable[Event | Rejected]) -> str:
    """The key that these are about, or nothing."""
    return next((event.key for event in events if isinstance(event, ObjectCreated)), "")


def shortened(why: str) -> str:
    return why if len(why) <= LONGEST_WHY else why[:LONGEST_WHY] + "…"
