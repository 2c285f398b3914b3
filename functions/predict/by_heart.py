"""Requests known by heart: of which all but the numbers, the moment and the prediction's id came before.

Clients nearly always say the same around their numbers. What was made of that the ordinary way, and what was answered
around the model's, is kept as long as `Live` is: once an alias moves or a policy changes, nothing is known any more.
Only what leaves nothing behind is answered so: without a capture, a guardrail or a client's id. Part of the handler.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Literal

import orjson

from functions.predict import served, tensors, wire
from functions.predict.capturing import unique
from functions.predict.policy import Policy
from functions.predict.wire import HEADER
from functions.predict.work import AGE, MILLISECOND, MOST_TOGETHER, Version, Work
from samara.core import strict, windows
from samara.core.tensors import TEXT, Form, Raw, Spec, Value
from samara.engines import Session
from samara.errors import Rejected
from samara.events import HttpRequest, HttpResponse

LONG = 4_096  # bytes: from there on it takes longer to copy some than to say where they are


@dataclass(frozen=True, slots=True)
class Behind:
    """A body with the same JSON `before` raw tensors of the same sizes, the model's inputs, at these `places`."""

    before: bytes
    size: int
    places: tuple[slice, ...]

    def numbers(self, body: bytes) -> list[Raw] | None:
        """The inputs' values, or None where this is another request."""
        if len(body) != self.size or not body.startswith(self.before):
            return None
        seen = body if self.size < LONG else memoryview(body)
        return [seen[place] for place in self.places]


@dataclass(frozen=True, slots=True)
class Listed:
    """A body with the same JSON `before` and `after` a list of numbers, the model's only input."""

    before: bytes
    after: bytes
    takes: Spec

    def numbers(self, body: bytes) -> list[Raw] | None:
        """The input's values, or None where this is another request."""
        before, after, (name, datatype, shape) = self.before, self.after, self.takes
        start, end = len(before), len(body) - len(after)
        if start > end or len(body) > strict.LARGEST or not (body.startswith(before) and body.endswith(after)):
            return None
        try:
            return [tensors.decode(tensors.flat(orjson.loads(body[start:end]), shape, name), datatype, name)]
        except (ValueError, Rejected):  # which is said better the ordinary way
            return None


