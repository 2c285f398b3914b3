"""What Samara promises of its speed, as ratios to what was measured in the same rounds. Pure.

Absolute figures do not travel between machines; ratios do. A goal whose parts were not measured is neither met nor
missed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from tests.benchmarks.predict.in_process import BATCHES, RUN
from tests.benchmarks.predict.on_lambda import BOTO3, PLAIN, POWERTOOLS
from tests.benchmarks.predict.on_lambda import SAMARA as SAMARA_ON_LAMBDA
from tests.benchmarks.predict.starting import FLOOR, NOTHING, SAMARA

Rounds = Sequence[Mapping[str, Mapping[str, Any]]]  # of each round, by contender, its figures by name
TIMES_FASTER = {
    "starlette": 1.3, "fastapi": 2.5, "mlserver": 5.5, "mlserver-default": 14.0, "kserve": 8.5, "litserve": 12.0,
    "mlflow": 12.0, "bentoml": 25.0, "ray": 90.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spread:
    """A median with its quartiles."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of one value, it is that value.

        >>> Spread.of([1.0, 2.0, 3.0, 4.0, 5.0])
        Spread(middle=3.0, low=2.0, high=4.0)
        """
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        low, _, high = quantiles(values, n=4, method="inclusive")
        return cls(median(values), low, high)


@dataclass(frozen=True, slots=True)
class Goal:
    """`found` is None where it was not measured. `bound` is the most it may be, or the least where `at_least`."""

    what: str
    found: Spread | None
    bound: float
    unit: str = "×"
    at_least: bool = False

    @property
    def met(self) -> bool | None:
        if self.found is None:
            return None
        return self.found.middle >= self.bound if self.at_least else self.found.middle <= self.bound


def ratio(rounds: Rounds, figure: str, of: str, to: str) -> Spread | None:
    """How often the one's figure holds the other's, each round for itself."""
    both = [one for one in rounds if figure in one.get(of, {}) and figure in one.get(to, {})]
    found = [one[of][figure] / one[to][figure] for one in both if one[to][figure]]
    return Spread.of(found) if found else None


def goals(said: Mapping[str, Any]) -> Iterator[Goal]:
    servers = said.get("servers", ())
    yield from of_servers(servers)
    yield from of_handler(said.get("in process", {}))
    yield from of_lambda(said.get("lambda", ()))
    yield from of_starts(said.get("starts", ()), servers)


def of_servers(rounds: Rounds) -> Iterator[Goal]:
    cpu = "many_cpu_us"
    one = ratio(rounds, "one_cpu_us", "samara", "asgi")
    yield Goal("CPU per request of the bare-ASGI floor's, 1 client (nothing to share a run with)", one, 1.2)
    yield Goal("CPU per request of the bare-ASGI floor's, 32 clients", ratio(rounds, cpu, "samara", "asgi"), 0.6)
    for peer, times in TIMES_FASTER.items():
        yield Goal(f"CPU per request of {peer} over Samara's", ratio(rounds, cpu, peer, "samara"), times, at_least=True)
    per_second = ratio(rounds, "many_per_second", "samara-captured", "mlserver")
    yield Goal("requests/s with durable capture, over MLServer's without", per_second, 2.0, at_least=True)
    for clients, figure in {"32 clients": "many_p99_us", "1 client": "one_p99_us"}.items():
        for peer in ("mlserver", "kserve"):
            slowest = ratio(rounds, figure, "samara-captured", peer)
            yield Goal(f"p99 with durable capture, {clients}, of {peer}'s without", slowest, 1.0)


def of_handler(batches: Mapping[str, Mapping[str, Sequence[float]]]) -> Iterator[Goal]:
    """4 µs at any size, where a call of onnxruntime with one row takes 6.2."""
    for batch in BATCHES:
        over = None
        if seen := batches.get(str(batch)):
            three = zip(seen["Samara, binary"], seen[RUN], batches[str(BATCHES[0])][RUN], strict=True)
            over = Spread.of([(ours - bare) / call for ours, bare, call in three])
        what = f"handler beside onnxruntime's call, binary tensors, batch {batch}, of that call with one row"
        yield Goal(what, over, 0.65)


def of_lambda(rounds: Rounds) -> Iterator[Goal]:
    yield Goal("warm Lambda of the plain handler's", ratio(rounds, "p50_us", SAMARA_ON_LAMBDA, PLAIN), 1.15)
    for peer, times in {POWERTOOLS: 3.5, BOTO3: 6.0}.items():
        first = ratio(rounds, "first_ms", peer, SAMARA_ON_LAMBDA)
        yield Goal(f"first response on Lambda: {peer}, over Samara's", first, times, at_least=True)


def of_starts(rounds: Rounds, servers: Rounds) -> Iterator[Goal]:
    yield Goal("first answer, of numpy + onnxruntime + session", ratio(rounds, "ms", SAMARA, FLOOR), 1.3)
    yield Goal("first answer, of python -c pass (stretch)", ratio(rounds, "ms", SAMARA, NOTHING), 4.5)
    heavy = [float(len(one[SAMARA]["heavy"])) for one in rounds if "heavy" in one.get(SAMARA, {})]
    yield Goal("heavy packages loaded by the first answer", Spread.of(heavy) if heavy else None, 0.0, "")
    for peer, times in {"mlserver": 10.0, "mlflow": 40.0}.items():
        first = ratio(servers, "first_s", peer, "samara")
        yield Goal(f"server's first answer: {peer}, over Samara's", first, times, at_least=True)
