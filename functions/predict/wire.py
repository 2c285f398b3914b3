"""Requests and answers as bytes: JSON, JSON followed by raw tensors, and either of them compressed. Pure.

A body is read by the fastest parser there is and then proven to mean one thing only; where that fails, or anything is
refused, `strict` reads it again and has the word. What is not in the protocol is refused by name, so that a typing
mistake is not silently ignored.
"""

import heapq
import re
import zlib
from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from math import inf, isnan, prod
from struct import Struct
from typing import Any, NamedTuple

import orjson

from functions.predict import tensors
from samara.core import strict
from samara.core.strict import shown
from samara.core.tensors import TEXT, WIDTH, Value
from samara.errors import Rejected
from samara.events import HttpRequest, HttpResponse

JSON = "application/json"
RAW = "application/octet-stream"
HEADER = "inference-header-content-length"

ID = r"[A-Za-z0-9][A-Za-z0-9._:@+=/-]{0,127}"
REQUEST = frozenset(("id", "parameters", "inputs", "outputs", "model_name"))
INPUT = frozenset(("name", "shape", "datatype", "data", "parameters"))
OUTPUT = frozenset(("name", "parameters"))
MOST_TENSORS = 2048  # inputs of one request
MOST_DIMENSIONS = 16
LONGEST = 2**63 - 1  # of one dimension, as models count

INFLATES = 100  # times, beyond which a compressed body is taken for an attack; zeros deflate about 1,000 times
INFLATES_FREELY = 1 << 20  # bytes, up to which it may be as dense as it likes: an image that is all black
MOST_MEMBERS = 100  # of one gzip body: enough for 6 MiB in blocks of 64 KiB
WORTH_COMPRESSING = 32 << 10  # bytes of an answer; below, compressing takes longer than sending

BACKSLASH = ord("\\")
DATA = b'"data":'
INTEGERS = {int}
LENGTH = Struct("<I")
NOTHING = memoryview(b"")
NUMBERS = frozenset(WIDTH) - {"BOOL"}  # datatypes of which any bytes are values
BASE = bytes.__basicsize__ - 1  # where a bytes object, itself at a multiple of 16, begins to hold its bytes
REMEMBERED = 1 << 10  # bytes of JSON before raw tensors: what a client says again and again is read once
ALIGNED = 8  # bytes of the widest number
UNPROVEN = -(1 << 60)  # more colons than there can be: `strict` must judge


class Wanted(NamedTuple):
    """One output as the client asks for it. `binary` is None where the request's own wish holds; `classes` is how
    many of the largest values to name instead of giving all, 0 for all."""

    name: str
    binary: bool | None = None
    classes: int = 0


class Asked(NamedTuple):
    """A well-formed request, before anybody asked which model it is for. `wanted` is empty for all outputs.

    `inputs` are in the order in which they were sent. `binary` says whether answers go out raw unless told otherwise,
    and `follows` whether tensors come behind the JSON. Requests that say the same may share `parameters`, so nobody
    writes into them.
    """

    id: str
    parameters: dict[str, Any]
    inputs: tuple[tuple[str, Value], ...]
    wanted: tuple[Wanted, ...]
    binary: bool
    follows: bool = False


def asked(headers: Mapping[str, str], body: bytes, model: str) -> Asked:
    """The request in a body, or `Rejected` with what is wrong with it.

    Tensors that follow the JSON are views of `body`: nothing is copied but what would be misaligned.
    """
    if "content-encoding" in headers:
        body = inflated(body, headers["content-encoding"].strip().lower())
    elif len(body) > strict.LARGEST:
        raise too_large(f"has {len(body):,} bytes")
    said = headers.get(HEADER)
    if said is None:
        if headers.get("content-type", JSON) != JSON:
            strict.media_type(headers, JSON)
        if request := repeated(body, model):
            return request
        request = read(body, model)
        return filled(request, NOTHING, 0) if request.follows else request
    if headers.get("content-type", RAW) != RAW:
        strict.media_type(headers, RAW, JSON)
    length = int(said) if said.isascii() and said.isdigit() and len(said) < 10 else 0
    if not 0 < length <= len(body):
        why = f"must be how many of the {len(body):,} bytes are JSON; raw tensors follow it"
        raise Rejected(HEADER, why, code="bad_request")
    request = remembered(body[:length], model) if length <= REMEMBERED else read(body[:length], model)
    return filled(request, memoryview(body), length)


