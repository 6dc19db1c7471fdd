"""What an administrator can set, read once from a TOML file and the environment; the environment wins.

A key ``page_size`` of the file is the variable ``SCIMHUB_PAGE_SIZE``. Every mistake is collected and told as a
sentence, because whoever starts the hub wants to mend them in one go. Only ``app`` and ``cli`` read this; everything
else takes values as arguments. Secrets are kept so that printing the settings does not show them.

The environment is a plain argument here, and two dictionaries are all that has to be merged: so pydantic alone, not
pydantic-settings, which reads the process's environment itself and cannot say where a value came from.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

PREFIX = "SCIMHUB_"
CONFIG_VARIABLE = "SCIMHUB_CONFIG"
DEFAULT_FILE = Path("scimhub.toml")

_SHORTEST_SECRET = 20
# RFC 6750 §2.1: what may stand in an Authorization header.
_BEARER = re.compile(r"[A-Za-z0-9._~+/-]+=*")
# An id, and the base64 of 32 bytes.
_SEALING_KEY = re.compile(r"[A-Za-z0-9._-]{1,40}:[A-Za-z0-9+/]{43}=")
# A Unix socket's path has 108 bytes on Linux and 104 on macOS, a zero included; it is made under a name five bytes longer.
_LONGEST_SOCKET_PATH = 98

_MIB = 1024 * 1024


class SettingsError(Exception):
    """The settings cannot be used; ``problems`` has one sentence for each mistake."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _setting(default: object, description: str, right: str, **limits: Any) -> Any:
    """A field with what it does and, for the sentence about a mistake, what would be right."""
    return Field(default, description=description, json_schema_extra={"right": right}, **limits)


