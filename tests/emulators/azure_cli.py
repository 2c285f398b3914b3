"""The two commands of Azure's own `az` by which code is put up, on loopback: one uploads a blob, one hands in an app.

`AZ_BLOBS` is the blob endpoint of the account and `AZ_KEY` its key; packages arrive in the folder `AZ_APPS`.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from azure.storage.blob import BlobServiceClient


def uploaded(given: argparse.Namespace) -> None:
    assert given.auth_mode == "login", "keys of the account open nothing"
    key = {"account_name": given.account_name, "account_key": os.environ["AZ_KEY"]}
    blob = BlobServiceClient(os.environ["AZ_BLOBS"], key).get_blob_client(given.container_name, given.name)
    with Path(given.file).open("rb") as file:
        blob.upload_blob(file, overwrite=given.overwrite)


def handed_in(given: argparse.Namespace) -> None:
    assert given.resource_group
    shutil.copy(given.src, Path(os.environ["AZ_APPS"]) / f"{given.name}.zip")


COMMANDS: dict[str, tuple[tuple[str, ...], Callable[[argparse.Namespace], None]]] = {
    "storage blob upload": (("auth-mode", "account-name", "container-name", "name", "file"), uploaded),
    "functionapp deployment source config-zip": (("resource-group", "name", "src"), handed_in),
}


def main() -> None:
    line = " ".join(sys.argv[1:])
    ((name, (options, does)),) = (one for one in COMMANDS.items() if line.startswith(f"{one[0]} --"))
    parser = argparse.ArgumentParser(f"az {name}", allow_abbrev=False)
    for option in options:
        parser.add_argument(f"--{option}", required=True)
    if does is uploaded:
        parser.add_argument("--overwrite", action="store_true")
    does(parser.parse_args(sys.argv[1 + len(name.split()) :]))


if __name__ == "__main__":
    main()