def read(head: bytes, model: str) -> Asked:
    """The request in JSON. The data of a raw tensor is, for now, how many bytes it has."""
    try:
        said = orjson.loads(head)
    except ValueError:  # no JSON at all, or 1e400, which is left to the reader of the number
        return understood(strict.value(head), model)[0]
    try:
        request, colons = understood(said, model)
    except Rejected:
        strict.value(head)
        raise
    if colons != head.count(b":") or (BACKSLASH in head and b"\\u" in head):  # of two equal keys, only one was seen
        strict.value(head)
    return request


remembered = lru_cache(256)(read)
"""Who asks with raw tensors says nearly always the same before them."""


def repeated(body: bytes, model: str) -> Asked | None:
    """The request, if it has one input, a list of numbers, and all around these has been said before; else None.

    Clients nearly always say the same around their numbers, and to look at that again takes longer than to read them.
    """
    if (found := surroundings(body)) is None:
        return None
    start, end = found
    before, after = body[:start], body[end:]
    if b'"id"' in before or b'"id"' in after or (known := around(before, after, model)) is None:
        return None
    ((name, (datatype, shape, _)),) = known.inputs
    try:
        values = tensors.flat(orjson.loads(body[start:end]), shape, name)
        value = Value(datatype, shape, tensors.decode(values, datatype, name))
    except (ValueError, Rejected):  # which `read` says better
        return None
    return Asked("", known.parameters, ((name, value),), known.wanted, known.binary)


def surroundings(body: bytes) -> tuple[int, int] | None:
    """Where the first list of numbers begins and ends, if what is said around it is short enough to be remembered."""
    start = body.find(DATA) + len(DATA)
    end = body.find(b"]", start) + 1
    return None if start < len(DATA) or not end or start + len(body) - end > REMEMBERED else (start, end)


def likeness(request: HttpRequest) -> tuple[str, str | bytes]:
    """What requests have in common that differ in their numbers alone, as far as it is quick to find."""
    body, length = request.body, request.headers.get(HEADER)
    return request.path, body[: body.find(DATA, 0, REMEMBERED) + len(DATA)] if length is None else length


@lru_cache(256)
def around(before: bytes, after: bytes, model: str) -> Asked | None:
    """The request that this makes around the numbers of its one input, with zeros for them, if it does.

    It does if any list put there becomes that input's data: so it is not inside of a string, say, nor overwritten.
    """
    try:
        for number in (1, 2):
            said = orjson.loads(b"%b[%d]%b" % (before, number, after))
            (tensor,) = said["inputs"]
            if tensor["data"] != [number]:
                return None
        count = prod(shape_of(tensor["shape"], ""))
        tensor["data"] = [0] * min(count, REMEMBERED)  # of more values it would not be quick
        request, colons = understood(said, model)
    except (ValueError, LookupError, TypeError, Rejected):
        return None
    plain = BACKSLASH not in before and BACKSLASH not in after
    return request if plain and colons == before.count(b":") + after.count(b":") else None


def filled(request: Asked, whole: memoryview, at: int) -> Asked:
    """The request with its raw tensors, which stand in `whole` from `at`.

    Models read numbers in place, and not every machine can where those straddle words: what does not begin at a
    multiple of `ALIGNED` is copied to where it does.
    """
    inputs = []
    for name, value in request.inputs:
        datatype, shape, data = value
        if type(data) is int:
            start, at = at, at + data
            if at > len(whole):
                raise short(name, data, len(whole) - start)
            data = bytes(whole[start:at]) if (BASE + start) % ALIGNED else whole[start:at]
            value = Value(datatype, shape, data if datatype in NUMBERS else unlike(data, name, datatype, shape))  # noqa: PLW2901  # now with its data
        inputs.append((name, value))
    if at != len(whole):
        why = f"has {len(whole) - at:,} bytes after its last tensor; each raw tensor says its binary_data_size"
        raise Rejected("body", why, code="bad_request")
    return Asked(request.id, request.parameters, tuple(inputs), request.wanted, request.binary, follows=True)


