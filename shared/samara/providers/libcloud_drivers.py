"""libcloud's drivers, made fit for more than one service and more than one thread in a process.

Left alone, libcloud keeps the host of a service on a class that all its drivers share, waits for ever on a download
that stalls, unpacks what was stored compressed, and tells the status of a refusal in prose or not at all.
"""

import inspect
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit

from libcloud.common.base import BaseDriver, Connection
from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import InvalidCredsError, LibcloudError, MalformedResponseError
from libcloud.http import LibcloudConnection
from libcloud.storage.types import ContainerError, ObjectError
from requests import PreparedRequest, RequestException, Response
from requests.adapters import HTTPAdapter

from samara.errors import Misconfigured, NotFound, SamaraError, Unavailable, Unsupported
from samara.providers.addresses import Address, is_endpoint

CONNECT_S, READ_S = 5.0, 30.0
PORTS = {"http": 80, "https": 443}
Driver = TypeVar("Driver", bound=BaseDriver)


def maker(kind: type[Driver], options: Mapping[str, Any], subject: str) -> Callable[[], Driver]:
    """What makes drivers of this kind. Use one per thread: asked two things at once, it mixes up the answers."""
    own = with_own_connections(kind)
    given = dict(options)
    if "region" in given and not takes(kind, "region"):
        own.region_name = given.pop("region")  # type: ignore[attr-defined]  # where such drivers keep it for signing

    def make() -> Driver:
        try:
            return own(**given)
        except (LibcloudError, TypeError, ValueError) as error:
            raise Misconfigured(subject, f"libcloud says: {getattr(error, 'value', error)}") from error

    return make


def per_thread(make: Callable[[], Driver]) -> Callable[[], Driver]:
    """What gives each thread a driver of its own."""
    mine = threading.local()

    def driver() -> Driver:
        if not hasattr(mine, "driver"):
            mine.driver = make()
        own: Driver = mine.driver
        return own

    return driver


def takes(kind: type[BaseDriver], option: str) -> bool:
    known = inspect.signature(kind).parameters.values()
    return any(parameter.name == option or parameter.kind is parameter.VAR_KEYWORD for parameter in known)


def where(address: Address) -> dict[str, Any]:
    """The endpoint and region of an address, as drivers take them."""
    options: dict[str, Any] = {"region": address.options["region"]} if "region" in address.options else {}
    if address.endpoint is None:
        return options
    parts = urlsplit(address.endpoint) if is_endpoint(address.endpoint) else urlsplit("")
    if not parts.hostname or parts.path.strip("/"):
        shown = address.endpoint.rpartition("@")[2]
        raise Misconfigured(
            shown or "endpoint", "not an endpoint of libcloud's; write https://host or https://host:port"
        )
    secure = parts.scheme == "https"
    return {**options, "host": parts.hostname, "port": parts.port or PORTS[parts.scheme], "secure": secure}


def credentials(provider: str) -> dict[str, str]:
    """Those of this environment. The secret may be missing: some services have but a key."""
    names = {"key": "LIBCLOUD_KEY", "secret": "LIBCLOUD_SECRET"}
    given = {option: os.environ[name] for option, name in names.items() if os.environ.get(name)}
    if "key" not in given:
        why = f"is not set; it holds the key or user name for {provider}, and LIBCLOUD_SECRET its secret"
        raise Misconfigured("LIBCLOUD_KEY", why)
    return given


class Hurried(HTTPAdapter):
    """Gives up on a server that does not answer; libcloud forgets to, when it streams."""

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        return super().send(request, *args, **{**kwargs, "timeout": (CONNECT_S, READ_S)})


class Transport(LibcloudConnection):
    """Remembers the status of the last refusal, and hands over bytes as they were stored."""

    refusal = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[no-untyped-call]  # libcloud has no hints here
        for scheme in PORTS:
            self.session.mount(f"{scheme}://", Hurried())  # type: ignore[union-attr]  # the same

    def getresponse(self) -> Response:
        answer: Response = self.response  # type: ignore[assignment]  # the same
        if answer.status_code >= 300:
            self.refusal = answer.status_code
        answer.raw.headers.pop("Content-Encoding", None)  # what is read from now on is not unpacked
        return answer


