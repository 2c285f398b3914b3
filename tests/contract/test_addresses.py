"""What is no address is refused before anybody is asked, and what may be a secret in it is not shown."""

import pytest

from samara.errors import Misconfigured
from samara.providers import NAMES, load, store_at
from samara.providers.addresses import parsed, provider_of
from samara.settings import Settings

WRONG = [
    "s3://[flights",
    "s3://flights#may",
    "s3://fl ights",
    "s3://fl%0aights",
    "s3://flüge",
    "s3://" + "a" * 64,
    "s3://flights?region=",
    "s3://flights?region=no such",
    "s3://flights?endpoint=",
    "s3://flights?endpoint=minio:9000",
    "s3://flights?endpoint=http://",
    "s3://flights?endpoint=http://minio:abc",
    "s3://flights?endpoint=http://minio:99999",
    "s3://flights?endpoint=http://[::1",
    "s3://flights?endpoint=http://mi nio",
    "s3://flights?endpoint=http://" + "a" * 64,
    "s3://flights?endpoint=http://minio:9000%0d%0aX: y",
    "gs://..?endpoint=http://127.0.0.1:1",
    "gs://flights?endpoint=http://127.0.0.1:99999",
    "az://devstoreaccount1/flights?endpoint=http://127.0.0.1:abc",
    "libcloud://minio/flights?endpoint=http://127.0.0.1:abc",
    "file:",
    "file:~/bucket",
    "file://bucket",
]
SECRET = [
    "s3://AKIA:s3cret@flights",
    "s3://AKIA:s3cret@[flights",
    "s3://flights?secret=s3cret",
    "s3://flights?endpoint=http://AKIA:s3cret@minio",
    "libcloud://minio/flights?endpoint=http://AKIA:s3cret@minio",
]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIBCLOUD_KEY", "testing")


@pytest.mark.parametrize("address", WRONG)
def test_what_is_no_address_is_a_deployment_mistake(address: str) -> None:
    with pytest.raises(Misconfigured) as refusal:
        store_at(address)

    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("address", [wrong for wrong in WRONG + SECRET if wrong.startswith("s3")])
def test_both_who_speak_to_s3_refuse_the_same(address: str) -> None:
    with pytest.raises(Misconfigured):
        load("s3").object_store(Settings(provider="s3", store=address))


@pytest.mark.parametrize("address", SECRET)
def test_what_may_be_a_secret_is_not_shown(address: str) -> None:
    with pytest.raises(Misconfigured) as refusal:
        store_at(address)

    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    "address",
    [
        "s3://flights",
        "s3://fl.ights-2?region=eu-central-1&endpoint=https://minio.example:9000/s3/",
        "s3://flights?endpoint=http://[::1]:9000",
        "s3://flights?endpoint=HTTPS://minio.example&region=region_one",
        "gs://flights_2",
        "gs://flights?endpoint=http://127.0.0.1:4443/as/somebody@acme.iam.example",
        "az://acme/flights?endpoint=https://acme.blob.core.chinacloudapi.cn",
        "pubsub://example.com:acme/wakes",
        "libcloud://local/flights?endpoint=/srv/of objects",
    ],
)
def test_what_people_write_is_an_address(address: str) -> None:
    assert parsed(address, "region").scheme == address.partition(":")[0]


@pytest.mark.parametrize("home", [{"AWS_PROFILE": "nobodys"}, {"AWS_DEFAULT_REGION": "no such"}])
def test_settings_of_which_the_sdk_makes_no_client_are_a_deployment_mistake(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in home.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(Misconfigured):
        load("aws").object_store(Settings(provider="aws", store="s3://flights"))
    with pytest.raises(Misconfigured):
        load("aws").job_runner(Settings(provider="aws", jobs="batch://queue/definition"))
    with pytest.raises(Misconfigured):
        load("aws").bus(Settings(provider="aws", bus="events://default"))


@pytest.mark.parametrize("given", ["rubbish", "AccountName=acme;AccountKey=%%%;s3cret"])
def test_a_connection_string_that_is_none_is_a_deployment_mistake(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", given)

    with pytest.raises(Misconfigured, match="AZURE_STORAGE_CONNECTION_STRING") as refusal:
        store_at("az://acme/flights")

    assert "s3cret" not in str(refusal.value)


def test_a_key_that_is_none_is_a_deployment_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_KEY", "no key!")

    with pytest.raises(Misconfigured, match="AZURE_STORAGE_KEY: is no key of an account"):
        store_at("az://acme/flights")


def test_whoever_keeps_objects_at_an_address_is_known() -> None:
    assert {provider_of(f"{scheme}://flights") for scheme in ("s3", "gs", "az", "libcloud")} <= set(NAMES)