def short(name: str, size: int, left: int) -> Rejected:
    why = f"says it has {size:,} raw bytes, but {left:,} are left in the body"
    return Rejected(shown(name), why, code="bad_request")


def too_large(has: str) -> Rejected:
    return Rejected("body", f"{has}; {strict.LARGEST:,} are the most", code="too_large")


def too_dense() -> Rejected:
    why = f"is more than {INFLATES} times larger decompressed; send it uncompressed"
    return Rejected("body", why, code="too_large")


def inflated(body: bytes, coding: str) -> bytes:
    """A compressed body as it was, if it is whole, and neither too large nor suspiciously dense."""
    if coding not in ("gzip", "deflate", "identity"):
        raise Rejected("content-encoding", "send gzip, deflate or identity", code="media_type")
    if len(body) > strict.LARGEST:
        raise too_large(f"has {len(body):,} bytes")
    if coding == "identity":
        return body
    most = min(strict.LARGEST, max(INFLATES_FREELY, INFLATES * len(body)))
    pieces: list[bytes] = []
    size, rest = 0, body
    while rest and len(pieces) < (MOST_MEMBERS if coding == "gzip" else 1):
        member = zlib.decompressobj(zlib.MAX_WBITS | (16 if coding == "gzip" else 0))
        try:
            pieces.append(member.decompress(rest, most - size + 1))
        except zlib.error as error:
            raise Rejected("body", f"is not {coding}, as its content-encoding says", code="bad_encoding") from error
        size += len(pieces[-1])
        if size > most:
            raise too_dense() if most < strict.LARGEST else too_large(f"has more than {most:,} bytes decompressed")
        if not member.eof:
            raise Rejected("body", f"its {coding} ends too early", code="bad_encoding")
        rest = member.unused_data
    if rest:
        raise Rejected("body", f"goes on after the end of its {coding}", code="bad_encoding")
    return b"".join(pieces)


def understood(said: Any, model: str) -> tuple[Asked, int]:
    """The request that parsed JSON makes, and how many colons it was written with if no object has a key twice."""
    if type(said) is not dict or "inputs" not in said or not said.keys() <= REQUEST:
        raise strange(said, "body", ("inputs",), ("id", "parameters", "outputs", "model_name"))
    colons, follows = len(said), False
    given = said["inputs"]
    if type(given) is not list or len(given) > MOST_TENSORS:
        why = f"must be a list of tensors with one for each input, at most {MOST_TENSORS:,}"
        raise Rejected("inputs", why, code="bad_request")
    inputs = []
    for tensor in given:
        name, value, more = one_input(tensor)
        inputs.append((name, value))
        colons += more
        follows = follows or type(value[2]) is int
    if len(inputs) > 1 and len(dict(inputs)) != len(inputs):
        raise twice("inputs", [name for name, _ in inputs])
    wanted: tuple[Wanted, ...] = ()
    rest = len(said) - 1
    if "outputs" in said:
        wanted, more = outputs_of(said["outputs"])
        colons += more
        rest -= 1
    parameters: dict[str, Any] = {}
    binary = False
    if not rest:  # as nearly always
        return Asked("", parameters, tuple(inputs), wanted, binary, follows), colons
    if said.get("model_name", model) != model:
        raise Rejected("model_name", f"names another model than the address, {model}", code="bad_request")
    if "parameters" in said:
        parameters = object_of(said["parameters"])
        binary = switch(parameters, "binary_data_output") or False
        colons += 1 if binary and len(parameters) == 1 else spoken(parameters)
    id = ""  # noqa: A001  # as the protocol names it
    if "id" in said:
        id = client_id(said["id"])  # noqa: A001
        colons += id.count(":")
    return Asked(id, parameters, tuple(inputs), wanted, binary, follows), colons


