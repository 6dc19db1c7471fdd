"""A configuration is completed with defaults or refused with every mistake."""

from ipaddress import IPv6Address, ip_network

import pytest

from scimhub.destinations import kinds
from scimhub.destinations.egress import Policy
from scimhub.directory.errors import Invalid

WEBHOOK = kinds(Policy(), lambda: 0.0)["webhook"]
URL = "https://example.com/events"


def problems(policy: Policy = Policy(), **configuration: object) -> list[str]:  # noqa: B008 - a frozen value
    with pytest.raises(Invalid) as refused:
        kinds(policy, lambda: 0.0)["webhook"].check(configuration)
    return refused.value.problems


def test_the_kinds_are_listed_by_name():
    assert next(iter(kinds(Policy(), lambda: 0.0))) == "webhook"
    assert WEBHOOK.name == "webhook"
    assert [WEBHOOK.purpose(checked) for checked in ({}, {"signature": "ed25519"})] == ["hmac", "ed25519"]


def test_an_url_is_enough():
    assert WEBHOOK.check({"url": URL}) == {
        "url": URL,
        "format": "structured",
        "timeout": 15,
        "headers": {},
        "concurrency": 16,
        "largest_message": 0,
        "rate": 0,
        "signature": "hmac",
    }


def test_everything_can_be_set():
    everything = {
        "url": "http://10.0.0.1:8080/a%20b?c=d",
        "format": "binary",
        "timeout": 2.5,
        "headers": {"Authorization": "Bearer abc", "X-Team": "a b"},
        "concurrency": 64,
        "largest_message": 20_000,
        "rate": 0.5,
        "signature": "ed25519",
    }
    assert WEBHOOK.check(everything) == everything


@pytest.mark.parametrize(
    "url",
    [
        URL,
        "http://example.com",
        "https://[2606:4700::1111]:8443/x",
        "https://münchen.example/",
        "http://a_b.example./",
        "HTTPS://E.example",
    ],
)
def test_an_url_with_a_host_is_taken(url):
    assert WEBHOOK.check({"url": url})["url"] == url


