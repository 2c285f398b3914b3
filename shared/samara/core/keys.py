"""Where everything lives in the bucket. No other module spells a key.

The first segment of a key is its topic. Names of datasets, models and versions come from people, so they are
checked here, once, and nowhere joined by hand.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from samara.core import windows
from samara.core.digests import short
from samara.errors import Rejected

LANDING = "landing/"
BLOBS = "blobs/"
RECEIPTS = "receipts/"
DATASETS = "datasets/"
VALIDATIONS = "validations/"
QUARANTINE = "quarantine/"
DECISIONS = "decisions/"
RUNS = "runs/"
JOBS = "jobs/"
RESULTS = "results/"
MODELS = "models/"
ALIASES = "aliases/"
CAPTURES = "captures/"
FEEDBACK = "feedback/"
DRIFT = "drift/"
SCORINGS = "scorings/"
SCORES = "scores/"
SHADOWS = "shadows/"
ALERTS = "alerts/"
CONFIG = "config/"

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
MOST_SEGMENTS = 254  # on Azure
UNFIT = (  # controls, which XML cannot list; the backslash, which Azure turns around; what is no character
    r"[\x00-\x1f\x7f-\x9f\\\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff\U000f0000-\U0010ffff]"
)
LONGEST = 512  # bytes of a landing key: the clouds allow 1,024, and what we derive from it is longer


def named(name: str, what: str) -> str:
    """`name`, if it can be the name of a model or dataset."""
    if NAME.fullmatch(name):
        return name
    shown = name if len(name) <= 80 and name.isprintable() else ascii(name[:80])
    why = f"not a {what} name; use lower-case letters, digits, - and _, at most 63, starting with a letter or digit"
    raise Rejected(shown, why, code="bad_name")


class Landed(NamedTuple):
    """An uploaded file, by its key: `landing/{dataset}/{anything}`."""

    key: str

    @property
    def dataset(self) -> str:
        """The dataset it is for, or `Rejected` when the key is not one we would follow."""
        topic, _, rest = self.key.partition("/")
        dataset, slash, name = rest.partition("/")
        if topic + "/" != LANDING or not slash or not name:
            shown = self.key if self.key.isprintable() else ascii(self.key)
            raise Rejected(shown, "put files into landing/{dataset}/", code="bad_key")
        if len(self.key.encode(errors="surrogatepass")) > LONGEST:
            shown = self.key[:80] if self.key[:80].isprintable() else ascii(self.key[:80])
            raise Rejected(shown + "…", f"a key may have {LONGEST} bytes; shorten the name", code="bad_key")
        if not unicodedata.is_normalized("NFC", name) or any(unspeakable(letter) for letter in name):
            raise Rejected(ascii(self.key), "has control or invisible characters; rename it", code="bad_key")
        if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name:
            raise Rejected(self.key, "has . or .. or \\ or // in its path; rename it", code="bad_key")
        return named(dataset, "dataset")

    def receipt(self, version: str) -> str:
        return f"{RECEIPTS}{short(self.key, version)}.json"


LONGEST_KEY = 1024  # bytes: what S3, GCS and Azure allow
LONGEST_SEGMENT = 255  # bytes: what file systems allow between two slashes


def flaw(key: str) -> str:
    """Why no store may hold an object at `key`; empty when it is sound.

    >>> flaw("landing/flights/may.csv"), flaw("landing/../aliases/late.json")
    ('', 'has . or .. or an empty part between its slashes')
    """
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    if size > LONGEST_KEY:
        return f"has {size:,} bytes; a key may have {LONGEST_KEY:,}"
    plain = key.isascii() and key.isprintable() and "\\" not in key  # as nearly always, and quicker found than fit
    if not plain and (unfit := re.search(UNFIT, key)):
        return f"has the character {unfit.group()!a}, which not every store can hold"
    return flaw_between_slashes(key.split("/"))


def flaw_between_slashes(segments: list[str]) -> str:
    if any(segment in ("", ".", "..") for segment in segments):
        return "has . or .. or an empty part between its slashes"
    if any(segment.endswith(".") for segment in segments):
        return "has a part that ends in a full stop"
    if len(segments) > MOST_SEGMENTS:
        return f"has {len(segments)} parts between its slashes; a key may have {MOST_SEGMENTS}"
    if any(len(segment.encode()) > LONGEST_SEGMENT for segment in segments):
        return f"has more than {LONGEST_SEGMENT} bytes between two slashes"
    return ""


def sound(key: str) -> str:
    """`key`, if every store can hold an object there, else `Rejected`. Each provider asks this on each verb."""
    if why := flaw(key):
        raise Rejected(ascii(key[:100])[1:-1], f"{why}; choose another key", code="bad_key")
    return key


def sound_prefix(prefix: str) -> str:
    """`prefix`, if a sound key could start with it, else `Rejected`."""
    folder, slash, start = prefix.rpartition("/")
    if slash:
        sound(folder)
    if start.strip("."):  # nothing or dots may still become a sound name
        sound(prefix)
    return prefix


def unspeakable(letter: str) -> bool:
    """Whether a letter cannot be seen: controls, direction overrides, zero-width marks, lone surrogates."""
    return unicodedata.category(letter) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def blob(digest: str) -> str:
    return f"{BLOBS}sha256/{digest}"


def batch(dataset: str, source_digest: str) -> str:
    """A batch is named for the bytes it came from: the same file, uploaded twice, is one batch."""
    return f"{DATASETS}{dataset}/{short(dataset, source_digest)}.json"


def stem(key: str) -> str:
    """The last segment without its ending.

    >>> stem("datasets/flights/0a1b.json")
    '0a1b'
    """
    return key.rpartition("/")[2].removesuffix(".json")


def owner(key: str) -> str:
    """The dataset or model a record belongs to: the second segment.

    >>> owner("datasets/flights/0a1b.json")
    'flights'
    """
    return key.split("/")[1].removesuffix(".json")


def validation(batch_key: str) -> str:
    return f"{VALIDATIONS}{owner(batch_key)}/{stem(batch_key)}.json"


def quarantine(dataset: str, *what: str) -> str:
    return f"{QUARANTINE}{dataset}/{short(*what)}.json"


def decision(model: str, cause: str) -> str:
    """One decision for one cause, named so that people can read it and windows sort as they follow.

    >>> decision("late", "drift/late/2013-02.json"), decision("late", "first")
    ('decisions/late/drift-2013-02.json', 'decisions/late/first.json')
    """
    name = f"drift-{stem(cause)}" if cause.startswith(DRIFT) else cause.replace(" ", "-")[:80]
    return f"{DECISIONS}{model}/{name}.json"


def run(model: str, run_id: str) -> str:
    return f"{RUNS}{model}/{run_id}.json"


def submission(run_key: str) -> str:
    return f"{JOBS}{owner(run_key)}/{stem(run_key)}/submission.json"


def result(run_key: str) -> str:
    return f"{RESULTS}{owner(run_key)}/{stem(run_key)}.json"


def version(model: str, number: int) -> str:
    """Ten digits, so that versions sort as they count."""
    return f"{MODELS}{model}/{number:010d}.json"


def versions(model: str, listed: Iterable[str]) -> list[str]:
    """Those of these keys at which versions of the model lie, without what somebody else has put beside them."""
    return [key for key in listed if stem(key).isdecimal() and key == version(model, number(key))]


def number(version_key: str) -> int:
    """The version whose record lies there."""
    return int(stem(version_key))


def aliases(model: str) -> str:
    return f"{ALIASES}{model}.json"


def drift(model: str, window: windows.Window) -> str:
    return f"{DRIFT}{model}/{window.name}.json"


def scoring(model: str, scoring_id: str) -> str:
    return f"{SCORINGS}{model}/{scoring_id}.json"


def scores(scoring_key: str) -> str:
    return f"{SCORES}{owner(scoring_key)}/{stem(scoring_key)}.json"


def shadow(model: str, hour: str) -> str:
    return f"{SHADOWS}{model}/{hour}.json"


def alert(subject: str, what: str) -> str:
    """One alert for one thing about one subject, however often it is raised."""
    return f"{ALERTS}{short(subject, what)}.json"


def contract_head(dataset: str) -> str:
    return f"{CONFIG}contracts/{dataset}.json"


def model_head(model: str) -> str:
    return f"{CONFIG}models/{model}.json"


PREDICTION = (  # compiled where it is needed, as the above: no answer needs them
    r"(?P<model>[a-z0-9][a-z0-9_-]{0,62})\.(?P<hour>\d{4}-\d\d-\d\dT\d\d)"
    r"\.(?P<unique>[0-9a-f]{16}(?:\.(?P<place>[1-9]\d{0,3})of(?P<count>[1-9]\d{0,3}))?)"
)
MEMBER = ".jsonl#"  # between the key of an object that holds several captures and the number of one, from 1


class Prediction(NamedTuple):
    """A prediction's id says where it lies: `{model}.{hour}.{16 hexadecimal digits}`.

    Requests that came together are captured together, a line each; their ids say which line, of how many.

    >>> Prediction.parse("late.2013-02-14T05.00112233445566aa").capture
    'captures/late/2013-02-14T05/00112233445566aa.json'
    >>> Prediction.parse("late.2013-02-14T05.00112233445566aa.7of32").capture
    'captures/late/2013-02-14T05/00112233445566aa.32.jsonl#7'
    """

    model: str
    hour: str
    unique: str

    @classmethod
    def parse(cls, text: str) -> "Prediction":
        match = re.fullmatch(PREDICTION, text)
        if match is None or int(match["place"] or 1) > int(match["count"] or 1):
            raise no_prediction(text)
        try:
            return cls(match["model"], windows.Window(match["hour"]).name, match["unique"])
        except Rejected as error:
            raise no_prediction(text) from error

    @classmethod
    def among(cls, model: str, hour: str, unique: str, count: int) -> list["Prediction"]:
        """The predictions of `count` requests that came together, under one name of 16 hexadecimal digits."""
        return [cls(model, hour, f"{unique}.{place}of{count}") for place in range(1, count + 1)]

    @property
    def id(self) -> str:
        return f"{self.model}.{self.hour}.{self.unique}"

    @property
    def capture(self) -> str:
        """Where its capture lies; for one of several in an object, that object's key, `#` and which it is."""
        stem, _, member = self.unique.partition(".")
        place, _, count = member.partition("of")
        ending = f"{count}{MEMBER}{place}" if member else "json"
        return f"{CAPTURES}{self.model}/{self.hour}/{stem}.{ending}"

    @property
    def truths(self) -> str:
        """Where all lies that was ever said about it."""
        return f"{FEEDBACK}{self.model}/{self.hour}/{self.unique}/"

    def feedback(self, digest: str) -> str:
        """A truth that is corrected later is another object; both are kept."""
        return f"{self.truths}{digest[:16]}.json"


def no_prediction(text: str) -> Rejected:
    why = "not a prediction id; they read model.2013-02-14T05.0123456789abcdef"
    return Rejected(ascii(text[:100])[1:-1], why, code="bad_id")


def prediction_of(key: str) -> Prediction:
    """The prediction whose capture, or feedback about which, lies at this key."""
    _, model, hour, name = key.split("/")[:4]
    several, member, place = name.partition(MEMBER)
    if member:
        unique, _, count = several.partition(".")
        return Prediction(model, hour, f"{unique}.{place}of{count}")
    return Prediction(model, hour, name.removesuffix(".json"))


def predictions_at(capture_key: str) -> list[Prediction]:
    """The predictions captured in the object at this key.

    >>> [found.id for found in predictions_at("captures/late/2013-02-14T05/00112233445566aa.2.jsonl")]
    ['late.2013-02-14T05.00112233445566aa.1of2', 'late.2013-02-14T05.00112233445566aa.2of2']
    """
    _, model, hour, name = capture_key.split("/")[:4]
    unique, _, rest = name.partition(".")
    count, several, _ = rest.partition(".jsonl")
    if several and len(count) <= 4 and count.isdecimal():
        return Prediction.among(model, hour, unique, int(count))
    return [prediction_of(capture_key)]
