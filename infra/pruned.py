"""What the distributions bring that no function of ours ever loads, each with its reason."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple


class Pruned(NamedTuple):
    """What lies under `pattern`, in which a star stands for slashes too, but for what is under one of `keeps`.

    It holds in every package, in all but those of `but_for`, or in those of `only_for` alone. What holds in some begins
    with the name of its distribution.
    """

    pattern: str
    why: str
    keeps: tuple[str, ...] = ()
    but_for: tuple[str, ...] = ()
    only_for: tuple[str, ...] = ()

    def holds(self, distribution: str, package: str) -> bool:
        if not self.but_for and not self.only_for:
            return True
        wanted = package in self.only_for if self.only_for else package not in self.but_for
        return wanted and self.pattern.startswith(f"{distribution}/")


SERVICES = ("batch", "events", "s3", "sts")  # of AWS: what samara.providers.aws calls, and who it is
ASKED_FOR = (
    "*/METADATA",
    "*/entry_points.txt",
    "*/licenses/*",
    "*/LICEN[CS]E*",
    "*/NOTICE*",
)  # by programs and lawyers
PRUNED = (
    # whatever the distribution
    Pruned(".lock", "uv's own"),
    Pruned("bin/*", "scripts, which name the interpreter of the machine that installed them"),
    Pruned("*.dist-info/*", "what installers tell each other", ASKED_FOR),
    Pruned("*/__pycache__/*", "compiled by whichever Python there was"),
    Pruned("*/tests/*", "a distribution's own tests"),
    Pruned("*.pyi", "types for checkers"),
    *(Pruned(f"*.{c}", "what C is compiled from") for c in ("c", "cc", "cpp", "h", "hpp", "pxd", "pxi", "pyx", "a")),
    # what everything stands on
    Pruned("numpy/distutils/*", "builds extensions"),
    Pruned("numpy/f2py/*", "builds extensions of Fortran; scipy asks for all of numpy", but_for=("train-job",)),
    Pruned("numpy/_core/_simd.*", "kernels for numpy's own tests"),
    Pruned("numpy/_core/*_tests.*", "the same"),
    Pruned("pydantic/v1/*", "the version before, for programs that were not ported"),
    Pruned("pydantic/mypy.py", "for checkers"),
    Pruned("yaml/_yaml.*", "the fast YAML; our loaders are strict ones, written in Python"),
    Pruned("cffi/*", "makes bindings of C; those that are made need `_cffi_backend`, which stays"),
    Pruned("pycparser/*", "reads C for cffi"),
    # Arrow
    Pruned("pyarrow/include/*", "headers"),
    Pruned("pyarrow/includes/*", "headers for Cython"),
    Pruned("pyarrow/src/*", "C++ sources"),
    Pruned("pyarrow/*flight*", "Arrow's RPC, with gRPC inside; the largest thing that nothing else links to"),
    Pruned("pyarrow/*s3*", "Arrow's own S3 client, with Amazon's SDK inside; we go through samara.providers"),
    Pruned("pyarrow/_azurefs.*", "Arrow's own client of Azure, for the same reason"),
    Pruned("pyarrow/_gcsfs.*", "Arrow's own client of Google, for the same reason"),
    Pruned("pyarrow/_hdfs.*", "Arrow's own client of Hadoop"),
    Pruned("pyarrow/*cpp_tests*", "tests of the C++ side"),
    Pruned("pyarrow/*orc.*", "a file format we do not read"),
    Pruned("pyarrow/_substrait.*", "the Python side of query plans; the library stays, for all others link to it"),
    Pruned("pyarrow/*parquet_encryption*", "encrypted Parquet, which ingest refuses"),
    Pruned("pyarrow/libarrow_python.so", "a copy of the one that is linked to, under a name for compilers"),
    Pruned("pyarrow/libarrow_python.so.*.*.*", "the same, under a third name"),
    # ONNX
    Pruned("onnx/backend/test/*", "the standard's test vectors"),
    Pruned("onnx/bin/*", "command line tools"),
    Pruned(
        "onnx/reference/*",
        "every operator in Python, to compare with; ours run in onnxruntime, but trainings are people's own",
        but_for=("train-job",),
    ),
    Pruned("onnx/*.proto", "what the Python modules beside it were generated from"),
    Pruned(
        "onnxruntime/capi/libonnxruntime.so.*",
        "for who calls it by its C API, as predict does; Python's module has it all inside",
        but_for=("predict",),
    ),
    Pruned(
        "onnxruntime/capi/onnxruntime_pybind11_state*",
        "Python's module, which needs numpy; predict calls the library",
        only_for=("predict",),
    ),
    Pruned("onnxruntime/quantization/*", "tools that make models smaller"),
    Pruned("onnxruntime/tools/*", "tools for phones"),
    Pruned("onnxruntime/transformers/*", "tools that rewrite language models"),
    # Google
    Pruned("google/api/*", "descriptions of services for gRPC, which is not here"),
    Pruned("google/cloud/_storage_v2/*", "storage over gRPC"),
    Pruned("google/cloud/storage/asyncio/*", "the same, for asyncio"),
    Pruned("google/_async_resumable_media/*", "uploads for asyncio"),
    Pruned("google/api_core/operations_v1/*", "operations over gRPC"),
    Pruned("google/api_core/gapic_v1/*", "generated clients, of which we use none"),
    Pruned("pyasn1/*", "for google.auth where cryptography is not installed; it is"),
    Pruned("pyasn1_modules/*", "the same"),
    # Azure
    Pruned("azure/storage/blob/aio/*", "blobs for asyncio"),
    Pruned("azure/storage/blob/_generated/aio/*", "the same"),
    Pruned("azure/identity/aio/*", "identities for asyncio"),
    Pruned("werkzeug/debug/*", "a page for developers"),
    # AWS
    Pruned(
        "botocore/data/*/*",
        "the descriptions of four hundred services we do not call",
        tuple(f"botocore/data/{service}/*" for service in SERVICES),
    ),
    Pruned("boto3/data/*", "the older interface of resources"),
    Pruned("boto3/examples/*", "documentation"),
    Pruned("aws_lambda_powertools/event_handler/openapi/swagger_ui/*", "a page for developers"),
)


def rules(distribution: str, package: str) -> tuple[Pruned, ...]:
    """What is left out of that distribution in that package.

    >>> rules("numpy", "predict") == rules("numpy", "register")
    True
    """
    return tuple(rule for rule in PRUNED if rule.holds(distribution, package))


def needless(path: str, left_out: Sequence[Pruned] = PRUNED) -> str:
    """Why the file at `path` of a distribution is left out, or nothing.

    >>> needless("botocore/data/ec2/2016-11-15/service-2.json.gz")
    'the descriptions of four hundred services we do not call'
    >>> needless("botocore/data/s3/2006-03-01/service-2.json.gz")
    ''
    """
    for pruned in left_out:
        if fnmatchcase(path, pruned.pattern) and not any(fnmatchcase(path, kept) for kept in pruned.keeps):
            return pruned.why
    return ""
