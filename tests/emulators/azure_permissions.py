"""A door to Azurite that lets through what somebody may do, and refuses all else as Azure refuses it by roles.

Azurite itself asks for a key alone. The actions are those that Azure documents for each of its operations:
https://learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-directory
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from tests.emulators.listening import listening
from tests.emulators.unreliable import Handler, Network

BLOBS = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
GETS, ADDS, WRITES, DELETES = (f"{BLOBS}/{verb}" for verb in ("read", "add/action", "write", "delete"))
LISTS = f"{GETS}, listing"
May = Callable[[str, str], bool]


@contextmanager
def door(address: str, may: May) -> Iterator[str]:
    """The same address, for somebody who `may` do these actions with that key, or list that prefix."""
    upstream = urlsplit(address.partition("endpoint=")[2]).netloc
    handler = type("Asked", (Door,), {"net": Network(upstream), "may": staticmethod(may)})
    with listening(handler) as port:
        yield address.replace(upstream, f"127.0.0.1:{port}")


class Door(Handler):
    may: ClassVar[May]

    def asked(self) -> None:
        if type(self).may(*action_of(self.command, self.path)):
            self.relay()
            return
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.respond(403, [("x-ms-error-code", "AuthorizationPermissionMismatch")], b"")

    do_GET = do_HEAD = do_PUT = do_DELETE = asked  # noqa: N815  # as the standard library calls them


def action_of(method: str, path: str) -> tuple[str, str]:
    """What a request to `/account/container/key` does, and with which key or prefix.

    >>> action_of("PUT", "/devstoreaccount1/bucket/runs/a?comp=block")[1]
    'runs/a'
    """
    parts = urlsplit(path)
    query = parse_qs(parts.query, keep_blank_values=True)
    comp, (_, _, _, *key) = query.get("comp", [""])[0], unquote(parts.path).split("/", 3)
    if comp == "list":
        return LISTS, query.get("prefix", [""])[0]
    putting = WRITES if comp in ("block", "blocklist") else ADDS
    return {"GET": GETS, "HEAD": GETS, "PUT": putting, "DELETE": DELETES}[method], "".join(key)
