"""The requests of the benchmark as bytes, ready to be sent."""

from collections.abc import Iterable
from urllib.parse import quote

import orjson

from bench.servers import TOKEN

ROOT = "/scim/default/v2"
USER = "urn:ietf:params:scim:schemas:core:2.0:User"
GROUP = "urn:ietf:params:scim:schemas:core:2.0:Group"
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
PATCH_OP = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
_HEADERS = (
    f"Host: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nAccept: application/scim+json\r\n"
    "User-Agent: scimhub-bench\r\nContent-Type: application/scim+json\r\n"
)


def request(method: str, path: str, document: object = None) -> bytes:
    """One HTTP/1.1 request; the path is below the SCIM base URL."""
    body = b"" if document is None else orjson.dumps(document)
    length = f"Content-Length: {len(body)}\r\n" if document is not None else ""
    return f"{method} {ROOT}{path} HTTP/1.1\r\n{_HEADERS}{length}\r\n".encode() + body


def hello(length: int) -> bytes:
    """The same headers, to the server that only answers."""
    return f"GET /{length} HTTP/1.1\r\n{_HEADERS}\r\n".encode()


def user(name: str, title: str = "Field Engineer") -> dict[str, object]:
    """A person as an identity provider sends one: 26 attributes, about 1.8 KB."""
    return {
        "schemas": [USER, ENTERPRISE],
        "userName": f"{name}@tidewater.example",
        "externalId": f"ext-{name}",
        "name": {
            "formatted": f"Ms. Ysolde J Marchetti {name}, III",
            "familyName": "Marchetti",
            "givenName": "Ysolde",
            "middleName": "Jane",
            "honorificPrefix": "Ms.",
            "honorificSuffix": "III",
        },
        "displayName": f"Ysolde Marchetti {name}",
        "nickName": "Ysa",
        "profileUrl": f"https://people.tidewater.example/{name}",
        "title": title,
        "userType": "Employee",
        "preferredLanguage": "en-US",
        "locale": "en-US",
        "timezone": "America/Los_Angeles",
        "active": True,
        "emails": [
            {"value": f"{name}@tidewater.example", "type": "work", "primary": True},
            {"value": f"{name}@home.example", "type": "home"},
        ],
        "phoneNumbers": [{"value": "+1 555 010 0101", "type": "work"}, {"value": "+1 555 010 0102", "type": "mobile"}],
        "photos": [{"value": f"https://photos.tidewater.example/{name}/F", "type": "photo"}],
        "addresses": [
            {
                "type": "work",
                "streetAddress": "100 Harbour Plaza",
                "locality": "Hollywood",
                "region": "CA",
                "postalCode": "91608",
                "country": "US",
                "formatted": "100 Harbour Plaza\nHollywood, CA 91608 USA",
                "primary": True,
            }
        ],
        "roles": [{"value": "engineer", "display": "Engineer", "type": "app", "primary": True}],
        "entitlements": [{"value": "vpn", "type": "network"}],
        ENTERPRISE: {
            "employeeNumber": name,
            "costCenter": "4130",
            "organization": "Tidewater",
            "division": "Harbour",
            "department": "Field Operations",
        },
    }


def create_user(name: str) -> bytes:
    return request("POST", "/Users", user(name))


def group(name: str, members: Iterable[str]) -> dict[str, object]:
    return {"schemas": [GROUP], "displayName": name, "members": [{"value": member} for member in members]}


def find(attribute: str, value: str) -> bytes:
    expression = f'{attribute} eq "{value}"'
    return request("GET", f"/Users?filter={quote(expression)}")


def patch(target: str, /, **operation: object) -> bytes:
    return request("PATCH", target, {"schemas": [PATCH_OP], "Operations": [operation]})
