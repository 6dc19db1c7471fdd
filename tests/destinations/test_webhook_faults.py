"""Receivers at their worst: each costs its own attempt a bounded time, and the outcome says what was wrong."""

import asyncio
import datetime
import ipaddress
import socket
import ssl
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scimhub.destinations.egress import Policy
from scimhub.distribution.delivery import Delivered, Gone, Rejected, Retry
from tests.destinations.receivers import NO_CONTENT, message, receiving, reset, says, secret, sending, status
from tests.servers.running import PATIENCE

BROKEN_OFF = Retry("127.0.0.1 broke the connection off before it had answered.", "resource")
TOO_LATE = Retry("127.0.0.1 did not answer within 1 seconds.", "resource")


async def outcome_of(answering, **configuration):
    async with receiving(answering) as receiver, sending(receiver.url, **configuration) as sender:
        outcome = await sender.send(message())
    return outcome, receiver


async def hangs(receiver, request, reader, writer):
    await asyncio.Event().wait()


async def dribbles_the_head(receiver, request, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.05)


async def resets_after_reading(receiver, request, reader, writer):
    reset(writer)


async def closes_after_reading(receiver, request, reader, writer):
    writer.close()


async def resets_within_the_head(receiver, request, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    await writer.drain()
    reset(writer)


async def closes_within_the_head(receiver, request, reader, writer):
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    writer.close()


# --------------------------------------------------------------------------- no answer


@pytest.mark.parametrize("answering", [hangs, dribbles_the_head])
async def test_a_receiver_that_does_not_get_done_is_given_up_in_time(answering):
    began = time.monotonic()
    outcome, receiver = await outcome_of(answering, timeout=1)
    assert outcome == TOO_LATE
    # Not before its time; and not when the receiver would be done, which is never.
    assert 0.9 < time.monotonic() - began < 20
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "answering", [resets_after_reading, closes_after_reading, resets_within_the_head, closes_within_the_head]
)
async def test_a_connection_that_is_broken_off_is_tried_again_later(answering):
    outcome, receiver = await outcome_of(answering)
    assert outcome == BROKEN_OFF
    # Nothing is sent twice at once: the receiver may have had it.
    assert receiver.connections == 1


