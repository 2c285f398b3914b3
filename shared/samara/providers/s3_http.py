"""S3's protocol over Python's own HTTP: signed requests on connections that stay open and are shared by threads."""

import hashlib
import hmac
import os
import re
import select
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from ssl import SSLContext, create_default_context
from urllib.parse import quote, urlsplit

from samara.errors import Misconfigured, Unavailable

CONNECTIONS = 64  # as many idle ones are kept: a busy process has as many threads
CONNECT_S, READ_S = 5.0, 30.0
BAD = 300  # from this status on it is no answer to what was asked
IDLE_S = 10.0  # S3 hangs up on who is silent, and a function that was frozen does not always hear of it
NO_BODY = hashlib.sha256().hexdigest()
NONE: Mapping[str, str] = {}
CODE, BUCKET = (re.compile(b"<%s>([^<]+)</%s>" % (name, name)) for name in (b"Code", b"BucketName"))


@dataclass(frozen=True, slots=True)
class Identity:
    """Who asks: the keys of a role or user, with a `token` where they are lent for hours."""

    key: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """S3's word for what is wrong, or the status of an answer without one."""
        told = CODE.search(self.body)
        return told[1].decode("utf-8", "replace") if told else str(self.status)

    @property
    def bucket(self) -> str:
        """The bucket that S3 names when that is the trouble."""
        told = BUCKET.search(self.body)
        return told[1].decode("utf-8", "replace") if told else ""


def from_environment(environ: Mapping[str, str] = os.environ) -> Identity:
    """Whom Lambda, or a person's shell, says we are."""
    if not environ.get("AWS_ACCESS_KEY_ID") or not environ.get("AWS_SECRET_ACCESS_KEY"):
        why = "not in the environment, the one place where provider s3 looks; provider aws knows all the others"
        raise Misconfigured("Amazon's credentials", why)
    return Identity(
        environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], environ.get("AWS_SESSION_TOKEN", "")
    )


class Connections:
    """Requests to one address, `https://host:port` and perhaps a path that all of its keys lie below."""

    def __init__(
        self, address: str, region: str, identity: Identity, connect_s: float = CONNECT_S, read_s: float = READ_S
    ) -> None:
        self._idle: deque[tuple[HTTPConnection, float]] = deque()
        self.address, parts = address, urlsplit(address)
        self._host, self._base = parts.netloc, parts.path.rstrip("/")
        self._trust = trust() if parts.scheme == "https" else None
        self._region, self._identity = region, identity
        self._connect_s, self._read_s = connect_s, read_s

    def __del__(self) -> None:
        for line, _ in self._idle:
            line.close()

    def ask(
        self,
        method: str,
        key: str,
        query: Mapping[str, str] = NONE,
        headers: Mapping[str, str] = NONE,
        body: bytes = b"",
    ) -> Answer:
        """The whole answer to one request, or `Unavailable` when none came: then it may or may not have been heard."""
        path, asked = f"{self._base}/{quote(key, safe='/-_.~')}", canonical(query)
        digest = hashlib.sha256(body).hexdigest() if body else NO_BODY
        told = {"host": self._host, "x-amz-content-sha256": digest, **headers}
        signed = signature(
            method, path, asked, told, identity=self._identity, region=self._region, at=datetime.now(UTC)
        )
        line = self._line()
        try:
            if line.sock is None:
                line.connect()
                line.sock.settimeout(self._read_s)  # type: ignore[attr-defined]  # connect made it
            # GET and HEAD have no body; of PUT and POST an empty one is announced too
            line.request(method, f"{path}?{asked}" if asked else path, body if method[0] == "P" else None, signed)
            heard = line.getresponse()
            answer = Answer(heard.status, {name.lower(): value for name, value in heard.getheaders()}, whole(heard))
        except BaseException as error:
            line.close()
            if isinstance(error, (OSError, HTTPException)):
                why = f"S3 was not reached, or did not answer in time ({type(error).__name__})"
                raise Unavailable(key or self._host, why) from error
            raise
        if heard.will_close or len(self._idle) >= CONNECTIONS:
            line.close()
        else:
            self._idle.append((line, time.time()))
        return answer

    def _line(self) -> HTTPConnection:
        """A connection that nobody uses: the one last used, if the other end has not hung up, or a new one."""
        while self._idle:
            try:
                line, since = self._idle.pop()
            except IndexError:  # another thread was quicker
                break
            if abs(time.time() - since) < IDLE_S and silent(line):
                return line
            line.close()
        if self._trust:
            return HTTPSConnection(self._host, timeout=self._connect_s, context=self._trust)
        return HTTPConnection(self._host, timeout=self._connect_s)


def whole(heard: HTTPResponse) -> bytes:
    """All of an answer, which says how long it is: of another nobody could tell whether it broke off. What a refusal
    says is read as far as it came."""
    if heard.length is None and not heard.chunked and heard.status < BAD:
        raise HTTPException("without its length")
    return heard.read()


def silent(line: HTTPConnection) -> bool:
    """Whether nothing has come since the last answer: what comes unasked is a goodbye."""
    poll = select.poll()
    poll.register(line.sock, select.POLLIN)
    return not poll.poll(0)


@cache
def trust() -> SSLContext:
    """The authorities this machine trusts, or those that `AWS_CA_BUNDLE` names, as the SDK has it. Read once."""
    bundle = os.environ.get("AWS_CA_BUNDLE") or None
    try:
        return create_default_context(cafile=bundle)
    except OSError as error:
        raise Misconfigured("AWS_CA_BUNDLE", f"{bundle} holds no certificates that can be read: {error}") from error


def canonical(query: Mapping[str, str]) -> str:
    """
    >>> canonical({"prefix": "runs/late", "list-type": "2"})
    'list-type=2&prefix=runs%2Flate'
    """
    quoted = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in query.items())
    return "&".join(f"{name}={value}" for name, value in quoted)


def signature(
    method: str, path: str, query: str, headers: Mapping[str, str], *, identity: Identity, region: str, at: datetime
) -> dict[str, str]:
    """`headers` and those that prove who asks, as `AWS4-HMAC-SHA256` has it. All of them are signed.

    `path` and `query` are as they go over the wire. `headers` have lower-case names, `host` and
    `x-amz-content-sha256` among them.
    https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
    """
    now = at.strftime("%Y%m%dT%H%M%SZ")
    given = {**headers, "x-amz-date": now, **({"x-amz-security-token": identity.token} if identity.token else {})}
    names = ";".join(sorted(given))
    lines = "".join(f"{name}:{' '.join(given[name].split())}\n" for name in sorted(given))
    request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{given['x-amz-content-sha256']}"
    scope = f"{now[:8]}/{region}/s3/aws4_request"
    said = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    proof = hmac.digest(signing_key(identity.secret, scope), said.encode(), "sha256").hex()
    credential = f"Credential={identity.key}/{scope}"
    return {**given, "authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={proof}"}


@lru_cache(4)
def signing_key(secret: str, scope: str) -> bytes:
    """The same all day, so it is derived once."""
    key = f"AWS4{secret}".encode()
    for word in scope.split("/"):
        key = hmac.digest(key, word.encode(), "sha256")
    return key
