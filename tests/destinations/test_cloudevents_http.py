"""Events over HTTP in both modes, read back by the CloudEvents SDK."""

import re

import pytest
from cloudevents.core.bindings import http as sdk
from cloudevents.core.formats.json import JSONFormat
from hypothesis import given
from hypothesis import strategies as st

from scimhub.destinations import cloudevents_http
from scimhub.distribution import contract_examples
from scimhub.distribution.contract_examples import Example
from scimhub.distribution.delivery import Message
from tests.destinations.receivers import message, receiving, sending

EXAMPLES = list(contract_examples.examples())


@pytest.mark.parametrize(
    "value, encoded",
    [
        ("plain-~!#$&'()*+,/:;<=>?@[\\]^_`{|}", "plain-~!#$&'()*+,/:;<=>?@[\\]^_`{|}"),
        ("a b", "a%20b"),
        ('"', "%22"),
        ("100%", "100%25"),
        ("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("\x7f\r\n", "%7F%0D%0A"),
        ("", ""),
    ],
)
def test_values_are_percent_encoded_as_the_binding_says(value, encoded):
    assert dict(cloudevents_http.binary_headers({"subject": value})) == {"ce-subject": encoded}


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(
    TEXTS,
    TEXTS,
    st.dictionaries(st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(lambda name: name not in _CORE), TEXTS),
)
def test_the_sdk_reads_back_any_value(subject, source, extensions):
    made = message(subject=subject, source=source, **extensions)
    headers = dict(cloudevents_http.binary_headers(made.attributes))
    assert all(re.fullmatch(r"[\x21-\x7e]+", value) for value in headers.values())
    event = sdk.from_binary_event(sdk.HTTPMessage({name.lower(): value for name, value in headers.items()}, made.data))
    for name, value in {"subject": subject, "source": source, **extensions}.items():
        assert event.get_attributes()[name] == value


_CORE = {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.name)
@pytest.mark.parametrize("format", ["structured", "binary"])
async def test_the_sdk_reads_every_event_from_the_wire(example: Example, format: str):
    async with receiving() as receiver, sending(receiver.url, format=format) as sender:
        await sender.send(example.message)
    (request,) = receiver.requests
    event = sdk.from_http_event(sdk.HTTPMessage(request.headers, request.body))
    shown = contract_examples.render(example.message)
    # The SDK makes a datetime of the time.
    attributes = {name: value for name, value in event.get_attributes().items() if name != "time"}
    assert attributes == {name: value for name, value in shown.items() if name not in ("data", "time")}
    assert event.get_time().isoformat(timespec="milliseconds") == shown["time"].replace("Z", "+00:00")
    assert event.get_data() == shown["data"]


async def test_the_bytes_on_the_wire_are_those_of_the_message():
    made = message(subject="Zoë ☃")
    async with receiving() as receiver:
        for format in ("structured", "binary"):
            async with sending(receiver.url, format=format) as sender:
                await sender.send(made)
    structured, binary = receiver.requests
    assert structured.body == made.body
    assert structured.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert not [name for name in structured.names if name.startswith("ce-")]
    assert binary.body == made.data
    assert binary.headers["content-type"] == "application/json"
    assert "ce-datacontenttype" not in binary.names
    assert binary.headers["ce-subject"] == "Zo%C3%AB%20%E2%98%83"
    assert JSONFormat().read(None, structured.body).get_subject() == "Zoë ☃"


def test_a_replayed_message_keeps_its_event_id():
    made = Message("e1_r1", {**message("e1").attributes, "replayid": "r1"}, b"{}")
    headers = dict(cloudevents_http.binary_headers(made.attributes))
    assert (headers["ce-id"], headers["ce-replayid"]) == ("e1", "r1")
