"""What must hold of every deployment, on every cloud. A rule is a function from a graph to its complaints.

What a cloud's resources come to in the catalogue's words is read by that cloud's own `Facts` (`policies_aws` and so
on); the rules over it are here, so that "least privilege" means one thing everywhere.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from functions.catalogue import CATALOGUE
from samara import costs
from samara.catalogue import Every, overlap, submitter
from tests.infra.graph import Graph, Resource, walk

Rule = Callable[[Graph], Iterator[str]]
READ, CREATE, SWAP = "read", "create", "swap"
SUFFIX = len("-1234567")  # what Pulumi adds to a name that it chooses itself
LOOKS = re.compile("read|get|list", re.IGNORECASE)  # a verb that makes nothing appear
CODE = "code/"  # where a job finds its package
ALL_JOBS = f"{submitter(CATALOGUE).name} job"  # the one identity of all jobs, named for the first who submits one


@dataclass(frozen=True, slots=True)
class Facts:
    """`access` is who may do what under which prefix, `wakes` whom an object under which prefix wakes.

    Who is a function's name, or `train job` for the jobs that functions submit. `read` covers listing, `swap` covers
    all of reading, writing over and deleting.
    """

    access: frozenset[tuple[str, str, str]]
    wakes: frozenset[tuple[str, str]]
    ticks: frozenset[tuple[str, str]]
    answering: frozenset[str]
    with_dead_letters: frozenset[str]


Reader = Callable[[Graph], Facts]


def catalogued() -> Facts:
    """What the catalogue alone says there should be."""
    access, wakes, ticks, answering = set(), set(), set(), set()
    for function in CATALOGUE:
        access |= {(function.name, READ, prefix) for prefix in function.reads if prefix not in function.swaps}
        access |= {(function.name, CREATE, prefix) for prefix in function.creates}
        access |= {(function.name, SWAP, prefix) for prefix in function.swaps}
        wakes |= {(function.name, prefix) for prefix in function.wakes_on}
        ticks |= {(function.name, on.in_a_cloud) for on in function.on if isinstance(on, Every)}
        answering |= {function.name for on in function.on if hasattr(on, "methods")}
        if function.job:
            access |= {(ALL_JOBS, READ, prefix) for prefix in (*function.job.reads, CODE)}
            access |= {(ALL_JOBS, CREATE, prefix) for prefix in function.job.creates}
    named = frozenset(function.name for function in CATALOGUE)
    return Facts(frozenset(access), frozenset(wakes), frozenset(ticks), frozenset(answering), named)


def shared(reader: Reader, taggable: Mapping[str, str], limits: Mapping[str, int]) -> dict[str, Rule]:
    """The rules of every cloud. `taggable` names the input that holds tags, `limits` the longest name, by type."""
    return {
        "least privilege": lambda graph: least_privilege(reader(graph)),
        "no echo": lambda graph: no_echo(reader(graph)),
        "wakes": lambda graph: wakes_as_catalogued(reader(graph)),
        "dead letters": lambda graph: dead_letters(reader(graph)),
        "no standing charge": no_standing_charge,
        "names": lambda graph: names_fit(graph, limits),
        "tags": lambda graph: tagged(graph, taggable),
    }


def broken(graph: Graph, rules: Mapping[str, Rule]) -> dict[str, list[str]]:
    """The complaints of each rule that has any."""
    said = {name: list(rule(graph)) for name, rule in rules.items()}
    return {name: complaints for name, complaints in said.items() if complaints}


def least_privilege(facts: Facts) -> Iterator[str]:
    """Access is exactly what the catalogue says: what is missing would fail, what is too much could harm."""
    wanted = catalogued().access
    for who, verb, prefix in sorted(facts.access - wanted):
        yield f"{who} may {verb} {prefix}, which its catalogue entry does not say"
    for who, verb, prefix in sorted(wanted - facts.access):
        yield f"{who} may not {verb} {prefix}, which its catalogue entry says"


def no_echo(facts: Facts) -> Iterator[str]:
    """No function may write where it listens, nor may its job: it would wake itself for ever."""
    for who, verb, written in sorted(facts.access):
        name = who.removesuffix(" job")
        for woken, prefix in sorted(facts.wakes):
            if not LOOKS.search(verb) and woken == name and overlap(written, prefix):
                yield f"{who} may {verb} {written}, and {prefix} wakes {name}"


def wakes_as_catalogued(facts: Facts) -> Iterator[str]:
    """Each function is woken by what its entry says, and by nothing else."""
    wanted = catalogued()
    for what, have, want in (
        ("prefix", facts.wakes, wanted.wakes),
        ("clock", facts.ticks, wanted.ticks),
        ("request", {(name, "") for name in facts.answering}, {(name, "") for name in wanted.answering}),
    ):
        for name, why in sorted(have ^ want):
            yield f"{name}: {what} {why} {'wakes it' if (name, why) in have else 'does not wake it'}"


def dead_letters(facts: Facts) -> Iterator[str]:
    """What a function gave up is kept, and told to people."""
    for name in sorted(catalogued().with_dead_letters - facts.with_dead_letters):
        yield f"{name}: what it gives up is lost"


def no_standing_charge(graph: Graph) -> Iterator[str]:
    """While nothing happens, nothing costs. A type that the price list does not know is refused too."""
    for line in costs.idle([(one.type, one.name, one.inputs) for one in graph.resources]):
        if line.usd is None:
            yield f"{line.name}: what a {line.type} costs while idle is not in samara.costs"
        elif line.usd:
            yield f"{line.name}: costs {line.usd:.2f} USD a month while idle ({line.why})"


def names_fit(graph: Graph, limits: Mapping[str, int]) -> Iterator[str]:
    """Every name is unique, and no longer than the cloud takes it."""
    seen: set[str] = set()
    for one in graph.resources:
        if one.name in seen:
            yield f"{one.name}: two things have this name"
        seen.add(one.name)
        length = longest_name(one)
        if length > limits.get(one.type, length):
            yield f"{one.name}: its name has {length} characters; at most {limits[one.type]} fit"


def longest_name(resource: Resource) -> int:
    """How long its name in the cloud will be, with the suffix where Pulumi chooses it."""
    for given in ("name", "bucket", "accountId", "accountName", "resourceName"):
        text = resource.inputs.get(given)
        if isinstance(text, str) and "${" not in text:
            return len(text)
    return len(resource.name) + SUFFIX


def tagged(graph: Graph, taggable: Mapping[str, str]) -> Iterator[str]:
    """Everything that can be labelled says to which deployment it belongs."""
    for one in graph.resources:
        field = taggable.get(one.type)
        if field and "samara" not in (one.inputs.get(field) or {}):
            yield f"{one.name}: does not say that it is Samara's"


def texts(resource: Resource) -> Iterator[tuple[str, str]]:
    """(path, text) of every text among its inputs."""
    for path, value in walk(resource.inputs):
        if isinstance(value, str):
            yield path, value
