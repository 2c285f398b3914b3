"""Where a bucket is, or where jobs run, in one line: `s3://name`, `az://account/container`, `batch://queue/definition`.

`?endpoint=https://…` names any other service that speaks the same protocol. No secret is ever part of an address:
credentials are the SDK's business.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from samara.errors import Misconfigured

PLACE = r"[a-zA-Z0-9_.:-]{1,128}"  # what buckets, accounts, projects and queues are named; compiled where it is needed
BUCKET = r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}"
HOST = r"[a-zA-Z0-9_-]{1,63}(\.[a-zA-Z0-9_-]{1,63})*\.?|\[[0-9a-fA-F:.]+\]"  # a name or a number
ENDPOINT = rf"(?i:https?)://({HOST})(:[0-9]{{1,5}})?(/[a-zA-Z0-9_./~@%:-]*)?"
REGION = r"[a-zA-Z0-9_.-]{1,63}"  # operators name those of their own clouds
PROVIDERS = {"file": "local", "s3": "aws", "gs": "gcp", "az": "azure", "libcloud": "libcloud"}


class Address(NamedTuple):
    """`place` is what comes before the first slash, `path` what comes after it, without slashes around them."""

    scheme: str
    place: str
    path: str = ""
    options: Mapping[str, str] = MappingProxyType({})

    @property
    def endpoint(self) -> str | None:
        return self.options.get("endpoint")


def provider_of(address: str) -> str:
    """The name of the provider whose buckets have such addresses."""
    scheme, colon, _ = address.partition(":")
    if not colon or scheme not in PROVIDERS:
        known = ", ".join(f"{scheme}:" for scheme in PROVIDERS)
        raise Misconfigured(address or "store", f"not the address of a bucket; it starts with one of {known}")
    return PROVIDERS[scheme]


def parsed(address: str, *options: str) -> Address:
    """The parts of an address. `options` are those its provider knows beside the endpoint; others are refused.

    >>> parsed("s3://flights?region=eu-central-1", "region").options["region"]
    'eu-central-1'
    >>> parsed("az://acme/flights").path
    'flights'
    """
    if not address:
        raise Misconfigured("address", "missing; name the bucket in SAMARA_STORE, and where jobs run in SAMARA_JOBS")
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise Misconfigured(shown(address), f"not an address: {error}") from error
    if not parts.scheme:
        raise Misconfigured(shown(address), "not an address; write it as scheme://name")
    if "@" in parts.netloc:
        raise Misconfigured(shown(address), "an address holds no credentials; give them to the SDK")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(given) - {"endpoint", *options}):
        known = ", ".join(("endpoint", *options))
        raise Misconfigured(shown(address), f"no such option: {', '.join(unknown)}; known are {known}")
    if "endpoint" in given and parts.scheme != "libcloud":  # whose own may be a folder
        reachable(given["endpoint"])
    if "region" in given and not re.fullmatch(REGION, given["region"]):
        raise Misconfigured(shown(address), "its region is none; give it one, or leave ?region= out")
    place, path = (parts.netloc, parts.path.strip("/")) if parts.scheme != "file" else ("", parts.path)
    if not place and parts.scheme != "file":
        raise Misconfigured(shown(address), f"names nothing; write {parts.scheme}://name")
    if place and (parts.fragment or not re.fullmatch(PLACE, place)):
        raise Misconfigured(ascii(shown(address))[1:-1], "not a name; write letters, digits, and . - or _ between them")
    return Address(parts.scheme, place, unquote(path), MappingProxyType(given))


def shown(address: str) -> str:
    """As much of it as may be told: what is no option of ours may be a secret."""
    return re.sub("//.*@", "//…", address.partition("?")[0])


def bucket_of_s3(address: str) -> Address:
    """The parts of an address `s3://bucket`, with `?region=` and, for services other than Amazon's, `?endpoint=`."""
    found = parsed(address, "region")
    if found.scheme != "s3" or found.path or not re.fullmatch(BUCKET, found.place):
        raise Misconfigured(address.partition("?")[0], "not a bucket of S3; write s3://name, without a path behind it")
    return found


def reachable(endpoint: str) -> str:
    """`endpoint`, if a request could be sent there."""
    if "@" in endpoint.partition("//")[2].partition("/")[0]:
        raise Misconfigured("endpoint", "an endpoint holds no credentials; give them to the SDK")
    if not is_endpoint(endpoint):
        why = "no endpoint; write https://host, or http://host:port on a network you trust"
        raise Misconfigured(ascii(endpoint)[1:-1] or "endpoint", why)
    return endpoint


def is_endpoint(text: str) -> bool:
    try:
        return bool(re.fullmatch(ENDPOINT, text)) and urlsplit(text).port != 0
    except ValueError:  # a port beyond 65535
        return False