def _split(value: object) -> object:
    """A list from the environment is written with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _text_of_path(value: object) -> object:
    return str(value) if isinstance(value, Path) else value


Networks = Annotated[tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_split)]


class Settings(BaseModel):
    """Every setting with its default. ``load`` is the way to get one."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    database: Annotated[str, BeforeValidator(_text_of_path)] = _setting(
        "data/scimhub.db",
        "The SQLite file, or the URL of a PostgreSQL database; where only the data directory is set, scimhub.db in it.",
        "a path such as data/scimhub.db or a URL such as postgresql://user:password@host/database",
        min_length=1,
        repr=False,
    )
    database_direct: str | None = _setting(
        None,
        "The URL of the PostgreSQL server itself, where the other leads through pgbouncer: for migrations and news.",
        "a URL such as postgresql://user:password@host/database",
        repr=False,
    )
    data: Path | None = _setting(
        None,
        "The directory of the socket, exchanges and backups; else that of the SQLite file, and data with PostgreSQL.",
        "the path of a directory",
    )
    database_connections: int = _setting(
        20,
        "The most connections of one process to a PostgreSQL server, besides four for exchanges and news.",
        "a whole number from 2",
        ge=2,
    )
    lease_seconds: float = _setting(
        15.0,
        "How many seconds a node that is gone keeps others from sending to its destinations.",
        "a number of seconds from 2",
        ge=2,
    )
    host: str = _setting("127.0.0.1", "The address to listen on.", "an address such as 127.0.0.1 or 0.0.0.0", min_length=1)
    port: int = _setting(8080, "The port to listen on; 0 takes a free one.", "a whole number from 0 to 65535", ge=0, le=65535)
    public_url: str | None = _setting(
        None,
        "The URL under which identity providers reach the hub.",
        "an http or https URL without user, query and fragment, such as https://scim.example.com",
    )
    admin_token: SecretStr | None = _setting(
        None,
        "The bearer token of /admin/v1; without it that API is closed over TCP.",
        "20 or more of the characters A-Z a-z 0-9 - . _ ~ + /",
    )
    bootstrap_token: SecretStr | None = _setting(
        None,
        "On an empty database: the token of source default in directory default.",
        "20 or more of the characters A-Z a-z 0-9 - . _ ~ + /",
    )
    secret_keys: Annotated[tuple[SecretStr, ...], BeforeValidator(_split)] = _setting(
        (),
        "The keys with which secrets of destinations are sealed, the newest first; see secrets.md.",
        "a list of id:base64, each of 32 random bytes; make one with: scimhub secrets new-key",
    )
    secret_keys_file: Path | None = _setting(
        None,
        "The file that has them, a line for each; else, with an SQLite file, secret.keys in the data directory.",
        "the path of a readable file",
    )
    tls_certificate: Path | None = _setting(
        None, "The PEM file of the certificate and its chain.", "the path of a readable PEM file"
    )
    tls_key: Path | None = _setting(None, "The PEM file of the certificate's private key.", "the path of a readable PEM file")
    trusted_proxies: Networks = _setting(
        (), "The networks of the reverse proxies whose forwarded headers are believed.", "networks such as 10.0.0.0/8"
    )

    body_limit: int = _setting(_MIB, "The longest body of a user, in bytes.", "a number of bytes from 1024", ge=1024)
    body_limit_groups: int = _setting(
        32 * _MIB, "The longest body of a group, in bytes.", "a number of bytes from 1024", ge=1024
    )
    body_limit_bulk: int = _setting(8 * _MIB, "The longest bulk body, in bytes.", "a number of bytes from 1024", ge=1024)
    bulk_max_operations: int = _setting(1000, "The most operations of one bulk request.", "a whole number from 1", ge=1)
    page_size: int = _setting(100, "Resources on a page when the client does not say.", "a whole number from 1", ge=1)
    page_size_max: int = _setting(1000, "The most resources on a page (filter.maxResults).", "a whole number from 1", ge=1)
    scan_limit: int = _setting(
        200_000, "How many resources a filter without an index may look at.", "a whole number from 1", ge=1
    )
    cursor_lifetime: int = _setting(3600, "How many seconds a page cursor holds.", "a number of seconds from 1", ge=1)

    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "The least important lines that are logged.", "debug, info, warning or error"
    )
    log_format: Literal["auto", "json", "text"] = _setting(
        "auto", "How lines are logged; auto is text on a terminal, else json.", "auto, json or text"
    )
    discovery_public: bool = _setting(True, "Whether the discovery endpoints answer without a token.", "true or false")
    tombstone_days: int = _setting(30, "How many days a deleted resource is remembered.", "a number of days from 1", ge=1)
    exchange_content: Literal["full", "masked", "none", "off"] = _setting(
        "full", "What is kept of requests and answers; see debugging.md.", "full, masked, none or off"
    )
    exchange_body_limit: int = _setting(
        16 * 1024, "How many bytes of a body are kept.", "a number of bytes from 256 to 1048576", ge=256, le=_MIB
    )
    change_days: int = _setting(30, "How many days the content of changes is kept.", "a number of days from 1", ge=1)
    change_count: int = _setting(
        10_000_000, "How many changes keep their content, the newest.", "a whole number from 1000", ge=1000
    )
    change_days_max: int = _setting(
        90, "How many days changes are kept for a destination that lacks them.", "a number of days from change_days", ge=1
    )
    egress_loopback: bool = _setting(False, "Whether destinations may be on this machine.", "true or false")
    egress_link_local: bool = _setting(False, "Whether destinations may have link-local addresses.", "true or false")
    egress_private: bool = _setting(True, "Whether destinations may be in private networks.", "true or false")
    egress_public_only: bool = _setting(
        False, "Whether destinations must have addresses of the public internet.", "true or false"
    )
    egress_allowed: Networks = _setting(
        (), "Networks that destinations may be in, whatever the other settings say.", "networks such as 10.1.0.0/16"
    )
    egress_denied: Networks = _setting(
        (), "Networks that no destination may be in; wins over egress_allowed.", "networks such as 10.2.0.0/16"
    )
    exchange_days: int = _setting(30, "How many days exchanges and attempts are kept.", "a number of days from 1", ge=1)
    exchange_count: int = _setting(
        1_000_000, "How many exchanges, and how many attempts, are kept.", "a whole number from 1000", ge=1000
    )
    exchange_megabytes: int = _setting(
        1024, "How large the file or the tables of exchanges and attempts may become.", "a number of megabytes from 16", ge=16
    )
    shutdown_grace: float = _setting(
        10.0, "How many seconds requests in flight have to end after SIGTERM.", "a number of seconds from 0", ge=0
    )

    @property
    def database_file(self) -> Path | None:
        """The SQLite file, None when the database is a server's."""
        parts = urlsplit(self.database)
        if parts.scheme in ("postgresql", "postgres"):
            return None
        # As SQLAlchemy writes it: three slashes before a relative path, four before an absolute one.
        return Path(unquote(parts.path.removeprefix("/"))) if parts.scheme == "sqlite" else Path(self.database)

    @property
    def database_shown(self) -> str:
        """What to call the database where people read it: without user, password and parameters."""
        if self.database_file is not None:
            return str(self.database_file)
        # Whatever a password holds, its host comes behind the last @ and before the next slash or question mark.
        scheme, _, rest = self.database.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"

    @property
    def data_directory(self) -> Path:
        """Where the socket, the exchanges, the backups and an SQLite database lie."""
        return self.data or (Path("data") if self.database_file is None else self.database_file.parent)

    @property
    def socket_path(self) -> Path:
        """The Unix socket over which CLI verbs speak to the running hub (DECISIONS 22)."""
        return self.data_directory / "scimhub.sock"

    @property
    def own_keys_file(self) -> Path | None:
        """The file of keys that the hub makes itself; None where keys are given, or several nodes would need the same."""
        return None if self.has_keys or self.database_file is None else self.data_directory / "secret.keys"

    @property
    def has_keys(self) -> bool:
        """Whether the keys of secrets are given."""
        return bool(self.secret_keys) or self.secret_keys_file is not None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the hub."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    @property
    def base_url(self) -> str:
        """The URL in front of ``/scim/…``, without a slash at its end."""
        if self.public_url is not None:
            return self.public_url
        scheme = "https" if self.tls_certificate is not None else "http"
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104 - compared, not bound
        return f"{scheme}://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    @model_validator(mode="before")
    @classmethod
    def _keep_together(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {"database": Path(given["data"]) / "scimhub.db", **given} if "data" in given else given

    @field_validator("log_level", "log_format", "exchange_content", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("admin_token", "bootstrap_token")
    @classmethod
    def _check_secret(cls, value: SecretStr) -> SecretStr:
        secret = value.get_secret_value()
        if len(secret) < _SHORTEST_SECRET or not _BEARER.fullmatch(secret):
            raise ValueError
        return value

    @field_validator("secret_keys")
    @classmethod
    def _check_keys(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        written = [key.get_secret_value() for key in value]
        if not all(map(_SEALING_KEY.fullmatch, written)) or len({key.partition(":")[0] for key in written}) < len(written):
            raise ValueError
        return value

    @field_validator("database")
    @classmethod
    def _check_database(cls, value: str) -> str:
        parts = urlsplit(value)
        is_server = parts.scheme in ("postgresql", "postgres") and parts.path.strip("/")
        is_file = "://" not in value or (parts.scheme == "sqlite" and not parts.netloc and parts.path.removeprefix("/"))
        if not is_server and not is_file:
            raise ValueError
        return value

    @field_validator("database_direct")
    @classmethod
    def _check_direct(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("postgresql", "postgres") or not parts.path.strip("/"):
            raise ValueError
        return value

    @field_validator("public_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or re.search(r"[?#\s]", value):
            raise ValueError
        _ = parts.port  # raises ValueError when it is none
        return value.rstrip("/")

    @field_validator("tls_certificate", "tls_key", "secret_keys_file")
    @classmethod
    def _check_readable(cls, value: Path) -> Path:
        if not value.is_file() or not os.access(value, os.R_OK):
            raise ValueError
        return value


def load(config: Path | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings of this process; raises SettingsError with every mistake.

    ``config`` names the TOML file; else ``SCIMHUB_CONFIG`` does; else ``scimhub.toml`` is read if it is there.
    """
    environ = os.environ if environ is None else environ
    # A variable that is set but empty is how compose files write "not set".
    variables = {name.upper(): text for name, text in environ.items() if name.upper().startswith(PREFIX) and text}
    written, problems = _read_file(config, variables.pop(CONFIG_VARIABLE, None))
    problems += _unknown(written, variables)
    values = {name: (f"the key {name} of the settings file", value) for name, value in written.items()}
    values |= {_key(variable): (variable, text) for variable, text in variables.items()}
    values = {name: value for name, value in values.items() if name in Settings.model_fields}
    wrong: set[str] = set()
    try:
        settings = Settings(**{name: value for name, (_, value) in values.items()})
    except ValidationError as error:
        wrong = {str(part["loc"][0]) for part in error.errors(include_input=False)}
        problems += [_sentence(name, *values[name]) for name in values if name in wrong]
        # What contradicts each other is told too, as if the wrong ones had not been made.
        settings = Settings(**{name: value for name, (_, value) in values.items() if name not in wrong})
    problems += _contradictions(settings, wrong)
    if problems:
        raise SettingsError(problems)
    return settings


def _key(variable: str) -> str:
    return variable.removeprefix(PREFIX).lower()


def _read_file(config: Path | None, variable: str | None) -> tuple[dict[str, Any], list[str]]:
    named = config or (Path(variable) if variable is not None else None)
    path = named or DEFAULT_FILE
    try:
        return tomllib.loads(path.read_text("utf-8")), []
    except FileNotFoundError:
        return {}, [f"The settings file {path} is not there."] if named is not None else []
    except OSError as error:
        return {}, [f"The settings file {path} cannot be read: {error.strerror}."]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        return {}, [f"The settings file {path} is not TOML: {error}."]


def _unknown(written: Mapping[str, object], variables: Mapping[str, str]) -> list[str]:
    given = [(key, "settings file", key, "") for key in written]
    given += [(variable, "environment", _key(variable), PREFIX) for variable in sorted(variables)]
    problems = []
    for shown, where, key, prefix in given:
        if key not in Settings.model_fields:
            close = [prefix + (name.upper() if prefix else name) for name in get_close_matches(key, Settings.model_fields, 1)]
            problems.append(f"The {where} has {shown}, which is no setting{f'; perhaps {close[0]} is meant' if close else ''}.")
    return problems


def _sentence(name: str, where: str, value: object) -> str:
    extra = Settings.model_fields[name].json_schema_extra
    right = extra["right"] if isinstance(extra, dict) else ""
    # Secrets are never printed, and a database's URL may hold a password.
    shown = "not usable" if name.endswith("_token") or name.startswith(("database", "secret_keys")) else repr(value)
    return f"{name} is {shown} ({where}); it must be {right}."


def _contradictions(settings: Settings, wrong: set[str]) -> list[str]:
    """What no single setting is guilty of; about settings that are wrong already nothing more is said."""
    problems = []
    transport_is_known = not wrong & {"host", "tls_certificate", "tls_key", "trusted_proxies"}
    if transport_is_known and (settings.tls_certificate is None) != (settings.tls_key is None):
        problems.append("tls_certificate and tls_key go together (SCIMHUB_TLS_CERTIFICATE, SCIMHUB_TLS_KEY); one is missing.")
    if transport_is_known and not settings.is_loopback and settings.tls_certificate is None and not settings.trusted_proxies:
        # DECISIONS 23: bearer tokens do not travel in the clear.
        problems.append(
            f"host is {settings.host!r} (SCIMHUB_HOST), where plain HTTP could be overheard; give tls_certificate and tls_key, "
            "or name the reverse proxies in trusted_proxies (SCIMHUB_TRUSTED_PROXIES), or listen on 127.0.0.1."
        )
    if settings.secret_keys and settings.secret_keys_file is not None:
        problems.append(
            "Both secret_keys and secret_keys_file are set (SCIMHUB_SECRET_KEYS, SCIMHUB_SECRET_KEYS_FILE); keep one of them."
        )
    if settings.page_size > settings.page_size_max:
        size = f"page_size is {settings.page_size} (SCIMHUB_PAGE_SIZE)"
        problems.append(f"{size}; at most page_size_max, {settings.page_size_max}, is right.")
    if settings.change_days > settings.change_days_max:
        days = f"change_days is {settings.change_days} (SCIMHUB_CHANGE_DAYS)"
        problems.append(f"{days}; at most change_days_max, {settings.change_days_max}, is right.")
    if len(os.fsencode(settings.socket_path)) > _LONGEST_SOCKET_PATH:
        where = f"The directory {str(settings.data_directory)!r} (SCIMHUB_DATABASE, SCIMHUB_DATA) must have a shorter path"
        problems.append(f"{where}, since the socket in it may have at most {_LONGEST_SOCKET_PATH} bytes.")
    return problems