async def test_a_reset_before_anything_was_read_is_tried_again_later():
    async def converse(reader, writer):
        reset(writer)

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server, sending(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as sender:
        assert await sender.send(message()) == BROKEN_OFF


async def test_a_port_where_nobody_listens_is_the_destinations_fault():
    async with receiving() as receiver:
        pass
    async with sending(receiver.url) as sender:
        outcome = await sender.send(message())
    assert isinstance(outcome, Retry)
    assert outcome.blame == "destination"
    assert outcome.reason.startswith("No connection to 127.0.0.1 can be made: ")


async def test_a_connection_that_nobody_accepts_is_the_destinations_fault():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        crowd = [socket.socket() for _ in range(4)]
        try:
            # With its queue full the system leaves further ones without an answer.
            for one in crowd:
                one.setblocking(False)
                one.connect_ex(listening.getsockname())
            async with sending(f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout=1) as sender:
                outcome = await sender.send(message())
        finally:
            for one in crowd:
                one.close()
    assert outcome == Retry("127.0.0.1 took too long to accept a connection.", "destination")


async def test_a_name_without_address_is_the_destinations_fault():
    # RFC 6761: names below .invalid never exist.
    async with sending("http://nowhere.invalid/") as sender:
        outcome = await sender.send(message())
    assert isinstance(outcome, Retry)
    assert outcome.blame == "destination"
    assert outcome.reason.startswith("The name nowhere.invalid has no address: ")


@pytest.mark.parametrize("head", [b"220 mail.example.com ESMTP\r\n", b"HTTP/1.1 200 OK\r\nX\0: ESMTP\r\n\r\n"])
async def test_an_answer_that_is_not_http_is_the_destinations_fault_and_is_not_repeated(head):
    """It may be what was sent, and reasons stand in the log."""
    outcome, _ = await outcome_of(says(head))
    assert outcome == Retry("What 127.0.0.1 answered is not HTTP.", "destination")


async def test_a_head_without_end_is_not_read_to_its_end():
    async def answering(receiver, request, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n")
        while True:
            writer.write(b"X-Again: " + b"a" * 4000 + b"\r\n")
            await writer.drain()

    outcome, _ = await outcome_of(answering, timeout=15)
    assert isinstance(outcome, Retry)
    assert "did not answer" not in outcome.reason


# --------------------------------------------------------------------------- answers


async def test_answers_become_outcomes_with_their_excerpt():
    outcome, _ = await outcome_of(status("500 Oops", b'{"error":"no\nspace","token":"abc"}'))
    assert outcome == Retry(
        "The receiver answered 500 Internal Server Error.", "resource", None, 500, '{"error":"no\\nspace","token":[redacted]}'
    )
    outcome, _ = await outcome_of(status("429 Slow down", b"", "Retry-After: 30"))
    assert outcome == Retry("The receiver answered 429 Too Many Requests and asked to wait 30 s.", "destination", 30.0, 429, "")
    outcome, _ = await outcome_of(status("410 Gone", b"bye"))
    assert outcome == Gone("The receiver answered 410 Gone: it wants no more events.", 410, "bye")
    outcome, _ = await outcome_of(status("401 No", b""))
    assert isinstance(outcome, Retry)
    assert (outcome.blame, outcome.status) == ("destination", 401)
    outcome, _ = await outcome_of(status("409 No", b"why"))
    assert outcome == Rejected("The receiver answered 409 Conflict: it does not accept this event.", 409, "why")


async def test_a_receiver_that_shows_what_it_was_sent_shows_no_headers():
    outcome, _ = await outcome_of(status("400 No", b'{"X-Key": "plain words"}'), headers={"X-Key": "plain words"})
    assert isinstance(outcome, Rejected)
    assert outcome.excerpt == '{"X-Key": "[redacted]"}'


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed(code):
    async with receiving() as inside:
        outcome, receiver = await outcome_of(status(f"{code} Over there", b"", f"Location: {inside.url}"))
    assert isinstance(outcome, Retry)
    assert (outcome.blame, outcome.status) == ("destination", code)
    assert outcome.reason.endswith("redirects are not followed: give the final URL.")
    assert (receiver.connections, inside.connections) == (1, 0)


async def test_a_redirect_to_a_metadata_address_is_not_followed():
    outcome, receiver = await outcome_of(
        status("302 Found", b"", "Location: http://169.254.169.254/latest/meta-data/iam/"), timeout=2
    )
    assert outcome == Retry(
        "The receiver answered 302 Found; redirects are not followed: give the final URL.", "destination", None, 302, ""
    )
    assert len(receiver.requests) == 1


@pytest.mark.parametrize("line", ["200 OK", "500 Oops"])
@pytest.mark.parametrize("length", [f"Content-Length: {200 * 1024 * 1024}", "Connection: close"])
async def test_of_a_huge_answer_next_to_nothing_is_read(line, length):
    sent = 0
    is_cut_off = asyncio.Event()

    async def answering(receiver, request, reader, writer):
        nonlocal sent
        writer.write(f"HTTP/1.1 {line}\r\n{length}\r\n\r\n".encode())
        try:
            while sent < 200 * 1024 * 1024:
                writer.write(b"b" * 65536)
                await writer.drain()
                sent += 65536
        except ConnectionError:
            is_cut_off.set()

    async with receiving(answering) as receiver, sending(receiver.url) as sender:
        outcome = await sender.send(message())
        await asyncio.wait_for(is_cut_off.wait(), PATIENCE)
    assert isinstance(outcome, Delivered if line == "200 OK" else Retry)
    # What the buffers of two sockets hold, not what was offered.
    assert sent < 20 * 1024 * 1024


@pytest.mark.parametrize("line, expected", [("200 OK", Delivered(200)), ("404 Not Found", Rejected)])
async def test_a_body_that_dribbles_is_not_waited_for(line, expected):
    async def answering(receiver, request, reader, writer):
        writer.write(f"HTTP/1.1 {line}\r\nContent-Length: 1000\r\n\r\nbegin".encode())
        await asyncio.Event().wait()

    began = time.monotonic()
    outcome, _ = await outcome_of(answering, timeout=15)
    assert time.monotonic() - began < 12
    if isinstance(expected, Delivered):
        assert outcome == expected
    else:
        assert outcome == Rejected("The receiver answered 404 Not Found: it does not accept this event.", 404, "begin")


async def test_a_confirmation_counts_although_its_body_breaks_off():
    async def answering(receiver, request, reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin")
        await writer.drain()
        writer.close()

    outcome, _ = await outcome_of(answering)
    assert outcome == Delivered(200)


async def test_an_answer_that_claims_to_be_compressed_is_not_unpacked():
    outcome, _ = await outcome_of(status("500 Oops", b"plainly not gzip", "Content-Encoding: gzip"))
    assert isinstance(outcome, Retry)
    assert outcome.excerpt == "plainly not gzip"


# --------------------------------------------------------------------------- stale connections


async def stale_after_one(first_end):
    """A receiver whose first connection ends, in the given way, when its second request comes."""
    seen: list[int] = []

    async def answering(receiver, request, reader, writer):
        seen.append(receiver.connections)
        if len(seen) == 2:
            await first_end(writer)
            return
        writer.write(NO_CONTENT)

    async with receiving(answering) as receiver, sending(receiver.url) as sender:
        assert await sender.send(message("e1")) == Delivered(204)
        outcome = await sender.send(message("e2"))
    return outcome, seen, [request.headers["webhook-id"] for request in receiver.requests]


@pytest.mark.parametrize("how", ["reset", "close"])
async def test_a_stale_connection_is_replaced_at_once(how):
    async def end(writer):
        reset(writer) if how == "reset" else writer.close()

    outcome, connections, ids = await stale_after_one(end)
    assert outcome == Delivered(204)
    assert connections == [1, 1, 2]
    assert ids == ["e1", "e2", "e2"]


async def test_a_connection_that_broke_off_within_an_answer_is_not_stale():
    async def end(writer):
        writer.write(b"HTTP/1.1 2")
        await writer.drain()
        reset(writer)

    outcome, connections, _ = await stale_after_one(end)
    assert outcome == BROKEN_OFF
    assert connections == [1, 1]


async def test_a_connection_that_breaks_off_late_is_not_stale():
    async def end(writer):
        await asyncio.sleep(1.1)  # the receiver's slowness is what is tested
        reset(writer)

    outcome, connections, _ = await stale_after_one(end)
    assert outcome == BROKEN_OFF
    assert connections == [1, 1]


async def test_the_second_try_is_the_last_one():
    async def answering(receiver, request, reader, writer):
        if len(receiver.requests) == 1:
            writer.write(NO_CONTENT)
        else:
            reset(writer)

    async with receiving(answering) as receiver, sending(receiver.url) as sender:
        await sender.send(message("e1"))
        assert await sender.send(message("e2")) == BROKEN_OFF
    assert [request.headers["webhook-id"] for request in receiver.requests] == ["e1", "e2", "e2"]


# --------------------------------------------------------------------------- TLS


def self_signed() -> tuple[ssl.SSLContext, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ) + certificate.public_bytes(serialization.Encoding.PEM)
    return context, pem


@pytest.fixture
def tls(tmp_path):
    context, pem = self_signed()
    (tmp_path / "pair.pem").write_bytes(pem)
    context.load_cert_chain(tmp_path / "pair.pem")
    return context


async def test_a_certificate_that_nobody_vouches_for_is_refused(tls):
    async with receiving(tls=tls) as receiver, sending(receiver.url) as sender:
        outcome = await sender.send(message())
    assert isinstance(outcome, Retry)
    assert outcome.blame == "destination"
    assert outcome.reason in (
        "The certificate of 127.0.0.1 is not accepted: self-signed certificate.",
        "The certificate of 127.0.0.1 is not accepted: self signed certificate.",
    )
    assert receiver.requests == []


async def test_tls_where_there_is_none_is_the_destinations_fault():
    # The receiver takes the handshake for a request and answers in plain text.
    async def converse(reader, writer):
        await reader.read(16)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    async with server, sending(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as sender:
        outcome = await sender.send(message())
    assert isinstance(outcome, Retry)
    assert outcome.blame == "destination"
    assert outcome.reason.startswith("No TLS connection with 127.0.0.1 can be made: ")


# --------------------------------------------------------------------------- others are not touched


async def test_a_receiver_that_hangs_leaves_the_others_alone():
    async with (
        receiving(hangs) as hanging,
        receiving() as working,
        sending(hanging.url, timeout=30) as stuck,
        sending(working.url) as free,
    ):
        waiting = [asyncio.create_task(stuck.send(message(f"h{n}"))) for n in range(16)]
        began = time.monotonic()
        for n in range(100):
            assert await free.send(message(f"w{n}")) == Delivered(204)
        # Before the first of those that hang is given up.
        assert time.monotonic() - began < 25
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_cancelling_a_delivery_is_not_swallowed():
    async with receiving(hangs) as receiver, sending(receiver.url) as sender:
        task = asyncio.create_task(sender.send(message()))
        async with asyncio.timeout(PATIENCE):
            while not receiver.requests:
                await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_closed_sender_answers_with_an_outcome():
    async with receiving() as receiver, sending(receiver.url, secret(), policy=Policy(allow_loopback=True)) as sender:
        await sender.send(message())
        await sender.close()
        outcome = await sender.send(message())
    assert outcome == Retry("The event could not be sent to 127.0.0.1: RuntimeError.", "destination")