class OwnConnection(Connection):
    conn_class = Transport

    def pre_connect_hook(self, params: Any, headers: dict[str, str]) -> Any:
        headers["Accept-Encoding"] = "identity"  # before it is signed
        return super().pre_connect_hook(params, headers)  # type: ignore[no-untyped-call]  # libcloud has no hints here


def with_own_connections(kind: type[Driver]) -> type[Driver]:
    """`kind`, each of whose drivers has a class of connections to itself, whichever it chooses when it is made."""

    def chosen(self: BaseDriver) -> type[Connection]:
        if "_own" not in vars(self):
            choose(self, kind.connectionCls)
        own: type[Connection] = vars(self)["_own"]
        return own

    def choose(self: BaseDriver, connections: type[Connection]) -> None:
        vars(self)["_own"] = type(connections.__name__, (OwnConnection, connections), {})

    return type(kind.__name__, (kind,), {"connectionCls": property(chosen, choose)})


UNREACHED = (RequestException, ConnectionError, TimeoutError)
REFUSED = (LibcloudError, BaseHTTPError, NotImplementedError, FileNotFoundError, PermissionError)
MEANING: tuple[tuple[type[Exception], type[SamaraError]], ...] = (
    (ContainerError, Misconfigured),
    (ObjectError, NotFound),
    (InvalidCredsError, Misconfigured),
    (MalformedResponseError, Unavailable),  # cut off, or from a proxy in between
    (BaseHTTPError, Misconfigured),  # what a cloud says against a node
    (NotImplementedError, Unsupported),
    (FileNotFoundError, NotFound),  # the local driver's, when an object goes while it is read
    (PermissionError, Misconfigured),
)
ANSWERS: dict[int, type[SamaraError]] = {
    301: Misconfigured,  # another region
    307: Unavailable,
    400: Misconfigured,  # libcloud takes it for absence: another region, a wrong clock, an expired key
    401: Misconfigured,
    403: Misconfigured,
    408: Unavailable,
    416: Unavailable,  # it shrank since we asked for its size
    429: Unavailable,
}


@contextmanager
def translated(subject: str, driver: BaseDriver | None = None) -> Iterator[None]:
    """Raise our error for libcloud's, with libcloud's as the cause. What we don't know passes through."""
    transport = driver.connection.connection if driver else None
    if isinstance(transport, Transport):
        transport.refusal = 0
    try:
        yield
    except UNREACHED as error:
        raise Unavailable(subject, f"the service was not reached, or broke off ({type(error).__name__})") from error
    except REFUSED as error:
        status = transport.refusal if isinstance(transport, Transport) else 0
        meaning = meant(error, status)
        if meaning is None:
            raise
        raise meaning(subject, *said(error, status, meaning)) from error


def meant(error: Exception, status: int) -> type[SamaraError] | None:
    if status >= 500:
        return Unavailable
    return ANSWERS.get(status) or next((meaning for kind, meaning in MEANING if isinstance(error, kind)), None)


def said(error: Exception, status: int, meaning: type[SamaraError]) -> tuple[str, ...]:
    """What libcloud adds to the usual words of an error, and the way out where there is one to tell."""
    if meaning is NotFound:
        return ()
    if isinstance(error, ContainerError):
        return (f"there is no container {error.container_name}: create it, or correct the address",)
    if isinstance(error, NotImplementedError):
        return ("libcloud's driver cannot do that; choose another provider",)
    if isinstance(error, BaseHTTPError):
        return (": ".join(filter(None, (f"the service answers {status}", error.message))),)
    way_out = "; check LIBCLOUD_KEY and LIBCLOUD_SECRET, and the region" if meaning is Misconfigured else ""
    return (f"the service answers {status or type(error).__name__}{way_out}",)
