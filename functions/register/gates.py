"""What a version must show before it goes live. Pure: each gate says whether it passed, and why (not)."""

from collections.abc import Mapping, Sequence

from samara.core.definition import HIGHER_IS_BETTER, Gates
from samara.core.metrics import reaches
from samara.core.records import Gate, Parity, Signature
from samara.scoring import OUTPUTS

CLOSE = 1e-5  # how far the same metric of the same model may differ between two machines
NOT_ASKED = "not asked: the model is not safe to load"


def safe(flaws: Sequence[str]) -> Gate:
    return Gate(name="safe", passed=not flaws, why="; ".join(flaws)[:2000] or "nothing in it refers, loops or grows")


def signature(found: Signature, claimed: Signature, features: Mapping[str, str], task: str) -> Gate:
    """Whether the graph takes the definition's features, no more and no less, and answers as it was said to.

    `features` gives the datatype of each; their order does not matter, for they are asked by name.
    """
    problems = []
    given = {tensor.name: tensor for tensor in found.inputs}
    problems += [
        f"takes no {name!r}, which is a feature: use it or leave it out" for name in features if name not in given
    ]
    problems += [f"takes {name!r}, which is no feature" for name in given if name not in features]
    problems += [
        f"takes {name!r} as {given[name].datatype} {list(given[name].shape)}, and will be asked as {datatype} [-1, 1]"
        for name, datatype in features.items()
        if name in given and (given[name].datatype, given[name].shape) != (datatype, (-1, 1))
    ]
    outputs = [tensor.name for tensor in found.outputs]
    if sorted(outputs) != sorted(OUTPUTS[task]):
        problems.append(f"answers with {', '.join(outputs)}; {task} answers with {' and '.join(OUTPUTS[task])}")
    if found != claimed:
        problems.append("is not what the job said it is")
    return Gate(
        name="signature", passed=not problems, why="; ".join(problems)[:2000] or "the features, by name and type"
    )


def parity(measured: Parity) -> Gate:
    figures = f"{measured.largest_difference:.2g} on {measured.rows:,} rows, tolerance {measured.tolerance:g}"
    agreed = measured.agreed and measured.rows > 0 and measured.largest_difference <= measured.tolerance
    words = "agrees with its framework" if agreed else "disagrees with its framework, or its labels with its scores"
    return Gate(name="parity", passed=agreed, why=f"{words}: off by at most {figures}")


def honest(claimed: Mapping[str, float], measured: Mapping[str, float]) -> Gate:
    """Whether the metrics the job claimed are those measured again here."""
    wrong = [
        f"{name}: claimed {claimed.get(name)}, measured {measured.get(name)}"
        for name in sorted({*claimed, *measured})
        if name not in claimed or name not in measured or not near(claimed[name], measured[name])
    ]
    return Gate(name="measured", passed=not wrong, why="; ".join(wrong) or "measured again, with the same figures")


def near(one: float, other: float) -> bool:
    """
    >>> near(0.7, 0.7000001), near(0.7, 0.71), near(float("nan"), 0.7)
    (True, False, False)
    """
    return abs(one - other) <= CLOSE * max(1.0, abs(other))


def threshold(gates: Gates, metrics: Mapping[str, float]) -> Gate:
    """Whether the metric reaches `at_least` and keeps below `at_most`."""
    value = metrics.get(gates.metric)
    if value is None:
        return Gate(name="threshold", passed=False, why=f"{gates.metric} could not be measured")
    bounds = []
    if gates.at_least is not None:
        bounds.append((value >= gates.at_least, f"at least {gates.at_least:g}"))
    if gates.at_most is not None:
        bounds.append((value <= gates.at_most, f"at most {gates.at_most:g}"))
    wanted = " and ".join(words for _, words in bounds) or "nothing in particular"
    return Gate(
        name="threshold",
        passed=all(kept for kept, _ in bounds),
        why=f"{gates.metric} is {value:.6g}, asked is {wanted}",
    )


def improvement(
    gates: Gates, metrics: Mapping[str, float], champion: int | None, compared: Mapping[str, float], trouble: str = ""
) -> Gate:
    """Whether the metric is better than the champion's on the same rows, by `improves_by` and by something."""
    if champion is None:
        return Gate(name="improvement", passed=True, why="the first version: there is no champion to compare it with")
    if trouble or gates.metric not in metrics or gates.metric not in compared:
        why = trouble or f"{gates.metric} could not be measured"
        return Gate(name="improvement", passed=False, why=f"cannot be compared with v{champion}: {why}")
    mine, theirs = metrics[gates.metric], compared[gates.metric]
    gain = mine - theirs if HIGHER_IS_BETTER[gates.metric] else theirs - mine
    asked = f"by at least {gates.improves_by:g}" if gates.improves_by else "by anything"
    why = f"{gates.metric} {mine:.6g} against {theirs:.6g} of v{champion} on the same rows; asked is better {asked}"
    return Gate(name="improvement", passed=gain > 0 and reaches(gain, gates.improves_by), why=why)