@dataclass(frozen=True, slots=True)
class Known:
    """`form` is that of the inputs as the model takes them, and `sizes` are the bytes of its outputs. Requests that
    come together share a run, up to `together` of them. `raw` and `listed` are which of all outputs are told behind the
    JSON and in it. That is `said`, with gaps for the prediction's id, twice, for the milliseconds and for what is
    listed. `prediction` is the first part of that id. It holds from after `since`, when it was looked up who is live,
    until it `ends`: then that must be looked up again, or the hour is over.
    """

    version: Version
    policy: Policy
    since: datetime
    ends: datetime
    graph: tuple[str, None]
    content_type: str | None
    reads: Behind | Listed
    form: Form
    sizes: tuple[int, ...]
    together: int
    raw: tuple[int, ...]
    listed: tuple[tuple[int, Spec], ...]
    said: bytes
    prediction: bytes
    headers: Mapping[str, str]

    def answer(self, event: HttpRequest, numbers: list[Raw]) -> HttpResponse | None:
        """The answer for its `numbers`, or None where the ordinary way must be taken. `Rejected` when the model takes
        too long."""
        session = served.SESSIONS.used(self.graph)
        if session is None:
            return None
        started = perf_counter()
        found = session.again(self.form, numbers, self.policy.limit_s)
        took_ms = (perf_counter() - started) * 1000
        return None if found is None else self.told(found, took_ms, event)

    def answers(self, events: Sequence[HttpRequest], given: Sequence[list[Raw]]) -> Sequence[HttpResponse | None]:
        """`answer` for each of these, of whom there are no more than may share a run."""
        session = served.SESSIONS.used(self.graph)
        if session is None:
            return [None] * len(events)
        started = perf_counter()
        found = self.shared(session, given)
        took_ms = (perf_counter() - started) * 1000
        if found is None:
            return [None] * len(events)
        each = zip(*map(pieces, found, self.sizes), strict=True)
        return [self.told(mine, took_ms, event) for mine, event in zip(each, events, strict=True)]

    def shared(self, session: Session, given: Sequence[list[Raw]]) -> Sequence[bytes] | None:
        """The outputs of one run for all of these, or None where one of them fails the model."""
        names, shapes = self.form
        form = names, tuple([(shape[0] * len(given), *shape[1:]) for shape in shapes])
        inputs = list(map(b"".join, zip(*given, strict=True)))
        found = session.again(form, inputs, self.policy.limit_s)
        if found is None:  # so many have not come together lately
            values = {
                name: Value(datatype, shape, data)
                for (name, datatype, _), shape, data in zip(session.inputs, form[1], inputs, strict=True)
            }
            try:
                outputs = session.run(values, names, self.policy.limit_s)
            except Rejected as error:
                if error.code == "too_slow":
                    raise
                return None
            found = [value.data for value in outputs.values()]
        sizes = [size * len(given) for size in self.sizes]
        return found if list(map(len, found)) == sizes else None

    def numbers(self, event: HttpRequest) -> list[Raw] | None:
        """The values of the inputs, or None where this is another request."""
        given = event.headers
        if given.get("content-type") != self.content_type or "content-encoding" in given:
            return None
        if not self.since < event.at < self.ends:
            return None
        return self.reads.numbers(event.body)

    def told(self, found: Sequence[bytes], took_ms: float, event: HttpRequest) -> HttpResponse | None:
        """The answer of which these are the outputs."""
        prediction = self.prediction + unique().encode()
        texts: list[bytes] = []
        if self.listed:
            try:
                texts = [in_json(found[place], spec) for place, spec in self.listed]
            except Rejected:  # NaN, say
                return None
        body = self.said % (prediction, prediction, took_ms, *texts)
        headers = {**self.headers, AGE: str((event.at - self.since) // MILLISECOND)}
        if self.raw:
            headers[HEADER] = str(len(body))
            body = b"".join([body, *[found[place] for place in self.raw]])
        if len(body) >= wire.WORTH_COMPRESSING:
            body = wire.deflated(body, event.headers.get("accept-encoding", ""), headers)
        return HttpResponse(200, body, headers)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def in_json(data: bytes, spec: Spec) -> bytes:
    return orjson.dumps(tensors.encode(Value(spec.datatype, spec.shape, data), spec.name))


def learned(work: Work, answer: HttpResponse) -> Known | Literal[False]:
    """How to answer the like of this request from now on, or False where the ordinary way is the only one."""
    version, asked, headers = work.version, work.asked, work.event.headers
    session = served.SESSIONS.peek((version.artifact, None)) if version else None
    if not (version and session and asked and repeatable(work, answer)):
        return False
    reads = reads_raw(work, session.inputs) or reads_list(work, session.inputs)
    if reads is None:
        return False
    told = [(version.names.index(name), asked.binary if raw is None else raw) for name, raw, _ in wanted(work)]
    outputs = [Spec(name, *work.outputs[name][:2]) for name in version.names]
    sizes = tuple([work.outputs[name].weight for name in version.names])
    runs = session.again_bytes // (sum(sizes) + sum(value.weight for value in work.values.values()) or 1)
    if not runs:
        return False
    hour = windows.Window(work.prediction.hour)
    return Known(
        version,
        work.policy,
        work.live.at,
        min(work.live.until, hour.end),
        (version.artifact, None),
        headers.get("content-type"),
        reads,
        (version.names, tuple([work.values[spec.name].shape for spec in session.inputs])),
        sizes,
        max(1, min(runs, MOST_TOGETHER // work.count)) if version.rowwise and all(sizes) else 1,
        tuple([place for place, raw in told if raw]),
        tuple([(place, outputs[place]) for place, raw in told if not raw]),
        gapped(work, answer),
        f"{work.model}.{hour.name}.".encode(),
        {name: said for name, said in answer.headers.items() if name not in (AGE, HEADER)},
    )


def repeatable(work: Work, answer: HttpResponse) -> bool:
    """Whether the same request, come again, is answered by the same version, with numbers, and nobody else is told."""
    policy = work.policy
    watched = policy.capture.share or policy.guardrails or policy.contained
    by_chance = work.live.standing.weights and not work.route.version
    texts = any(value.datatype == TEXT for value in work.outputs.values()) or any(one.classes for one in wanted(work))
    encoded = "content-encoding" in work.event.headers or "vary" in answer.headers
    return not (watched or work.id or by_chance or texts or encoded)


def wanted(work: Work) -> tuple[wire.Wanted, ...]:
    return (work.asked and work.asked.wanted) or wire.each(tuple(work.outputs))


def reads_raw(work: Work, inputs: Sequence[Spec]) -> Behind | None:
    """How to read this request, if all in it is raw numbers behind the JSON."""
    at = int(work.event.headers.get(HEADER, 0))
    before, places = work.event.body[:at], {}
    if not 0 < at <= wire.REMEMBERED:
        return None
    for name, (datatype, _, size) in wire.remembered(before, work.model).inputs:
        if type(size) is not int or datatype not in wire.NUMBERS:
            return None
        places[name] = slice(at, at + size)
        at += size
    return Behind(before, at, tuple([places[spec.name] for spec in inputs]))


def reads_list(work: Work, inputs: Sequence[Spec]) -> Listed | None:
    """How to read this request, if it is a list of numbers in the midst of what was said before."""
    body = work.event.body
    found = wire.surroundings(body)
    if found is None or HEADER in work.event.headers or len(inputs) != 1:
        return None
    before, after = body[: found[0]], body[found[1] :]
    known = wire.around(before, after, work.model)
    if known is None or (datatype := known.inputs[0][1].datatype) == TEXT:
        return None
    return Listed(before, after, Spec(inputs[0].name, datatype, known.inputs[0][1].shape))


def gapped(work: Work, answer: HttpResponse) -> bytes:
    """The JSON of an answer, with gaps where the next one differs."""
    gap = f"<{work.prediction.unique}>"
    said = orjson.loads(answer.body[: int(answer.headers.get(HEADER, len(answer.body)))])
    said["id"] = said["parameters"]["prediction"] = said["parameters"]["milliseconds"] = gap
    for output in said["outputs"]:
        if "data" in output:
            output["data"] = gap
    pieces = orjson.dumps(said).replace(b"%", b"%%").split(b'"%b"' % gap.encode())
    start, between, before_time, *rest = pieces
    return b'%b"%%b"%b"%%b"%b%%.3f' % (start, between, before_time) + b"%b".join(rest)
