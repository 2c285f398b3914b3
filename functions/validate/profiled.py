"""Typed Arrow rows as a mergeable profile. Pure."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from samara.core import profile
from samara.core.profile import Profile


def profiled(rows: Any) -> Profile:
    """The profile of a record batch whose columns have a contract's types."""
    columns = {name: of(rows.column(number)) for number, name in enumerate(rows.schema.names)}
    return Profile(rows=rows.num_rows, columns=columns)


def of(column: Any) -> profile.Column:
    missing = column.null_count
    values = column.drop_null()
    if pa.types.is_boolean(column.type):
        trues = int(pc.sum(pc.cast(values, pa.int64())).as_py() or 0)
        counts = {"false": len(values) - trues, "true": trues}
        return profile.categories({name: count for name, count in counts.items() if count}, missing)
    if pa.types.is_string(column.type):
        counted = values.value_counts()
        names, times = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
        return profile.categories(dict(zip(names, times, strict=True)), missing)
    if pa.types.is_temporal(column.type):
        instants = pc.cast(pc.cast(values, pa.timestamp("us", "UTC")), pa.int64())
        return profile.moments(instants.to_numpy(zero_copy_only=False) / 1e6, missing)
    return profile.numeric(values.to_numpy(zero_copy_only=False), missing)
