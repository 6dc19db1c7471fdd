"""What an answer means."""

from http import HTTPStatus

import pytest

from scimhub.destinations.http_outcomes import of_answer, parse_retry_after
from scimhub.distribution.delivery import Delivered, Gone, Rejected, Retry

NOW = 1_800_000_000.0  # Fri, 15 Jan 2027 08:00:00 GMT
DAY = 86_400.0


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206, 299])
def test_any_2xx_confirms(status):
    assert of_answer(status, None, "", NOW) == Delivered(status)


@pytest.mark.parametrize(
    "status, outcome",
    [
        (410, Gone("The receiver answered 410 Gone: it wants no more events.", 410, "e")),
        (
            401,
            Retry(
                "The receiver answered 401 Unauthorized; check its credentials and its check of the signature.",
                "destination",
                None,
                401,
                "e",
            ),
        ),
        (
            403,
            Retry(
                "The receiver answered 403 Forbidden; check its credentials and its check of the signature.",
                "destination",
                None,
                403,
                "e",
            ),
        ),
        (429, Retry("The receiver answered 429 Too Many Requests and asked to wait 7 s.", "destination", 7.0, 429, "e")),
        (502, Retry("The receiver answered 502 Bad Gateway and asked to wait 7 s.", "destination", 7.0, 502, "e")),
        (503, Retry("The receiver answered 503 Service Unavailable and asked to wait 7 s.", "destination", 7.0, 503, "e")),
        (504, Retry("The receiver answered 504 Gateway Timeout and asked to wait 7 s.", "destination", 7.0, 504, "e")),
        (500, Retry("The receiver answered 500 Internal Server Error.", "resource", 7.0, 500, "e")),
        (501, Retry("The receiver answered 501 Not Implemented.", "resource", 7.0, 501, "e")),
        (599, Retry("The receiver answered 599.", "resource", 7.0, 599, "e")),
        (408, Retry("The receiver answered 408 Request Timeout.", "resource", 7.0, 408, "e")),
        (425, Retry("The receiver answered 425 Too Early.", "resource", 7.0, 425, "e")),
        (
            302,
            Retry(
                "The receiver answered 302 Found; redirects are not followed: give the final URL.",
                "destination",
                None,
                302,
                "e",
            ),
        ),
        (
            304,
            Retry(
                "The receiver answered 304 Not Modified; redirects are not followed: give the final URL.",
                "destination",
                None,
                304,
                "e",
            ),
        ),
        (400, Rejected("The receiver answered 400 Bad Request: it does not accept this event.", 400, "e")),
        (404, Rejected("The receiver answered 404 Not Found: it does not accept this event.", 404, "e")),
        (409, Rejected("The receiver answered 409 Conflict: it does not accept this event.", 409, "e")),
        # What these two are called changed with Python 3.13.
        (413, Rejected(f"The receiver answered 413 {HTTPStatus(413).phrase}: it does not accept this event.", 413, "e")),
        (422, Rejected(f"The receiver answered 422 {HTTPStatus(422).phrase}: it does not accept this event.", 422, "e")),
        (499, Rejected("The receiver answered 499: it does not accept this event.", 499, "e")),
        (101, Retry("The receiver answered 101 Switching Protocols, which ends no exchange.", "destination", None, 101, "e")),
    ],
)
def test_each_status_has_its_outcome(status, outcome):
    assert of_answer(status, "7", "e", NOW) == outcome


@pytest.mark.parametrize(
    "written, seconds",
    [
        (None, None),
        ("", None),
        ("0", None),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("86400", DAY),
        ("86401", DAY),
        ("9" * 5000, DAY),
        ("-5", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Friday, 15-Jan-27 08:00:30 GMT", 30.0),
        ("Fri Jan 15 08:00:30 2027", 30.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", None),
        ("Fri, 15 Jan 2027 08:00:00 GMT", None),
        ("Fri, 15 Jan 2100 08:00:00 GMT", DAY),
        ("Fri, 99 Jan 2027 08:00:30 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_a_date_and_at_most_a_day(written, seconds):
    assert parse_retry_after(written, NOW) == seconds
