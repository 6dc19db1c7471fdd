"""The contract as an AsyncAPI 3.0 document: by which ways events come, which there are, and an example of each."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from scimhub.distribution import contract, contract_examples
from scimhub.distribution.envelope import CONTRACT_VERSION, TYPE_PREFIX
from scimhub.scim import catalog
from scimhub.scim.catalog import Kind

PATH: Final = "/contract/events.json"
# The message by which an administrator checks a webhook.
_TEST: Final = "test"
_SCHEMA_FORMAT: Final = "application/schema+json;version=draft-2020-12"
_BINDING: Final = "0.3.0"
# What each verb says; the first word of a sentence is the resource type.
_TOLD: Final[Mapping[str, str]] = {
    "created": "was created, or came into the destination's scope.",
    "deleted": "was deleted, or left the destination's scope.",
    "deactivated": "was switched off (active became false).",
    "activated": "was switched on again (active became true).",
    "updated": "was changed in other attributes.",
    "member.added": "has new members.",
    "member.removed": "has lost members.",
    "members.changed": "has new members and has lost others.",
    "state": "is told as it is now: a backfill, a resync, or an administrator asked for it.",
}


def describe(root_url: str) -> dict[str, Any]:
    """The document; ``root_url`` is the hub's own, without a slash at its end."""
    messages = _messages(root_url)
    channels = _channels(messages)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Events of scimhub",
            "version": str(CONTRACT_VERSION),
            "description": (
                "Every committed change to a user, a group or another resource, as a CloudEvent 1.0. "
                "What a directory adds to the standard schemas is described by the directory itself, at /Schemas."
            ),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "servers": _servers(root_url),
        "channels": channels,
        "operations": _operations(channels),
        "components": {"messages": messages, "securitySchemes": _SECURITY},
    }


_SECURITY: Final[Mapping[str, Any]] = {
    "signature": {
        "type": "httpApiKey",
        "name": "webhook-signature",
        "in": "header",
        "description": (
            "Standard Webhooks 1.0: v1 (HMAC-SHA256) or v1a (ed25519) over {webhook-id}.{webhook-timestamp}.{body}; "
            "several, with a blank between them, while a secret is being changed."
        ),
    },
    "token": {"type": "http", "scheme": "bearer", "description": "The token of a destination of kind feed."},
}


def _servers(root_url: str) -> dict[str, Any]:
    hub = urlsplit(root_url)
    return {
        "hub": {"host": hub.netloc, "protocol": hub.scheme, **({"pathname": hub.path} if hub.path else {})},
        "receiver": {
            "host": "{host}",
            "protocol": "https",
            "description": "Whoever receives the webhook; its URL is part of the destination.",
            "variables": {"host": {"default": "receiver.example.com"}},
        },
    }


def _channels(messages: Mapping[str, Any]) -> dict[str, Any]:
    references = {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
    # Nobody checks a feed: who fetches sees for himself.
    of_feed = {name: reference for name, reference in references.items() if name != _TEST}
    return {
        "webhook": {
            "address": None,
            "title": "Webhook",
            "description": "Each event is a POST. At least once; in order for each resource; 2xx confirms it.",
            "servers": [{"$ref": "#/servers/receiver"}],
            "messages": references,
        },
        "feed": {
            "address": "/feed/v1/{directory}/events",
            "title": "Feed",
            "description": "Events are fetched in pages, or follow as server-sent events. In order of position.",
            "servers": [{"$ref": "#/servers/hub"}],
            "parameters": {"directory": {"description": "The name of the directory."}},
            "messages": of_feed,
        },
    }


def _operations(channels: Mapping[str, Any]) -> dict[str, Any]:
    def operation(channel: str, method: str, security: str, summary: str) -> dict[str, Any]:
        return {
            "action": "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "summary": summary,
            "security": [{"$ref": f"#/components/securitySchemes/{security}"}],
            "bindings": {"http": {"method": method, "bindingVersion": _BINDING}},
            "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in channels[channel]["messages"]],
        }

    return {
        "postEvent": operation("webhook", "POST", "signature", "The hub posts an event to a webhook."),
        "serveFeed": operation("feed", "GET", "token", "The hub answers who asks for events."),
    }


def _messages(root_url: str) -> dict[str, Any]:
    by_name: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for example in contract_examples.examples(root_url):
        payload = contract_examples.render(example.message)
        by_name[example.name].append({"name": example.name, "summary": example.summary, "payload": payload})
    messages = {}
    for kind in catalog.standard_catalog().kinds.values():
        for verb in contract.verbs_of(kind):
            name = f"{kind.name.lower()}.{verb}"
            messages[name] = {**_message(kind, verb, root_url), "examples": by_name[name]}
    return {**messages, contract.GENERIC: _message(None, "", root_url), _TEST: _CHECK}


def _message(kind: Kind | None, verb: str, root_url: str) -> dict[str, Any]:
    if kind is None:
        name, told = f"{TYPE_PREFIX}*", "Something happened to a resource of a type that the directory added."
    else:
        name, told = f"{TYPE_PREFIX}{kind.name.lower()}.{verb}", f"A {kind.name.lower()} {_TOLD[verb]}"
    path = contract.path_of(contract.GENERIC if kind is None else kind.name.lower())
    return {
        "name": name,
        "title": told,
        "contentType": "application/cloudevents+json",
        "headers": _HEADERS,
        "payload": {"schemaFormat": _SCHEMA_FORMAT, "schema": {"$ref": f"{root_url}{path}#/$defs/event"}},
    }


_HEADERS: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "Of a webhook; an event of the feed has none.",
    "properties": {
        "webhook-id": {"type": "string", "description": "The same for every try; by it a repetition is recognised."},
        "webhook-timestamp": {"type": "string", "pattern": "^[0-9]+$", "description": "Unix time of this try in seconds."},
        "webhook-signature": {"type": "string", "description": "See the security scheme."},
    },
}

_CHECK: Final[Mapping[str, Any]] = {
    "name": f"{TYPE_PREFIX}{_TEST}",
    "title": "An administrator checks the webhook; nothing happened to any resource.",
    "contentType": "application/cloudevents+json",
    "headers": _HEADERS,
    "payload": {
        "schemaFormat": _SCHEMA_FORMAT,
        "schema": {
            "type": "object",
            "required": ["specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"],
            "properties": {
                "type": {"const": f"{TYPE_PREFIX}{_TEST}"},
                "subject": {"type": "string", "description": "The destination's id."},
                "data": {
                    "type": "object",
                    "required": ["destination", "directory"],
                    "properties": {"destination": {"type": "string"}, "directory": {"type": "string"}},
                },
            },
        },
    },
}