@pytest.mark.parametrize(
    "url, said",
    [
        (None, "A webhook needs url, the address to which events are posted, such as https://example.com/events."),
        ("", "A webhook needs url"),
        (5, "A webhook needs url"),
        ("https://example.com/" + "a" * 1981, "The url has 2001 characters; 2000 are possible."),
        ("https://example.com/a b", "The url contains a blank"),
        ("https://example.com/\r\nX: y", "The url contains a blank"),
        ("https:\\\\example.com", "The url contains a blank, a control character or a backslash"),
        ("ftp://example.com/", "The url begins with 'ftp'; it must begin with https:// or http://."),
        ("file:///etc/passwd", "The url begins with 'file'"),
        ("example.com/events", "The url begins with 'no scheme'"),
        ("https:///events", "The url names no host to connect to, or port 0"),
        ("https://example.com:99999/", "The url cannot be read"),
        ("https://example.com:0/", "The url names no host to connect to, or port 0"),
        ("https://[::1/", "The url cannot be read"),
        ("https://dana:secret@example.com/", "The url holds a user name or password; put credentials into headers instead."),
        ("https://dana@example.com/", "The url holds a user name or password"),
        ("https://@example.com/", "The url holds a user name or password"),
        ("https://example..com/", "The url names the host 'example..com', which can be no name of a host."),
        ("https://.example.com/", "The url names the host '.example.com'"),
        (f"https://{'a' * 64}.com/", "The url names the host 'aaa"),
        (f"https://{'a.' * 130}com/", "The url names the host 'a.a"),
        ("https://example%00.com/", "The url names the host 'example%00.com'"),
        ("https://xn--zzzzzz--.com/", "The url cannot be read"),
        ("https://example.com/#part", "The url has a fragment (#…), which is never sent; leave it out."),
        ("https://example.com/#", "The url has a fragment"),
        ("http://127.0.0.1/", "The host of the url cannot be used: The address 127.0.0.1 is this machine itself (loopback)."),
        (
            "http://169.254.169.254/latest",
            "The host of the url cannot be used: The address 169.254.169.254 belongs to a cloud's",
        ),
        ("http://2130706433/", "The host of the url cannot be used: The address 127.0.0.1 is this machine itself"),
        (
            "http://[::ffff:127.0.0.1]/",
            f"The host of the url cannot be used: The address {IPv6Address('::ffff:127.0.0.1')} carries another one.",
        ),
        ("http://localhost:8080/", "The host of the url cannot be used: The address 127.0.0.1 is"),
        ("http://①②⑦.0.0.1/", "The host of the url cannot be used: The address 127.0.0.1 is"),
    ],
)
def test_an_url_that_cannot_be_used_is_refused_with_the_reason(url, said):
    found = problems(url=url)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_the_policy_decides_about_literal_addresses():
    assert problems(Policy(public_only=True), url="http://10.0.0.1/") == [
        "The host of the url cannot be used: The address 10.0.0.1 is in a private network."
    ]
    permitting = kinds(Policy(public_only=True, allowed=(ip_network("10.0.0.0/24"),)), lambda: 0.0)["webhook"]
    assert permitting.check({"url": "http://10.0.0.1/"})["url"] == "http://10.0.0.1/"


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("format", "batch", "The format is 'batch'; it must be structured or binary."),
        ("format", None, "The format is None; it must be structured or binary."),
        ("format", [], "The format is []; it must be structured or binary."),
        ("signature", "rsa", "The signature is 'rsa'; it must be hmac or ed25519."),
        ("timeout", 0.5, "The timeout is 0.5; it must be a number of seconds from 1 to 30."),
        ("timeout", 31, "The timeout is 31; it must be a number of seconds from 1 to 30."),
        ("timeout", "15", "The timeout is '15'; it must be a number of seconds from 1 to 30."),
        ("timeout", True, "The timeout is True; it must be a number of seconds from 1 to 30."),
        ("timeout", float("nan"), "The timeout is nan; it must be a number of seconds from 1 to 30."),
        ("concurrency", 0, "The concurrency is 0; it must be a whole number from 1 to 64."),
        ("concurrency", 65, "The concurrency is 65; it must be a whole number from 1 to 64."),
        ("concurrency", 1.5, "The concurrency is 1.5; it must be a whole number from 1 to 64."),
        ("headers", [], "The headers are no object; write names and values, such as"),
        ("headers", {"Host": "x"}, "The header Host cannot be set; it belongs to the connection or to the hub."),
        ("headers", {"Connection": "close"}, "The header Connection cannot be set"),
        ("headers", {"Transfer-Encoding": "chunked"}, "The header Transfer-Encoding cannot be set"),
        ("headers", {"TE": "trailers"}, "The header TE cannot be set"),
        ("headers", {"Content-Length": "0"}, "The header Content-Length cannot be set"),
        ("headers", {"content-type": "text/plain"}, "The header content-type cannot be set"),
        ("headers", {"Webhook-Signature": "v1,x"}, "The header Webhook-Signature cannot be set"),
        ("headers", {"CE-id": "x"}, "The header CE-id cannot be set"),
        ("headers", {"User-Agent": "x"}, "The header User-Agent cannot be set"),
        ("headers", {"": "x"}, "The header name '' has characters that a name cannot have"),
        ("headers", {"X Y": "x"}, "The header name 'X Y' has characters that a name cannot have"),
        ("headers", {"X:Y": "x"}, "The header name 'X:Y' has characters that a name cannot have"),
        ("headers", {"X-A": "a\r\nX-B: b"}, "The value of the header 'X-A' cannot be sent"),
        ("headers", {"X-A": ""}, "The value of the header 'X-A' cannot be sent"),
        ("headers", {"X-A": "Zoë"}, "The value of the header 'X-A' cannot be sent"),
        ("headers", {"X-A": 5}, "The value of the header 'X-A' cannot be sent"),
        ("headers", {"X-A": "a" * 4001}, "The value of the header 'X-A' cannot be sent"),
        ("headers", {"X-A": "1", "x-a": "2"}, "The header x-a is there twice, in different case."),
        ("headers", {f"X-{n}": "1" for n in range(21)}, "There are 21 headers; 20 are possible."),
        ("urll", "x", "A webhook's configuration has no key 'urll'; did you mean url?"),
        ("time-out", 5, "A webhook's configuration has no key 'time-out'; did you mean timeout?"),
        ("zebra", 5, "A webhook's configuration has no key 'zebra'; there are url, format, timeout, headers, "),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_the_reason(key, value, said):
    found = problems(**{"url": URL, key: value})
    assert len(found) == 1
    assert found[0].startswith(said)


def test_every_mistake_is_told_at_once_and_no_header_value_is_shown():
    found = problems(url="ftp://x", format="x", timeout=99, concurrency=0, signature=1, headers={"X": "se\ncret"}, retries=3)
    assert len(found) == 7
    assert "cret" not in " ".join(found)
