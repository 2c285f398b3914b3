"""The store that signs its own requests: what it signs, whom it trusts, and what it does with its connections.

What it promises as a store is asked of it with all the others, in `test_store` and `test_lost_answers`.
"""

import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from ipaddress import ip_address
from pathlib import Path
from string import printable
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from samara.errors import Conflict, Misconfigured, NotFound, Rejected, Unavailable, Unsupported
from samara.ports import ObjectStore
from samara.providers import certainty, load, s3, s3_http, streams
from samara.providers.addresses import parsed
from samara.providers.s3_http import NO_BODY, Identity, canonical, from_environment, signature
from samara.settings import Settings
from tests.emulators import s3 as moto
from tests.emulators.listening import listening

PUBLISHED = Identity("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
THEN = datetime(2013, 5, 24, tzinfo=UTC)
HOST = "examplebucket.s3.amazonaws.com"


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "expected"),
    [
        (
            "GET",
            "/test.txt",
            "",
            {"range": "bytes=0-9", "x-amz-content-sha256": NO_BODY},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test%24file.text",
            "",
            {
                "date": "Fri, 24 May 2013 00:00:00 GMT",
                "x-amz-storage-class": "REDUCED_REDUNDANCY",
                "x-amz-content-sha256": sha256(b"Welcome to Amazon S3.").hexdigest(),
            },
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/",
            "lifecycle=",
            {"x-amz-content-sha256": NO_BODY},
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            canonical({"prefix": "J", "max-keys": "2"}),
            {"x-amz-content-sha256": NO_BODY},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
    ids=["a part of an object", "an object written", "a flag in the query", "a listing"],
)
def test_the_examples_that_amazon_publishes_come_out_as_published(
    method: str, path: str, query: str, headers: dict[str, str], expected: str
) -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html"""
    signed = signature(method, path, query, {"host": HOST, **headers}, identity=PUBLISHED, region="us-east-1", at=THEN)

    assert signed["authorization"].rpartition("Signature=")[2] == expected


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.text(printable.replace("\n", "").replace("\r", ""), min_size=1, max_size=10)


@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE"]),
    key=texts,
    query=st.dictionaries(names, texts, max_size=4),
    headers=st.sampled_from([{}, {"if-none-match": "*"}, {"if-match": '"a  b"'}, {"range": "bytes=0-9"}]),
    body=st.binary(max_size=40),
)
def test_whatever_is_asked_is_signed_as_the_sdk_signs_it(
    method: str, key: str, query: dict[str, str], headers: dict[str, str], body: bytes
) -> None:
    path, asked, token = f"/{quote(key, safe='/-_.~')}", canonical(query), "lent/for+hours=="
    theirs = AWSRequest(method, f"https://{HOST}{path}{'?' + asked if asked else ''}", dict(headers), body)
    S3SigV4Auth(Credentials("AKIA", "secret", token), "s3", "eu-central-1").add_auth(theirs)
    at = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)

    told = {"host": HOST, "x-amz-content-sha256": sha256(body).hexdigest(), **headers}
    who = Identity("AKIA", "secret", token)
    ours = signature(method, path, asked, told, identity=who, region="eu-central-1", at=at)

    assert ours["authorization"] == theirs.headers["Authorization"]


def lean(address: str) -> ObjectStore:
    return load("s3").object_store(Settings(provider="s3", store=address))


@pytest.fixture
def address() -> str:
    return moto.fresh_bucket()


def test_what_one_of_the_two_wrote_the_other_can_replace(address: str) -> None:
    ours, elder = lean(address), load("aws").object_store(Settings(provider="aws", store=address))

    second = elder.replace("aliases/late.json", b"2", ours.create("aliases/late.json", b"1"))
    third = ours.replace("aliases/late.json", b"3", second)

    assert elder.head("aliases/late.json") == ours.head("aliases/late.json")
    assert elder.get("aliases/late.json").version == third


def test_a_strangers_key_with_controls_in_it_does_not_end_a_listing(address: str) -> None:
    bucket = parsed(address, "region").place
    for key in ("landing/a", "landing/b\x01", "landing/c d+e&<é>.csv"):
        moto.client().put_object(Bucket=bucket, Key=key, Body=b"x")

    listed = list(lean(address).list("landing/"))

    assert listed == ["landing/a", "landing/c d+e&<é>.csv"]


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("s3://samara-nowhere", "there is no such bucket"),
        ("s3://flights/below", "write s3://name, without a path"),
        ("gs://flights", "not a bucket of S3"),
    ],
)
def test_a_wrong_address_is_a_deployment_mistake(place: str, why: str) -> None:
    with pytest.raises(Misconfigured, match=why):
        lean(f"{place}?endpoint={moto.endpoint()}").get("a")


def test_an_endpoint_is_one_of_http() -> None:
    with pytest.raises(Misconfigured, match="ftp://here: no endpoint"):
        lean("s3://flights?endpoint=ftp://here")


def test_without_a_region_nothing_is_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(Misconfigured, match="flights: in no region"):
        lean("s3://flights")


@pytest.mark.parametrize(
    ("place", "base"),
    [
        ("s3://flights?region=eu-central-1", "https://flights.s3.eu-central-1.amazonaws.com"),
        ("s3://flights?region=cn-north-1", "https://flights.s3.cn-north-1.amazonaws.com.cn"),
        ("s3://fl.ights?region=eu-central-1", "https://s3.eu-central-1.amazonaws.com/fl.ights"),
        ("s3://flights?endpoint=https://minio:9000/", "https://minio:9000/flights"),
    ],
)
def test_a_bucket_is_asked_where_it_is(place: str, base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)

    assert s3.connections(parsed(place, "region")).address == base


def test_missing_credentials_are_named_and_no_secret_is_shown() -> None:
    with pytest.raises(Misconfigured, match=r"Amazon's credentials: not in the environment"):
        from_environment({"AWS_ACCESS_KEY_ID": "AKIA"})

    shown = repr(from_environment({"AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "s3cret"}))
    assert "s3cret" not in shown


@pytest.mark.parametrize("what", ["job_runner", "bus"])
def test_it_keeps_objects_and_refuses_all_else(what: str) -> None:
    with pytest.raises(Unsupported, match="choose provider aws"):
        getattr(load("s3"), what)(Settings(provider="s3"))


class Service:
    """A service of our own, for what moto never answers: `plan` gives each request's status, headers and body."""

    def __init__(self) -> None:
        self.plan: Callable[[str], tuple[int, dict[str, str], bytes]] = lambda _: (200, {}, b"")
        self.connections = 0
        self.asked: list[str] = []
        self.hangs_up = False


@contextmanager
def serving(trusted: ssl.SSLContext | None = None) -> Iterator[tuple[str, Service]]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            service.connections += 1
            super().setup()

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            service.asked.append(f"{self.command} {self.path}")
            status, headers, body = service.plan(self.command)
            self.send_response_only(status)
            plain = {"etag": '"1"', "last-modified": "Fri, 24 May 2013 00:00:00 GMT", "content-length": str(len(body))}
            for name, value in {**plain, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            self.close_connection = service.hangs_up  # unannounced, as S3 does after a while

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with listening(Handler, trusted) as port:
        yield f"{'https' if trusted else 'http'}://localhost:{port}", service


@pytest.fixture
def service() -> Iterator[tuple[ObjectStore, Service]]:
    with serving() as (endpoint, service):
        yield lean(f"s3://flights?endpoint={endpoint}"), service


@pytest.fixture(autouse=True)
def in_haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certainty, "FIRST_S", 0.001)
    monkeypatch.setattr(certainty, "MOST_S", 0.01)


def test_one_connection_serves_one_request_after_the_other(service: tuple[ObjectStore, Service]) -> None:
    store, there = service

    for _ in range(5):
        store.get("a")

    assert (len(there.asked), there.connections) == (5, 1)


def test_a_connection_on_which_the_other_end_has_hung_up_is_never_written_to(
    service: tuple[ObjectStore, Service],
) -> None:
    store, there = service
    there.hangs_up = True

    for number in range(5):
        store.create(f"a/{number}", b"x")

    assert there.asked == [f"PUT /flights/a/{number}" for number in range(5)], "none was sent twice"


def test_a_connection_that_was_silent_for_long_is_not_trusted(
    service: tuple[ObjectStore, Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, there = service
    store.get("a")

    monkeypatch.setattr(s3_http, "IDLE_S", 0.0)
    store.get("a")

    assert there.connections == 2


def test_many_threads_share_the_connections_and_each_gets_its_own_answer(address: str) -> None:
    store = lean(address)
    for number in range(16):
        store.create(f"shared/{number}", b"%d" % number)

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda number: store.get(f"shared/{number % 16}").data, range(320)))

    assert found == [b"%d" % (number % 16) for number in range(320)]


def error(code: str, more: str = "") -> bytes:
    return f"<Error><Code>{code}</Code><Message>it says</Message>{more}</Error>".encode()


@pytest.mark.parametrize(
    ("status", "body", "meaning", "why"),
    [
        (404, error("NoSuchKey"), NotFound, "^a: "),
        (404, error("NoSuchBucket", "<BucketName>flights</BucketName>"), Misconfigured, "^flights: .*no such bucket"),
        (403, error("AccessDenied"), Misconfigured, "give this identity the permissions"),
        (400, error("AuthorizationHeaderMalformed"), Misconfigured, "another region"),
        (400, error("ExpiredToken"), Misconfigured, "log in again"),
        (400, error("KeyTooLongError"), Rejected, "KeyTooLongError"),
        (400, error("SomethingNew"), Misconfigured, "S3 says SomethingNew"),
        (301, b"", Misconfigured, "another region"),
        (429, b"", Unavailable, "S3 says 429"),
        (500, error("InternalError"), Unavailable, "InternalError"),
        (503, error("SlowDown"), Unavailable, "SlowDown"),
        (502, b"<html>a gateway's</html>", Unavailable, "502"),
    ],
)
def test_what_an_answer_means(
    service: tuple[ObjectStore, Service], status: int, body: bytes, meaning: type[Exception], why: str
) -> None:
    store, there = service
    there.plan = lambda _: (status, {}, body)

    with pytest.raises(meaning, match=why):
        store.get("a")

    assert len(there.asked) == (certainty.ATTEMPTS if meaning is Unavailable else 1)


def test_an_object_that_looks_like_a_refusal_is_an_object(address: str) -> None:
    store = lean(address)
    store.create("quarantine/a", error("NoSuchKey"))

    assert store.get("quarantine/a").data == error("NoSuchKey")


def test_joining_parts_may_fail_after_its_answer_began_well(service: tuple[ObjectStore, Service]) -> None:
    store, there = service
    begun = b"<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"
    posted = iter([begun, error("PreconditionFailed")])
    there.plan = lambda method: (200, {}, next(posted) if method == "POST" else b"")

    with pytest.raises(Conflict):
        store.create_from("blobs/a", BytesIO(bytes(streams.CHUNK)))

    assert there.asked[-1] == "DELETE /flights/blobs/a?uploadId=u", "what was sent is not left behind"


def test_an_answer_that_breaks_off_is_no_object(service: tuple[ObjectStore, Service]) -> None:
    store, there = service
    there.plan = lambda _: (200, {"content-length": "100", "connection": "close"}, b"half")
    there.hangs_up = True

    with pytest.raises(Unavailable, match="IncompleteRead"):
        store.get("a")


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for this machine that nobody but itself vouches for, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    alternatives = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(alternatives, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("certified") / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


@pytest.fixture
def encrypted(certified: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certified)
    s3_http.trust.cache_clear()
    with serving(context) as (endpoint, _):
        yield f"s3://flights?endpoint={endpoint}"
    s3_http.trust.cache_clear()


def test_whom_this_machine_trusts_is_spoken_to(
    encrypted: str, certified: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(certified))

    assert lean(encrypted).get("a").version == '"1"'


def test_a_service_that_nobody_vouches_for_gets_no_request(encrypted: str) -> None:
    with pytest.raises(Unavailable, match="SSLCertVerificationError"):
        lean(encrypted).get("a")


def test_certificates_that_cannot_be_read_are_a_deployment_mistake(
    encrypted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "absent.pem"))

    with pytest.raises(Misconfigured, match=r"AWS_CA_BUNDLE: .*absent.pem"):
        lean(encrypted).get("a")
