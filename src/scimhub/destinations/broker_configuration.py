"""The configuration of a broker, declared key by key: a dataclass whose fields carry their checks and defaults.

Every mistake is told at once, and unknown keys are refused. What is secret is not here: an administrator sees all of it.
"""

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from scimhub.destinations import client_tls
from scimhub.destinations.egress import Policy
from scimhub.directory.errors import Invalid

# Takes the key's name and the value as it was written; gives a sentence for each mistake.
Check = Callable[[str, object], Iterator[str]]
# A host and its port.
Server = tuple[str, int]

_SERVER: Final = re.compile(r"(?P<host>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_LONGEST_FIELD: Final = 1000
# What people would look for; their values would be shown to every administrator.
_SECRETS: Final = frozenset(("password", "secret", "token", "credentials", "secret_access_key", "aws_secret_access_key"))


# --------------------------------------------------------------------------- checks of one key


def text(what: str, *, pattern: str = r"[^\x00-\x1f\x7f]+", longest: int = 250, may_be_empty: bool = False) -> Check:
    """A text of that pattern; ``what`` says what it must be."""
    fits = re.compile(pattern)

    def judge(name: str, value: object) -> Iterator[str]:
        if may_be_empty and value == "":
            return
        if not isinstance(value, str) or not fits.fullmatch(value) or len(value) > longest:
            yield f"The {name} is {_shown(value)}; it must be {what}, of at most {longest} characters."

    return judge


def choice(*choices: str) -> Check:
    """One of these words."""

    def judge(name: str, value: object) -> Iterator[str]:
        if value not in choices:
            yield f"The {name} is {_shown(value)}; it must be {', '.join(choices[:-1])} or {choices[-1]}."

    return judge


def number(least: float, most: float, what: str = "a whole number", *, types: tuple[type, ...] = (int,)) -> Check:
    """A number from the least to the most."""

    def judge(name: str, value: object) -> Iterator[str]:
        is_number = isinstance(value, types) and not isinstance(value, bool)
        if not is_number or not least <= value <= most:  # type: ignore[operator]  # it is a number, by the line above
            yield f"The {name} is {_shown(value)}; it must be {what} from {least} to {most}."

    return judge


def switch(name: str, value: object) -> Iterator[str]:
    """True or false."""
    if not isinstance(value, bool):
        yield f"The {name} is {_shown(value)}; it must be true or false."


def file(name: str, value: object) -> Iterator[str]:
    """The path of a file that the hub can read, or an empty text."""
    if value == "":
        return
    if not isinstance(value, str) or len(value) > _LONGEST_FIELD:
        yield f"The {name} is {_shown(value)}; it must be the path of a file on the hub's machine."
        return
    try:
        with Path(value).open("rb"):
            pass
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "it is no path"
        yield f"The {name} {value!r} cannot be read by the hub; give the path of a file that can be: {reason}."


def servers(port: int, most: int = 20) -> Check:
    """One address or several as ``host`` or ``host:port``, in a list or with commas between them."""

    def judge(name: str, value: object) -> Iterator[str]:
        try:
            found = read_servers(value, port)
        except ValueError as error:
            yield f"The {name} has {error}; write host:port, such as broker.example.com:{port}."
            return
        if not 1 <= len(found) <= most:
            many = "one" if most == 1 else f"1 to {most}"
            yield f"The {name} names {len(found)} servers; write {many} as host:port, such as broker.example.com:{port}."

    return judge


def read_servers(value: object, port: int) -> tuple[Server, ...]:
    """The servers that a list or a text names, with ``port`` where none is written; raises ValueError."""
    items = value.split(",") if isinstance(value, str) else value
    if items is None:
        return ()
    if not isinstance(items, list | tuple):
        raise ValueError(f"{_shown(value)}, which is no list")
    found = []
    for item in items:
        match = _SERVER.fullmatch(item.strip()) if isinstance(item, str) else None
        if match is None or not 0 < int(match["port"] or port) < 65536:
            raise ValueError(f"{_shown(item)}, which is no address")
        found.append((match["host"].strip("[]"), int(match["port"] or port)))
    return tuple(found)


def address(server: Server) -> str:
    """A server as ``host:port``."""
    host, port = server
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _shown(value: object) -> str:
    return repr(value)[:80]


FORMAT: Final = choice("structured", "binary")


# --------------------------------------------------------------------------- a configuration as a whole


def key(check: Check, default: Any = MISSING) -> Any:
    """A key of a configuration; one without a default must be there."""
    return field(metadata={"check": check}) if default is MISSING else field(default=default, metadata={"check": check})


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What every broker's configuration has, or refuses. ``timeout`` is in seconds, for one event."""

    # Such as ``A destination of kind nats``; in front of sentences.
    subject: ClassVar[str] = "The destination"

    timeout: float = key(number(1, 60, "a number of seconds", types=(int, float)), 15)
    # In messages a second; 0 is no limit.
    rate: float = key(number(0, 100_000, "a number of messages a second", types=(int, float)), 0)

    def problems(self) -> Iterator[str]:
        """What does not fit together, once each key by itself is right."""
        yield from ()

    def servers_to_judge(self) -> tuple[Server, ...]:
        """Where it will connect to, as far as that is configured."""
        return ()

    @classmethod
    def secret_problems(cls, configuration: Mapping[str, object], text: str) -> Iterator[str]:
        """Why the secret is none for that configuration, which may have mistakes; what is said never holds it."""
        yield from ()


K = TypeVar("K", bound=Keys)


def check(keys: type[K], written: Mapping[str, object], policy: Policy) -> Mapping[str, object]:
    """The configuration with its defaults; raises Invalid with every mistake."""
    known = {one.name: one for one in fields(keys)}
    problems = [_unknown(keys, name, known) for name in written if name not in known]
    filled: dict[str, object] = {}
    for name, one in known.items():
        if name in written:
            filled[name] = written[name]
            problems += _check_of(one)(name, written[name])
        elif one.default is MISSING:
            problems.append(f"{keys.subject} needs {name}; {_check_hint(one)}")
        else:
            filled[name] = _plain(one.default)
    if problems:
        raise Invalid(problems)
    checked = read(keys, filled)
    problems += checked.problems()
    problems += _refusals(checked.servers_to_judge(), policy)
    if problems:
        raise Invalid(problems)
    return filled


def read(keys: type[K], checked: Mapping[str, object]) -> K:
    """What ``check`` let pass, as a value."""
    known = {one.name for one in fields(keys)}
    values: dict[str, Any] = {name: value for name, value in checked.items() if name in known}
    return keys(**values)


def _plain(default: object) -> object:
    return list(default) if isinstance(default, tuple) else default


def _check_of(one: "Field[Any]") -> Check:
    found: Check = one.metadata["check"]
    return found


def _check_hint(one: "Field[Any]") -> str:
    """What a value must be, taken from what the check says of none."""
    said = next(_check_of(one)(one.name, None), "")
    return said.partition("; ")[2] or said


def _unknown(keys: type[Keys], name: str, known: Mapping[str, object]) -> str:
    if name in _SECRETS:
        return f"A secret such as {name} is no part of the configuration, which is shown; bring it with --secret-file FILE."
    close = get_close_matches(name, known, 1)
    meant = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}."
    return f"{keys.subject} has no key {name[:80]!r}; {meant}"