def strange(said: Any, where: str, must: tuple[str, ...], may: tuple[str, ...]) -> Rejected:
    """What is wrong with something that is not an object with these fields."""
    if not isinstance(said, dict):
        return Rejected(where, f"must be an object with {', '.join(must)}", code="bad_request")
    for name in must:
        if name not in said:
            return Rejected(where, f"has no {name}", code="bad_request")
    name = next(name for name in said if name not in must + may)
    why = f"is not known here; {where} may have {', '.join(must + may)}"
    return Rejected(shown(name), why, code="unknown_field")


def twice(where: str, names: list[str]) -> Rejected:
    ((name, _),) = Counter(names).most_common(1)
    return Rejected(where, f"names the tensor {shown(name)} twice", code="bad_request")


def object_of(said: Any) -> dict[str, Any]:
    if type(said) is not dict:
        raise Rejected("parameters", "must be an object", code="bad_request")
    return said


def switch(parameters: dict[str, Any], name: str) -> bool | None:
    said = parameters.get(name)
    if said is None or type(said) is bool:
        return said
    raise Rejected(name, "must be true or false", code="bad_request")


def spoken(said: Any, deep: int = 0) -> int:
    """How many colons a JSON value was written with, if no object in it has a key twice."""
    if type(said) is str:
        return said.count(":")
    if deep > MOST_DIMENSIONS:
        return UNPROVEN
    if type(said) is dict:
        return len(said) + sum(spoken(key) + spoken(value, deep + 1) for key, value in said.items())
    if type(said) is list:
        return sum(spoken(value, deep + 1) for value in said)
    return 0


def client_id(given: Any) -> str:
    if given == "" or (type(given) is str and re.fullmatch(ID, given)):
        return str(given)
    why = "must be a string of at most 128 letters, digits and ._:@+=/-, starting with a letter or digit"
    raise Rejected("id", why, code="bad_id")


def one_input(said: Any) -> tuple[str, Value, int]:
    """A tensor by its name, and its colons."""
    try:
        name, datatype, shape = said["name"], said["datatype"], said["shape"]
    except (KeyError, TypeError) as error:
        raise strange(said, "input", TENSOR, ("data", "parameters")) from error
    if type(name) is not str or type(datatype) is not str:
        raise Rejected("input", "its name and datatype must be strings", code="bad_request")
    shape = shape_of(shape, name)
    colons = len(said) + name.count(":")
    if len(said) != 4 or "data" not in said:  # not the simplest and most frequent kind
        if not said.keys() <= INPUT:
            raise strange(said, "input", TENSOR, ("data", "parameters"))
        size, more = raw_size(said, name)
        colons += more
        if size is not None:
            sized(size, name, datatype, shape)
            return name, Value(datatype, shape, size), colons
    values = tensors.flat(said["data"], shape, name)
    value = Value(datatype, shape, tensors.decode(values, datatype, name))
    if datatype == TEXT:
        colons += "".join(values).count(":")
    return name, value, colons


TENSOR = ("name", "shape", "datatype")


def raw_size(said: dict[str, Any], name: str) -> tuple[int | None, int]:
    """How many raw bytes a tensor has, None if its data stands in the JSON; and the colons of its parameters."""
    parameters = object_of(said.get("parameters", {}))
    size = parameters.get("binary_data_size")
    if size is None:
        within_reach(parameters, name)
        if "data" not in said:
            raise Rejected(shown(name), "has no data, and no binary_data_size in its parameters", code="bad_request")
        return None, spoken(parameters)
    if "data" in said:
        raise Rejected(shown(name), "has both data and binary_data_size; send one", code="bad_request")
    if type(size) is not int or size < 0:
        raise Rejected(shown(name), "its binary_data_size must be how many bytes it has", code="bad_request")
    return size, 1 if len(parameters) == 1 else spoken(parameters)


