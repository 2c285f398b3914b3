"""What an uploaded file is: by its content first, and by its name where content does not tell.

The name only ever decides whether a file is taken, never how it is read: the same bytes are the same batch.
"""

import re
from enum import StrEnum

from functions.ingest.refusals import Unfit

HEAD = 4096  # bytes from which a format is told


class Packing(StrEnum):
    NONE = ""
    GZIP = "gzip"
    ZSTD = "zstd"


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"
    PARQUET = "parquet"


GZIP, ZSTD, PARQUET, ENCRYPTED = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PAR1", b"PARE"
AS_TABLE = "save the table as CSV, JSON lines or Parquet"
FOREIGN: tuple[tuple[bytes, str, str], ...] = (
    (ENCRYPTED, "an encrypted Parquet file", "write it without encryption"),
    (b"PK\x03\x04", "a ZIP archive or a workbook", "unpack it, or save the sheet as CSV"),
    (b"PK\x05\x06", "an empty ZIP archive", "upload the table itself"),
    (b"PK\x07\x08", "a ZIP archive in parts", "unpack it"),
    (b"ARROW1", "an Arrow IPC file", "write it as Parquet"),
    (b"\xff\xff\xff\xff", "an Arrow IPC stream", "write it as Parquet"),
    (b"\xfd7zXZ\x00", "packed with xz", "use gzip or zstd"),
    (b"\x04\x22\x4d\x18", "packed with lz4", "use gzip or zstd"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "use gzip or zstd"),
    (b"Rar!\x1a", "a RAR archive", "use gzip or zstd"),
    (b"SQLite format 3\x00", "an SQLite database", AS_TABLE),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "save the sheet as CSV"),
    (b"\x93NUMPY", "a NumPy array", AS_TABLE),
    (b"\x89HDF", "an HDF5 file", AS_TABLE),
    (b"Obj\x01", "an Avro file", AS_TABLE),
    (b"ORC\x0a", "an ORC file", AS_TABLE),
    (b"%PDF-", "a PDF document", AS_TABLE),
    (b"\x89PNG", "a picture", AS_TABLE),
    (b"\xff\xd8\xff", "a picture", AS_TABLE),
    (b"\x7fELF", "a program", AS_TABLE),
)
FOREIGN_SHAPES: tuple[tuple[re.Pattern[bytes], str, str], ...] = (
    (re.compile(rb"\x80[\x02-\x05]"), "a Python pickle, which is never opened here", AS_TABLE),
    (re.compile(rb"BZh[1-9]1AY&SY"), "packed with bzip2", "use gzip or zstd"),
    (
        re.compile(rb"\s*<(?:!doctype|!--|html|head|body|\?xml|svg)", re.IGNORECASE),
        "a web page or XML",
        "upload the table itself; was it a login page that got downloaded?",
    ),
)
OBJECT = re.compile(rb'\s*\{\s*["}]')
ARRAY = re.compile(rb"\s*\[\s*[\[{\]]")

TEXT = ("csv", "tsv", "txt", "")
JSON = ("jsonl", "ndjson", "json")
PACKED = ("gz", "gzip", "zst", "zstd")


def packing(head: bytes) -> Packing:
    """How the upload is packed, or `Unfit` when it is nothing that holds a table."""
    if head.startswith(GZIP):
        return Packing.GZIP
    if head.startswith(ZSTD):
        return Packing.ZSTD
    refuse_foreign(head)
    return Packing.NONE


def is_parquet(head: bytes) -> bool:
    return head.startswith(PARQUET)


def refuse_inside(head: bytes) -> None:
    """`Unfit` for what may not lie inside gzip or zstd."""
    if head.startswith((GZIP, ZSTD)):
        raise Unfit("file", "is packed twice; unpack it once", code="unsupported_format")
    if is_parquet(head):
        why = "is Parquet inside gzip or zstd; upload the Parquet file, which is packed already"
        raise Unfit("file", why, code="unsupported_format")
    refuse_foreign(head)


def refuse_foreign(head: bytes) -> None:
    for magic, what, way_out in FOREIGN:
        if head.startswith(magic):
            raise Unfit("file", f"is {what}; {way_out}", code="unsupported_format")
    for shape, what, way_out in FOREIGN_SHAPES:
        if shape.match(head):
            raise Unfit("file", f"is {what}; {way_out}", code="unsupported_format")
    if head[257:262] == b"ustar":
        raise Unfit("file", "is a tar archive; unpack it", code="unsupported_format")


def of_text(head: bytes, name: str) -> Format:
    """CSV or JSON lines, from the beginning of a text in UTF-8 and the name of its file."""
    ending = extension(name)
    if len(head) < HEAD and not head.strip():
        raise Unfit("file", "is empty; upload a header and at least one row", code="empty_file")
    if OBJECT.match(head):
        return Format.JSONL
    if ARRAY.match(head) or (ending in JSON and head.lstrip().startswith(b"[")):
        why = "is one JSON array; write one object on each line (jq -c '.[]' does it)"
        raise Unfit("file", why, code="bad_json")
    if ending in JSON:
        why = f"is named .{ending} but does not start with a JSON object; rename it to .csv if that is what it is"
        raise Unfit("file", why, code="unsupported_format")
    if ending == "parquet":
        raise Unfit("file", "is named .parquet but does not start with PAR1; write it again", code="bad_parquet")
    if ending not in TEXT:
        why = f"has the ending .{ending}; name it .csv, .tsv, .jsonl or .parquet (.gz and .zst may follow)"
        raise Unfit("file", why, code="unsupported_format")
    return Format.CSV


def extension(name: str) -> str:
    """The ending that names a format, in lower case: that of packing is looked through.

    >>> extension("landing/flights/Monday.CSV.gz"), extension("landing/flights/monday")
    ('csv', '')
    """
    parts = name.rpartition("/")[2].lower().split(".")[1:]
    while parts and parts[-1] in PACKED:
        parts.pop()
    return parts[-1] if parts else ""


def described(kind: Format, packed: Packing) -> str:
    """
    >>> described(Format.CSV, Packing.GZIP)
    'csv+gzip'
    """
    return f"{kind}+{packed}" if packed else str(kind)
