"""Refused rows as people can mend them: JSON lines with the row's number, its values and every reason. Pure."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from functions.validate.rules import Judged
from functions.validate.typed import is_text
from samara.core.digests import canonical


def lines(rows: Any, judged: Judged, offset: int, most: int) -> Iterator[bytes]:
    """The first `most` refused rows of a record batch whose first row has number `offset` + 1."""
    places = np.flatnonzero(judged.refused)[:most]
    if not places.size:
        return
    concerned = rows.take(pa.array(places))
    values = {name: shown(concerned.column(number)) for number, name in enumerate(rows.schema.names)}
    for number, place in enumerate(places.tolist()):
        reasons = [
            {"code": promise.check, "column": promise.column, "why": promise.why}
            for promise, broken in judged.broken
            if broken[place]
        ]
        said = {name: column[number] for name, column in values.items()}
        yield canonical({"row": offset + place + 1, "values": said, "reasons": reasons}) + b"\n"


def shown(column: Any) -> list[Any]:
    """The values as JSON can say them."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if is_text(column.type) or pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return list(column.to_pylist())
    if pa.types.is_floating(column.type):
        return [v if v is None or math.isfinite(v) else str(v) for v in column.to_pylist()]
    try:
        return list(pc.cast(column, pa.string()).to_pylist())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return [f"({column.type})"] * len(column)
