"""A cloud's SDK is loaded by its own provider, when that is chosen, and by nobody else."""

import subprocess
import sys

import pytest

SDKS = {
    "boto3", "botocore", "google.auth", "google.cloud.storage", "google.cloud.batch", "grpc", "azure.core",
    "azure.identity", "azure.storage.blob", "msal", "libcloud", "paramiko", "requests", "aws_lambda_powertools",
    "azure.functions", "flask", "functions_framework",
}  # fmt: skip
BUDGETS = {
    "import samara.providers": set(),
    "import samara.app": set(),
    "import samara.entry": set(),
    "import samara.cli": set(),
    "import functions.predict.handler": set(),
    "import functions.ingest.handler": set(),
    "import functions.train.job": set(),
    "import samara.providers.local": set(),
    "import samara.providers.aws": {"boto3", "botocore"},
    "import samara.providers.s3": set(),
    "import samara.providers.gcp": {"google.auth", "google.cloud.storage", "requests"},
    "import samara.providers.azure": {"azure.core", "azure.storage.blob", "requests"},
    "from samara.providers.azure_rest import keyless; keyless()": {"azure.core", "azure.identity", "msal", "requests"},
    "import samara.hosts.aws": {"aws_lambda_powertools", "botocore"},  # which every process there loads anyway
    "import samara.hosts.aws_lean": set(),
    "import samara.hosts.aws_loop": set(),
    "import samara.hosts.gcp": set(),
    "import samara.hosts.azure": {"azure.functions"},
    "import samara.providers.libcloud": {"libcloud", "requests"},
}


@pytest.mark.parametrize(("program", "budget"), BUDGETS.items(), ids=BUDGETS)
def test_an_sdk_costs_only_those_who_use_it(program: str, budget: set[str]) -> None:
    listed = subprocess.check_output([sys.executable, "-c", f"{program}; import sys; print(*sys.modules)"], text=True)

    assert SDKS & set(listed.split()) == budget
