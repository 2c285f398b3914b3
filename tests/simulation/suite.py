"""The whole function suite in a simulated world: every function of the catalogue, woken as a cloud would wake it.

A function has warm instances, each with a clock and a memory of its own and one event at a time; when all are busy
another starts, so as many run side by side as there are events. Who is killed is gone with all it remembers.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, Literal

from functions.catalogue import CATALOGUE
from samara import catalogue
from samara.app import App
from samara.catalogue import Every, Function
from samara.core.sealed import Maker
from samara.dispatch import deliver
from samara.entry import refused
from samara.errors import NotFound, Rejected, SamaraError, Unavailable
from samara.events import Event, GivenUp, HttpRequest, HttpResponse, ObjectCreated, Tick
from samara.ports import Job, JobStatus, Object
from tests.simulation import weather
from tests.simulation.dice import Dice
from tests.simulation.store import BatchService, Bucket, Counter, Line
from tests.simulation.weather import Twist
from tests.simulation.world import Killed, Task, World

RECONCILE = catalogue.named(CATALOGUE, "reconcile")
TOLD_OF_FAILURES = catalogue.told_of_failures(CATALOGUE)
SUBMITTERS = {function.job.module: function for function in CATALOGUE if function.job}
MAKER = Maker(function="simulation", code="0" * 64)
DELIVERIES = 3  # of one event, before the platform gives it up
Answered = Callable[[HttpResponse | None], None]
Period = Literal["minute", "hour"]


@dataclass(slots=True, eq=False)
class Instance:
    """One warm process of a function."""

    app: App
    skew_s: float
    memory: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A bucket and a batch service at rest."""

    objects: dict[str, Object]
    status: dict[str, JobStatus]
    jobs: dict[str, Job]


