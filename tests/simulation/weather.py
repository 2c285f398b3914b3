"""What can go wrong in a seed, and how often. Every seed has a weather of its own.

A uniform mixture of all faults hides bugs: where every second write is lost, nobody gets far enough to race. So
most seeds have few kinds of fault, and each kind its own rate.
"""

from dataclasses import dataclass

from samara.core import keys
from tests.simulation.dice import Dice


@dataclass(frozen=True, slots=True, order=True)
class Twist:
    """One turn that a seed chose, without which the world would have gone on quietly. `step` is counted by `who`."""

    who: str
    step: int
    what: str

    def __str__(self) -> str:
        return f"{self.who}, step {self.step}: {self.what}" if self.step else f"{self.who}: {self.what}"


KILLED_BEFORE = "killed before it"
KILLED_AFTER = "killed after it"
REFUSED = "503, not done"
ANSWER_LOST = "done, but its answer is lost"
FALSE_CONFLICT = "done, but a silent retry makes it look like a lost race"
LANDS_LATE = "no answer; it is done later, if it still can be"
STALLS = "stands still for minutes"

ON_READ = (KILLED_BEFORE, REFUSED, STALLS)
ON_WRITE = (KILLED_BEFORE, KILLED_AFTER, REFUSED, ANSWER_LOST, FALSE_CONFLICT, LANDS_LATE, STALLS)
IN_DOUBT = (ANSWER_LOST, FALSE_CONFLICT, LANDS_LATE)
ON_SUBMIT = (KILLED_BEFORE, KILLED_AFTER, REFUSED, ANSWER_LOST, STALLS)

INTERLEAVED = "others come between its steps"
UNHEARD = "its notification is lost"
TWICE = "its notification comes twice"
THRICE = "its notification comes three times"
DELAYED = "its notification is late"
JOB_FAILS = "dies with its machine"
JOB_FORGOTTEN = "is forgotten by the batch service"
JOB_RESTARTED = "is started again by the batch service"
UNANSWERED = "the response is lost on its way"


ELSEWHERE = (INTERLEAVED, UNHEARD, TWICE, THRICE, DELAYED, JOB_FAILS, JOB_FORGOTTEN, UNANSWERED)
EVERYTHING = tuple(dict.fromkeys((*ON_READ, *ON_WRITE, *ON_SUBMIT, *ELSEWHERE)))

COUNTS_FOR = 8
TOPICS = (
    keys.ALIASES, keys.ALIASES, keys.LANDING, keys.RECEIPTS, keys.DATASETS, keys.VALIDATIONS, keys.QUARANTINE,
    keys.DECISIONS, keys.RUNS, keys.JOBS, keys.RESULTS, keys.MODELS, keys.CAPTURES, keys.FEEDBACK, keys.DRIFT,
    keys.SCORINGS, keys.SCORES, keys.SHADOWS, keys.ALERTS,
)  # fmt: skip
QUARREL, TOGETHER, REFUSED_ROWS, ANSWERS = "a quarrel", "uploads at once", "refused rows", "questions and answers"
BATCHES, SUMMER = "whole batches", "a summer"
THEMES: dict[str, tuple[str, ...]] = {
    "": (),  # anything
    QUARREL: (keys.ALIASES,),
    TOGETHER: (keys.DECISIONS, keys.RUNS, keys.VALIDATIONS),
    REFUSED_ROWS: (keys.QUARANTINE, keys.QUARANTINE, keys.VALIDATIONS, keys.RECEIPTS, keys.DATASETS),
    ANSWERS: (keys.CAPTURES, keys.FEEDBACK, keys.DRIFT, keys.SHADOWS),
    BATCHES: (keys.SCORINGS, keys.JOBS, keys.SCORES),
    SUMMER: (keys.DRIFT, keys.DECISIONS, keys.RUNS, keys.JOBS),
}
"""What a seed may be about, and which topics its faults are then aimed at."""
ABOUT = (  # races take most seeds to find
    "", "", QUARREL, QUARREL, QUARREL, TOGETHER, TOGETHER, REFUSED_ROWS, ANSWERS, BATCHES, SUMMER,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Weather:
    """The rates of one seed. `strikes` is the share of operations that something happens to; those on the topic it is
    `aimed` at count for several, because what goes wrong twice in the same place shows most.
    """

    theme: str
    strikes: float
    aimed: str
    on_read: tuple[str, ...]
    on_write: tuple[str, ...]
    on_submit: tuple[str, ...]
    interleaved: float
    unheard: float
    again: float
    delayed: float
    job_fails: float
    job_forgotten: float
    unanswered: float
    skew_s: float

    @classmethod
    def of(cls, dice: Dice) -> "Weather":
        def rate(*choices: float) -> float:
            return dice.among(choices)

        def some(kinds: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(kind for kind in kinds if dice.chance(0.5))

        theme = dice.among(ABOUT)
        doubtful = theme == QUARREL and dice.chance(0.5)
        return cls(
            theme=theme,
            strikes=rate(0.01, 0.03, 0.08) if theme else rate(0.0, 0.01, 0.03, 0.08),
            aimed=dice.among(THEMES[theme] or TOPICS),
            on_read=() if doubtful else some(ON_READ),
            on_write=IN_DOUBT if doubtful else some(ON_WRITE) or (dice.among(ON_WRITE),),
            on_submit=some(ON_SUBMIT),
            interleaved=rate(0.6, 1.0) if theme else rate(0.0, 0.2, 0.6, 1.0),
            unheard=rate(0.0, 0.0, 0.1, 0.4),
            again=rate(0.0, 0.2, 0.7),
            delayed=rate(0.0, 0.1, 0.5),
            job_fails=rate(0.0, 0.0, 0.2),
            job_forgotten=rate(0.0, 0.0, 0.3),
            unanswered=rate(0.0, 0.1, 0.4),
            skew_s=rate(0.0, 1.0, 60.0),
        )
