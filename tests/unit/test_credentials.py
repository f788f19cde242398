"""Which options are secrets."""

import pytest

from rio_mucho_cli.text import redact, redact_options, secret_names, secrets_in_variables


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_SESSION_TOKEN",
        "GS_SECRET_ACCESS_KEY",
        "GS_OAUTH2_REFRESH_TOKEN",
        "GS_OAUTH2_CLIENT_SECRET",
        "GS_OAUTH2_PRIVATE_KEY",
        "AZURE_STORAGE_ACCESS_KEY",
        "AZURE_STORAGE_SAS_TOKEN",
        "AZURE_STORAGE_CONNECTION_STRING",
        "AZURE_SAS",
        "OSS_SECRET_ACCESS_KEY",
        "SWIFT_KEY",
        "SWIFT_AUTH_TOKEN",
        "SWIFT_PASSWORD",
        "GDAL_HTTP_USERPWD",
        "GDAL_HTTP_PROXYUSERPWD",
        "GDAL_HTTP_BEARER",
        "GDAL_HTTP_HEADERS",
        "GDAL_HTTP_COOKIE",
    ],
)
def test_secrets(name):
    assert secret_names({name: "x", name.lower(): "x", "GDAL_CACHEMAX": 1}) == sorted(
        [name, name.lower()]
    )


def test_what_is_no_secret():
    options = {
        "AWS_REGION": "eu", "AWS_S3_ENDPOINT": "localhost:9000", "AWS_NO_SIGN_REQUEST": "YES",
        "GDAL_HTTP_MAX_RETRY": 4, "GDAL_HTTP_TIMEOUT": 3, "VSI_CACHE": True,
        "GDAL_HTTP_PROXY": "http://proxy:80", "CPL_VSIL_CURL_CHUNK_SIZE": 16384,
    }  # fmt: skip
    assert secret_names(options) == []


@pytest.mark.parametrize("address", ["http://me:word@proxy:80", "me:word@proxy:80"])
def test_a_password_in_an_address_is_one(address):
    assert secret_names({"GDAL_HTTP_PROXY": address}) == ["GDAL_HTTP_PROXY"]


def test_variables_that_mean_something_elsewhere(monkeypatch):
    for name in ("AWS_REGION", "GDAL_HTTP_TIMEOUT", "VSI_CACHE", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "1")
    for name in (
        "AWS_CONFIG_FILE",
        "AWS_PROFILE",
        "GDAL_DATA",
        "HOME_AWS_REGION",
        "AWS_CONTAINER_X",
    ):
        monkeypatch.setenv(name, "1")
    assert set(secrets_in_variables()) >= {"AWS_REGION", "GDAL_HTTP_TIMEOUT", "VSI_CACHE"}
    assert not set(secrets_in_variables()) & {
        "AWS_CONFIG_FILE",
        "AWS_PROFILE",
        "GDAL_DATA",
        "AWS_CONTAINER_X",
    }


def test_options_are_shown_without_secrets():
    given = {"compress": "lzw", "HTTP_TOKEN": "secret"}
    assert redact_options(given) == {"compress": "lzw", "HTTP_TOKEN": "***"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://me:hidden@host/a.tif", "https://***@host/a.tif"),
        ("/vsicurl/https://host/a.tif?sig=x&e=1 is", "/vsicurl/https://host/a.tif?*** is"),
        ("PG:host=h password=hidden dbname=d", "PG:host=h password=*** dbname=d"),
        ("AWS_SECRET_ACCESS_KEY=hidden", "AWS_SECRET_ACCESS_KEY=***"),
        ("s3://bucket/a@b.tif", "s3://bucket/a@b.tif"),
        ("me:hidden@host", "***@host"),
        ("https://host/wcs?bbox=1,2,3,4&key=hidden", "https://host/wcs?***"),
        ("PG:dbname=d password='hid den' host=h", "PG:dbname=d password=*** host=h"),
        ("a b.tif", "a b.tif"),
        ("what?.tif", "what?.tif"),
        ("is it? KeyError: 'token'", "is it? KeyError: 'token'"),
    ],
)  # fmt: skip
def test_texts_are_shown_without_what_is_secret_in_them(text, shown):
    assert redact(text) == shown
