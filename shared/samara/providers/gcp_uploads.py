"""An object that goes up piece by piece, and survives broken connections on the way.

Google holds what has arrived for a week, and says how much that is when asked. So after a lost answer one asks and
goes on from there. Until the last piece has arrived there is no object, and no trace of it in a listing.
"""

from google.auth.transport.requests import AuthorizedSession
from requests import Response

from samara.errors import Unavailable
from samara.ports import Version
from samara.providers.gcp_http import checked, translated

UNDER_WAY = 308
GONE = {404: Unavailable, 410: Unavailable}


class Upload:
    """`place` is the address of the upload that Google gave. `add` and `finish` may be repeated with the same piece."""

    def __init__(self, session: AuthorizedSession, place: str, key: str, timeout: tuple[float, float]) -> None:
        self._session = session
        self._place = place
        self._key = key
        self._timeout = timeout
        self._added = 0  # bytes of all pieces before this one
        self._arrived = 0  # bytes that Google has
        self._doubtful = False  # whether it may have more

    def add(self, piece: bytes) -> None:
        """Send a piece that is not the last. Its length is a multiple of 256 KiB."""
        self._pushed(piece, "*", {})
        self._added += len(piece)

    def finish(self, piece: bytes, crc32c: str) -> Version:
        """Send the last piece, and give the generation of the object that then exists.

        Google compares the checksum of the whole with its own before.
        """
        reply = self._pushed(piece, str(self._added + len(piece)), {"X-Goog-Hash": f"crc32c={crc32c}"})
        try:
            return Version(str(reply.json()["generation"]))
        except (KeyError, TypeError, ValueError) as error:  # a question's answer may be shorter than that to a piece
            raise Unavailable(self._key, "is there, and Google does not tell its generation") from error

    def _pushed(self, piece: bytes, size: str, headers: dict[str, str]) -> Response:
        """The answer once all of `piece` is there; `size` is that of the whole object, `*` while it is unknown."""
        while True:
            asking = self._doubtful
            rest = b"" if asking else piece[self._arrived - self._added :]
            before = self._arrived
            reply = self._exchange(rest, size, headers)
            if reply.status_code != UNDER_WAY or (size == "*" and self._arrived == self._added + len(piece)):
                return reply
            if self._arrived < self._added or not (asking or self._arrived > before):
                raise Unavailable(self._key, "Google lost a part of it on the way; send it again")

    def _exchange(self, data: bytes, size: str, headers: dict[str, str]) -> Response:
        """Without data it is the question how much has arrived."""
        where = f"{self._arrived}-{self._arrived + len(data) - 1}" if data else "*"
        self._doubtful = True
        with translated(self._key, GONE):
            reply = self._session.put(
                self._place,
                data=data,
                headers={"Content-Range": f"bytes {where}/{size}", **headers},
                timeout=self._timeout,
                allow_redirects=False,  # 308 has another meaning here
            )
            checked(reply, 200, 201, UNDER_WAY)
            if reply.status_code == UNDER_WAY:
                _, dash, last = reply.headers.get("Range", "").rpartition("-")  # bytes=0-1023, or nothing
                self._arrived = int(last) + 1 if dash else 0
        self._doubtful = False
        return reply