def shape_of(said: Any, name: str) -> tuple[int, ...]:
    sizes = type(said) is list and len(said) <= MOST_DIMENSIONS and set(map(type, said)) <= INTEGERS
    if sizes and (not said or (min(said) >= 0 and max(said) <= LONGEST)):
        return tuple(said)
    why = f"its shape must be a list of at most {MOST_DIMENSIONS} sizes, none negative or enormous"
    raise Rejected(shown(name), why, code="bad_request")


def within_reach(parameters: dict[str, Any], name: str) -> None:
    for parameter in parameters:
        if parameter.startswith("shared_memory"):
            why = "is in shared memory, which is not read or written here; send it with the request"
            raise Rejected(shown(name), why, code="bad_request")


def unlike(data: Any, name: str, datatype: str, shape: tuple[int, ...]) -> Any:
    """The values in these bytes where not all bytes mean some."""
    if datatype == TEXT:
        return strings(data, prod(shape), name)
    if bytes(data).translate(None, b"\0\1"):
        raise Rejected(shown(name), "has bytes other than 0 and 1 where BOOL needs one of them", code="bad_input")
    return data


def sized(size: int, name: str, datatype: str, shape: tuple[int, ...]) -> None:
    """Refuse so many raw bytes for a tensor of numbers that takes another number of them."""
    if datatype == TEXT:
        return
    width = WIDTH.get(datatype)
    if width is None:
        raise tensors.not_served(name, datatype)
    if prod(shape) * width != size:
        why = f"has {size:,} raw bytes, which is not what its shape and {datatype} take"
        raise Rejected(shown(name), why, code="bad_input")


def strings(data: Any, count: int, name: str) -> list[bytes]:
    """Byte strings, each behind its length."""
    found: list[bytes] = []
    at, end = 0, len(data)
    while at < end:
        start = at + LENGTH.size
        at = start + LENGTH.unpack_from(data, at)[0] if start <= end else end + 1
        if at > end:
            why = f"its string {len(found) + 1:,} is longer than its raw bytes; each has its length before it"
            raise Rejected(shown(name), why, code="bad_input")
        found.append(bytes(data[start:at]))
    if len(found) != count:
        raise Rejected(shown(name), f"has {len(found):,} strings, which is not what its shape takes", code="bad_input")
    return found


def outputs_of(said: Any) -> tuple[tuple[Wanted, ...], int]:
    """Which outputs are wanted and how, and their colons."""
    if type(said) is not list:
        raise Rejected("outputs", 'must be a list of {"name": …}', code="bad_request")
    wanted, colons = [], 0
    for output in said:
        if type(output) is dict and len(output) == 1 and type(name := output.get("name")) is str:  # as nearly always
            wanted.append(Wanted(name))
            colons += 1 + name.count(":")
            continue
        if type(output) is not dict or not output.keys() <= OUTPUT or "name" not in output:
            raise strange(output, "output", ("name",), ("parameters",))
        name = output["name"]
        if type(name) is not str:
            raise Rejected("output", "its name must be a string", code="bad_request")
        colons += len(output) + name.count(":")
        parameters = object_of(output.get("parameters", {}))
        if parameters:
            colons += spoken(parameters)
            within_reach(parameters, name)
        wanted.append(Wanted(name, switch(parameters, "binary_data"), classes(parameters.get("classification", 0))))
    if len(wanted) > 1 and len({one.name for one in wanted}) != len(wanted):
        raise twice("outputs", [one.name for one in wanted])
    return tuple(wanted), colons


def classes(said: Any) -> int:
    if type(said) is not int or said < 0:
        raise Rejected("classification", "must be how many classes to name", code="bad_request")
    return said


@lru_cache(1024)
def each(names: tuple[str, ...]) -> tuple[Wanted, ...]:
    """All of these outputs, with no wishes."""
    return tuple(map(Wanted, names))


