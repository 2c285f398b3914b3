"""The catalogue as a picture, so that the README cannot tell another story than the code.

`python -m samara.picture README.md` renews the picture between the two markers of a file.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from samara import catalogue
from samara.catalogue import Catalogue, Created, Every, Failed, Function, Http, Trigger
from samara.errors import Rejected

BEGIN, END = "<!-- picture: begin -->", "<!-- picture: end -->"
ENDS = ("captures/", "feedback/", "aliases/", "models/", "quarantine/", "scores/")
MOST_READ = 11


def drawn(functions: Catalogue) -> str:
    """A Mermaid flow chart: what wakes each function, what it writes, and what that wakes."""
    return "\n".join(["```mermaid", "flowchart LR", *lines(functions), "```"])


def lines(functions: Catalogue) -> Iterator[str]:
    yield "  classDef prefix fill:none,stroke-dasharray:3"
    for function in functions:
        yield f'  {function.name}["<b>{function.name}</b><br/>{function.does}"]'
    prefixes = dict.fromkeys(prefix for function in functions for prefix in shown(function, functions))
    for prefix in prefixes:
        yield f'  {node(prefix)}[("{prefix}")]:::prefix'
    for function in functions:
        for trigger in function.on:
            yield f"  {source(trigger)} --> {function.name}"
        for prefix in shown(function, functions):
            if prefix in function.creates + function.swaps:
                yield f"  {function.name} --> {node(prefix)}"
        for prefix in consulted(function):
            yield f"  {node(prefix)} -.-> {function.name}"
        if function.job:
            yield f'  {function.name} --> {function.name}_job[["its batch job"]]'
            for prefix in function.job.creates:
                if prefix in prefixes:
                    yield f"  {function.name}_job --> {node(prefix)}"


def consulted(function: Function) -> list[str]:
    """What a function reads at the ends of the road. Of those that read everything, nothing: it says nothing."""
    if len(function.reads) > MOST_READ:
        return []
    return [prefix for prefix in function.reads if prefix in ENDS and prefix not in function.writes]


def shown(function: Function, functions: Catalogue) -> list[str]:
    """Of the prefixes a function has to do with: those that wake somebody, and the ends of the road."""
    waking = [prefix for other in functions for prefix in other.wakes_on]
    touched = (*function.wakes_on, *function.writes)
    return [prefix for prefix in dict.fromkeys(touched) if prefix in (*waking, *ENDS)]


def source(trigger: Trigger) -> str:
    match trigger:
        case Created():
            return node(trigger.prefix)
        case Http():
            name = trigger.path.strip("/").replace("/", "_") or "root"
            return f'http_{name}(["{"/".join(trigger.methods)} {trigger.path}"])'
        case Every():
            return f'every_{trigger.period}(("every {trigger.period}"))'
        case Failed():
            return 'given_up(("given up"))'


def node(prefix: str) -> str:
    return "p_" + prefix.strip("/").replace("/", "_")


def renewed(text: str, functions: Catalogue) -> str:
    """`text` with the picture between its markers as the catalogue is now."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise Rejected("picture", f"the text has no {BEGIN} with an {END} after it; write both where it belongs")
    return f"{before}{BEGIN}\n{drawn(functions)}\n{END}{after}"


if __name__ == "__main__":
    page = Path(sys.argv[1])
    page.write_text(renewed(page.read_text(), catalogue.load()))
