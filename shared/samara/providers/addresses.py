"""Where a bucket is, or where jobs run, in one line: `s3://name`, `az://account/container`, `batch://queue/definition`.

`?endpoint=https://…` names any other service that speaks the same protocol. No secret is ever part of an address:
credentials are the SDK's business.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from samara.errors import Misconfigured

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
    parts = urlsplit(address)
    if not address:
        raise Misconfigured("address", "missing; name the bucket in SAMARA_STORE, and where jobs run in SAMARA_JOBS")
    if not parts.scheme:
        raise Misconfigured(address, "not an address; write it as scheme://name")
    if "@" in parts.netloc:
        raise Misconfigured(address.replace(parts.netloc, "…"), "an address holds no credentials; give them to the SDK")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(given) - {"endpoint", *options}):
        raise Misconfigured(address, f"no such option: {', '.join(unknown)}; known are endpoint, {', '.join(options)}")
    place, path = (parts.netloc, parts.path.strip("/")) if parts.scheme != "file" else ("", parts.path)
    if not place and parts.scheme != "file":
        raise Misconfigured(address, f"names nothing; write {parts.scheme}://name")
    return Address(parts.scheme, unquote(place), unquote(path), MappingProxyType(given))
