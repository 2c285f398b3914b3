"""What the program takes from Pulumi's packages is type-checked: mypy reads no other part of them."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("pulumi_aws", "pulumi_azure_native", "pulumi_gcp")


def parts_used(source: str) -> Iterator[str]:
    """`pulumi_aws.s3` for `aws.s3` under `import pulumi_aws as aws`, and for `from pulumi_aws import s3`.

    >>> sorted(set(parts_used("import pulumi_aws as aws\\nfrom pulumi_gcp import pubsub\\naws.s3.Bucket")))
    ['pulumi_aws.s3', 'pulumi_gcp.pubsub']
    """
    tree = ast.parse(source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {one.asname or one.name: one.name for one in node.names if one.name in PACKAGES}
        if isinstance(node, ast.ImportFrom) and node.module in PACKAGES:
            yield from (f"{node.module}.{one.name}" for one in node.names)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in names:
            yield f"{names[node.value.id]}.{node.attr}"


def test_whatever_part_of_pulumis_packages_is_used_is_read_by_mypy() -> None:
    sources = [path for path in (ROOT / "infra").rglob("*.py") if ".venv" not in path.parts]
    used = {part for path in sources for part in parts_used(path.read_text())}
    overrides = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mypy"]["overrides"]
    named = [name for one in overrides if one.get("follow_imports") == "normal" for name in one["module"]]

    assert len(used) > 20
    assert {part for part in used if part.islower()} - {name.removesuffix(".*") for name in named} == set()