@dataclass(eq=False)
class Suite:
    """The functions, their bucket and their jobs."""

    world: World
    bucket: Bucket = field(init=False)
    service: BatchService = field(init=False)
    warm: dict[str, list[Instance]] = field(default_factory=dict)
    started: dict[str, int] = field(default_factory=dict)
    heard: dict[str, int] = field(default_factory=dict)
    given_up: list[GivenUp] = field(default_factory=list)
    untold: set[GivenUp] = field(default_factory=set)  # those of them that nobody could be told of either
    wanting: int = 0  # what the last reconcile asked for

    def __post_init__(self) -> None:
        self.bucket = Bucket(self.world)
        self.bucket.created = self.created
        self.service = BatchService(self.world)
        self.service.start = self.job_submitted

    def snapshot(self) -> "Snapshot":
        return Snapshot(self.bucket.copy(), dict(self.service.status), dict(self.service.jobs))

    def begin_from(self, past: "Snapshot") -> None:
        self.bucket.restore(past.objects)
        self.service.status, self.service.jobs = dict(past.status), dict(past.jobs)

    def app(self) -> App:
        """What a new process gets."""
        return App(Line(self.world, self.bucket), Counter(self.world, self.service), MAKER)

    def created(self, key: str) -> None:
        """Notify whom an object wakes: once, mostly."""
        for function in woken_by_topic(key.partition("/")[0]):
            name = self._numbered(f"{function.name} {key}", "write")
            dice = Dice(self.world.seed, f"notify {name}")
            if dice.chance(self.world.weather.unheard) and self.world.happens(Twist(name, 0, weather.UNHEARD)):
                self.world.note("platform", "notify", name, weather.UNHEARD)
            else:
                self._carry(function, name, lambda _: ObjectCreated(key, self.world.at), dice)

    def _numbered(self, name: str, what: str) -> str:
        """A name of its own for each time that something of this name happens."""
        count = self.heard[name] = self.heard.get(name, 0) + 1
        return f"{name} {what} {count}" if count > 1 else name

    def _carry(self, function: Function, name: str, event: Callable[[float], Event], dice: Dice) -> None:
        """Deliver what a queue of the platform's holds: at least once, and sometimes late."""
        world, times = self.world, 1
        if dice.chance(world.weather.again):
            what = dice.among((weather.TWICE, weather.THRICE))
            times += (1 + (what == weather.THRICE)) * world.happens(Twist(name, 0, what))
        delay = dice.about(3.0)
        if dice.chance(world.weather.delayed) and world.happens(Twist(name, 0, weather.DELAYED)):
            delay += dice.between(60.0, 3600.0)
        for _ in range(times):
            self.wake(function, name, event, delay)
            delay += 0.0 if dice.chance(0.5) else dice.about(20.0)

    def strike(self, period: Period, delay_s: float = 0.0) -> None:
        """The clock: wake everybody whom this period wakes."""
        for function in scheduled(period):
            self.wake(function, function.name, lambda skew: Tick(self.world.instant(skew)), delay_s)

    def wake(
        self, function: Function, name: str, event: Callable[[float], Event], delay_s: float, left: int = DELIVERIES - 1
    ) -> None:
        """Deliver an event, and again when it fails, up to the platform's patience."""

        def body(task: Task) -> None:
            try:
                found = self.delivered(function, event, task)
            except (Killed, Unavailable) as error:
                if left:
                    again = name if name.endswith(", again") else f"{name}, again"
                    self.wake(function, again, event, task.dice.about(30.0), left - 1)
                else:
                    self.give_up(function, name, event(0.0), error)
            except SamaraError as error:
                self.world.wrong.append(f"{task.name} fell over: {type(error).__name__} {error}")
            else:
                if function is RECONCILE:
                    self.asked_for(found)

        self.world.begin(delay_s, name, body)

    def give_up(self, function: Function, name: str, event: Event, error: BaseException) -> None:
        """Put an event among the dead letters, of which people are told."""
        self.world.note("platform", "give up", name, "")
        if isinstance(event, GivenUp):
            self.untold.add(event)
            return
        what = "Crashed" if isinstance(error, Killed) else type(error).__name__
        lost = GivenUp(function.name, getattr(event, "key", ""), what, str(error), self.world.at)
        self.given_up.append(lost)
        for told in TOLD_OF_FAILURES:
            letter = self._numbered(f"{told.name} {name}", "letter")
            self._carry(told, letter, lambda _: lost, Dice(self.world.seed, letter))

    def asked_for(self, wakes: list[Any]) -> None:
        """What reconcile asks the platform for."""
        self.wanting += len(wakes)
        for wake in wakes:
            function = catalogue.named(CATALOGUE, wake.function)
            self.wake(
                function,
                f"{wake.function} {wake.key}, for reconcile",
                lambda skew, key=wake.key: ObjectCreated(key, self.world.instant(skew)),  # type: ignore[misc]  # bound
                0.5,
            )

    def request(self, name: str, request: HttpRequest, answered: Answered, delay_s: float) -> None:
        """A request by HTTP; `answered` hears None when no response comes."""
        function = catalogue.answering(CATALOGUE, request.path)
        assert function is not None

        def exchange(task: Task) -> None:
            try:
                response = self.delivered(function, lambda skew: request._replace(at=self.world.instant(skew)), task)
            except (Killed, Unavailable):
                answered(None)
            except (NotFound, Rejected) as error:
                answered(refused(error))
            except SamaraError as error:
                self.world.wrong.append(f"{task.name} fell over: {type(error).__name__} {error}")
            else:
                lost = task.dice.chance(self.world.weather.unanswered)
                if lost and self.world.happens(Twist(task.name, task.step, weather.UNANSWERED)):
                    self.world.note(task.name, "respond", request.path, weather.UNANSWERED)
                    answered(None)
                else:
                    answered(response)
                with suppress(Killed, SamaraError):
                    for left in task.afterwards:
                        left()

        self.world.begin(delay_s, name, exchange)

    def delivered(self, function: Function, event: Callable[[float], Event], task: Task) -> Any:
        """What comes of one event in one instance."""
        instance = self._instance(function)
        task.memory = instance.memory
        try:
            found = deliver(function, event(instance.skew_s), instance.app)
        except Killed:
            raise
        except BaseException:
            self.warm[function.name].append(instance)
            raise
        self.warm[function.name].append(instance)
        return found

    def _instance(self, function: Function) -> Instance:
        waiting = self.warm.setdefault(function.name, [])
        if waiting:
            return waiting.pop(0)
        number = self.started[function.name] = self.started.get(function.name, 0) + 1
        dice, most = Dice(self.world.seed, f"instance {function.name} {number}"), self.world.weather.skew_s
        return Instance(self.app(), dice.between(-most, most))

    def job_submitted(self, wanted: Job) -> None:
        """A program starts: mostly it runs to its end; or its machine dies; or the service forgets that it ever was."""
        world = self.world

        def body(task: Task) -> None:
            name, fate = wanted.name, self._fate(task)
            if self.service.status[name] is JobStatus.QUEUED:
                self.service.status[name] = JobStatus.RUNNING
            if fate == weather.JOB_FORGOTTEN:
                self.service.status[name] = JobStatus.LOST
            elif fate == weather.JOB_FAILS:
                self.service.status[name] = JobStatus.FAILED
                return
            try:
                app = self.app().acting_as_job_of(SUBMITTERS[wanted.module])
                import_module(wanted.module).run(wanted.arguments[0], app)
            except (Killed, SamaraError) as error:
                if not isinstance(error, (Killed, Unavailable)):
                    world.wrong.append(f"{task.name} fell over: {type(error).__name__} {error}")
                self._job_died(name, task)
            else:
                if self.service.status[name] is JobStatus.RUNNING:
                    self.service.status[name] = JobStatus.SUCCEEDED

        world.begin(Dice(world.seed, f"queue {wanted.name}").about(15.0), f"job {wanted.name}", body)

    def _fate(self, task: Task) -> str:
        rates = self.world.weather
        for rate, fate in ((rates.job_fails, weather.JOB_FAILS), (rates.job_forgotten, weather.JOB_FORGOTTEN)):
            if task.dice.chance(rate) and self.world.happens(Twist(task.name, 0, fate)):
                self.world.note(task.name, "run", "", fate)
                return fate
        return ""

    def _job_died(self, name: str, task: Task) -> None:
        if self.service.status[name] is not JobStatus.RUNNING:
            return
        what = task.dice.among((weather.JOB_FAILS, weather.JOB_FORGOTTEN, weather.JOB_RESTARTED, weather.JOB_RESTARTED))
        self.world.note(task.name, "die", "", what)
        ended = {weather.JOB_FAILS: JobStatus.FAILED, weather.JOB_FORGOTTEN: JobStatus.LOST}
        self.service.status[name] = ended.get(what, JobStatus.QUEUED)
        if what == weather.JOB_RESTARTED:
            self.job_submitted(self.service.jobs[name])


@cache
def woken_by_topic(topic: str) -> list[Function]:
    return catalogue.woken_by(CATALOGUE, f"{topic}/")


@cache
def scheduled(period: Period) -> list[Function]:
    return [f for f in CATALOGUE if any(isinstance(on, Every) and on.period == period for on in f.on)]