def _refusals(servers: tuple[Server, ...], policy: Policy) -> Iterator[str]:
    for host, _ in servers:
        refusal = policy.refusal_of_host(host)
        if refusal is not None:
            yield f"The host {host} cannot be used: {refusal}"


# --------------------------------------------------------------------------- keys that several kinds have


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkKeys(Keys):
    """What a broker needs that is reached over TCP. With ``tls`` its certificate must be valid for its name."""

    tls: bool = key(switch, True)
    # PEM files on the hub's machine: who signs the broker's certificate, and the hub's own with its key.
    ca_file: str = key(file, "")
    certificate_file: str = key(file, "")
    key_file: str = key(file, "")

    def problems(self) -> Iterator[str]:
        given = [name for name in ("ca_file", "certificate_file", "key_file") if getattr(self, name)]
        if given and not self.tls:
            yield f"The {', '.join(given)} can be used with TLS only; set tls to true or leave it out."
        if self.key_file and not self.certificate_file:
            yield "There is a key_file without its certificate; set certificate_file too."
        elif self.tls:
            try:
                self.tls_context()
            except client_tls.Unusable as unusable:
                yield str(unusable)

    def tls_context(self) -> ssl.SSLContext:
        """What TLS is made with; raises Unusable when a file cannot be used."""
        made = client_tls.context(self.ca_file)
        if self.certificate_file:
            files = [name for name in (self.certificate_file, self.key_file) if name]
            what = f"The certificate_file {' with the key_file '.join(files)}"
            client_tls.show(made, self.certificate_file, self.key_file or None, what)
        return made


def credentials_problems(
    authentication: str, username: str, *, named: tuple[str, ...], name: str = "username"
) -> Iterator[str]:
    """Whether a user name is there exactly if the authentication is one of those that need one."""
    if authentication in named and not username:
        yield f"The authentication {authentication} needs to know who the hub is; set {name}."
    if username and authentication not in named:
        yield f"The {name} has no use with the authentication {authentication}; use {' or '.join(named)}, or leave it out."
