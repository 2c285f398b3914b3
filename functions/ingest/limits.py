"""How much one upload may cost, so that no file, however it was made, brings the function down."""

from dataclasses import dataclass

KB, MB, GB = 1 << 10, 1 << 20, 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """All sizes are bytes. The defaults fit a function of 1 GB memory and 15 minutes."""

    source: int = 5 * GB  # the largest object that every cloud takes in one request
    plain: int = 8 * GB  # what can be read in 15 minutes on less than one core, with room to spare
    ratio: int = 200  # tables compress 3 to 50 times; bombs a thousand times and more
    ratio_from: int = 64 * MB  # below this a high ratio harms nobody: a constant column reaches it honestly
    columns: int = 2_000  # wider tables are matrices, and each column costs memory in every part
    name: int = 255  # characters of a column name: what databases downstream can hold
    row: int = 16 * MB  # a row is held whole in memory, several times over
    rows: int = 50_000_000
    cells: int = 2_000_000_000  # absent values cost nothing in a file, but each costs time and a place here
    depth: int = 32  # of a nested JSON value, as people write them
    row_groups: int = 10_000  # of a Parquet file; more are a mistake of its writer
    disk_share: float = 0.5  # of the disk for temporary files; who takes less of a full one is not why it is full
    memory: int = 512 * MB  # to read a Parquet file with: its pages, and texts inside them, may claim to be any size
    footer: int = 32 * MB  # of a Parquet file: it is decoded whole before anything can be checked
    refused_share: float = 0.5  # beyond it the file is not what its sender thinks, and none of it is taken

    refused_rows: int = 1_000_000  # each bad row costs a hundred good ones; so many are one mistake

    block: int = 4 * MB  # of text parsed at once
    careful: int = 256 * KB  # of text read row by row at once, where a block holds a bad row
    table_cells: int = 1 << 20  # of JSON values held as Python objects at once
    row_group: int = 32 * MB  # of a part we write
    part: int = 256 * MB  # uncompressed, so that a reader may load one part whole
    part_rows: int = 1_000_000  # from which a part is full; it ends with its row group


LIMITS = Limits()