def answer(
    asked: Asked,
    *,
    model: str,
    version: str,
    id: str,  # noqa: A002  # as the protocol names it
    parameters: dict[str, Any],
    outputs: Mapping[str, Value],
    accept_encoding: str = "",
    headers: Mapping[str, str] | None = None,
    listed: Mapping[str, list[Any]] | None = None,
) -> HttpResponse:
    """The answer of a model, of all `outputs` or of those that were wanted, each as it was wanted.

    `headers` go out besides those that say what the body is. `listed` are the outputs' values as JSON has them, of
    those for which that is known already.
    """
    told: list[dict[str, Any]] = []
    follow: list[Any] = []
    for name, binary, most in asked.wanted or each(tuple(outputs)):
        value = classified(outputs[name], most, name) if most else outputs[name]
        datatype, shape, data = value
        if asked.binary if binary is None else binary:
            data = joined(data) if datatype == TEXT else data
            size = {"binary_data_size": len(data) if type(data) is bytes else memoryview(data).nbytes}
            told.append({"name": name, "datatype": datatype, "shape": shape, "parameters": size})
            follow.append(data)
        else:
            known = None if most or listed is None else listed.get(name)
            data = tensors.encode(value, name) if known is None else known
            told.append({"name": name, "datatype": datatype, "shape": shape, "data": data})
    said = {"model_name": model, "model_version": version, "id": id, "parameters": parameters, "outputs": told}
    body = orjson.dumps(said)
    sent = {"content-type": JSON, **(headers or {})}
    if follow:
        sent["content-type"], sent[HEADER] = RAW, str(len(body))
        body = b"".join((body, *follow))
    if len(body) >= WORTH_COMPRESSING:
        body = deflated(body, accept_encoding, sent)
    return HttpResponse(200, body, sent)


def joined(texts: list[bytes]) -> bytes:
    """Byte strings as one, each behind its length."""
    return b"".join([part for text in texts for part in (LENGTH.pack(len(text)), text)])


def classified(value: Value, most: int, name: str) -> Value:
    """The `most` largest numbers of each row as `number:index`, the largest first, of equal ones the earlier."""
    rankable(value, name)
    numbers = [-inf if isnan(number) else number for number in tensors.plain(value, name)]
    rows = value.shape[0] if len(value.shape) > 1 else 1
    each = len(numbers) // rows if rows else 0
    found: list[bytes] = []
    for start in range(0, rows * each, each or 1):
        best = heapq.nlargest(most, range(start, start + each), key=numbers.__getitem__)
        found += [f"{numbers[at]}:{at - start}".encode() for at in best]
    top = min(most, each)
    return Value(TEXT, (rows, top) if len(value.shape) > 1 else (top,), found)


def rankable(value: Value, name: str) -> None:
    """Raises `Rejected` unless these values are numbers, which alone can be ranked."""
    if value.datatype in (TEXT, "BOOL"):
        raise Rejected(name, f"answers with {value.datatype}, which cannot be ranked", code="bad_output")


def deflated(body: bytes, accepted: str, headers: dict[str, str]) -> bytes:
    """`body` in the first coding of ours that the client accepts, said in its headers; as it is if there is none."""
    if not accepted:
        return body
    headers["vary"] = "accept-encoding"
    for coding, bits in (("gzip", zlib.MAX_WBITS | 16), ("deflate", zlib.MAX_WBITS)):
        if accepts(accepted, coding):
            headers["content-encoding"] = coding
            work = zlib.compressobj(1, zlib.DEFLATED, bits)
            return work.compress(body) + work.flush()
    return body


def accepts(accepted: str, coding: str) -> bool:
    """
    >>> accepts("br, gzip;q=0.5", "gzip"), accepts("gzip;q=0", "gzip"), accepts("*", "deflate"), accepts("br", "gzip")
    (True, False, True, False)
    """
    weights: dict[str, str] = {}
    for part in accepted.lower().replace(" ", "").split(","):
        name, _, weight = part.partition(";q=")
        weights[name] = weight or "1"
    return weights.get(coding, weights.get("*", "0")).strip("0.") != ""
