"""The daemon's configuration: flags, environment and a TOML file, checked in one place.

A flag wins over the file, the file over the default. Every error names the key as the user spelled
it, the value, and what to do.
"""

from __future__ import annotations

import contextlib
import difflib
import ipaddress
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from weave_ryu.addresses import check_remote, parse_decimal, parse_http_address
from weave_ryu.certificates import server_context
from weave_ryu.errors import ConfigError
from weave_ryu.gateway.records import SEGMENT_PATTERN
from weave_ryu.gateway.role import Role
from weave_ryu.gateway.timers import PROFILES
from weave_ryu.names import UNKNOWN_PEER, PeerName
from weave_ryu.tokens import read_token

if TYPE_CHECKING:
    import ssl

DatapathChoice = Literal["auto", "system", "netdev"]
LocalPorts = Literal["all", "attached"]

HEADER_OVERHEAD_BYTES = 50
"""Outer IPv4 (20), UDP (8), VXLAN (8) and inner Ethernet (14) of a tunnel frame."""


@dataclass(frozen=True, slots=True)
class GatewaySpec:
    """One gateway port.

    Args:
        port: link that meets the segment.
        segment: its name; gateways of one segment are those with the same name.
        role: what it is asked to be at the start.
        priority: for the election, 0 to 255, the highest wins.
        preempt: take the role from a gateway of lower priority.
        preempt_delay: seconds of readiness before that.
        hello: tell other gateways on the segment itself that this one lives.
    """

    port: str
    segment: str
    role: Role = Role.STANDBY
    priority: int = 100
    preempt: bool = False
    preempt_delay: float = 10.0
    hello: bool = False


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """Everything that ``weave-ryu run`` is told. Field names are the keys of the file."""

    name: PeerName | None = None
    nickname: str = ""
    password_file: str = ""
    password: bytes | None = field(default=None, repr=False)
    gateway_key_file: str = ""
    gateway_key: bytes | None = field(default=None, repr=False)
    gateway_key_optional: bool = False
    port: int = 6783
    host: str = ""
    peer: tuple[str, ...] = ()
    no_discovery: bool = False
    conn_limit: int = 200
    mtu: int = 1376
    trusted_subnets: tuple[ipaddress.IPv4Network, ...] = ()
    http_addr: str = "127.0.0.1:6784"
    api_token_file: str = ""
    api_token: str | None = field(default=None, repr=False)
    api_cert_file: str = ""
    api_key_file: str = ""
    bridge: str = "weave"
    datapath_type: DatapathChoice = "auto"
    ovs_db: str = ""
    local_ports: LocalPorts = "all"
    gateway: tuple[GatewaySpec, ...] = ()
    restart_hold: float = 10.0
    failover: str = "default"
    log_level: str = "info"
    log_json: bool = False


_SECRETS = ("password", "gateway_key", "api_token")
FILE_KEYS = tuple(f.name for f in fields(DaemonConfig) if f.name not in _SECRETS)
"""The secrets themselves never stand in the file: files get copied."""


def load(
    file: str | None, flags: Mapping[str, Any], environment: Mapping[str, str]
) -> DaemonConfig:
    """Build the configuration.

    Args:
        file: path of a TOML file, or None.
        flags: flag name with underscores → value; None = not given.
        environment: ``WEAVE_PASSWORD`` is read from it.

    Raises:
        ConfigError: a key is unknown, or a value cannot be used.
    """

    def refuse(error: ConfigError) -> None:
        raise error

    return _build(DaemonConfig(), file, flags, environment, refuse)


def reload(
    old: DaemonConfig,
    file: str | None,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
) -> tuple[DaemonConfig, list[ConfigError]]:
    """Build it anew; what cannot be used is as it was.

    Args:
        old: the configuration until now.
        file: as for `load`, like all others.
        flags: the same.
        environment: the same.

    Returns:
        The configuration, and why some of it is the old one.

    Raises:
        ConfigError: the file cannot be read.
    """
    errors: list[ConfigError] = []
    return _build(old, file, flags, environment, errors.append), errors


def _build(
    old: DaemonConfig,
    file: str | None,
    flags: Mapping[str, Any],
    environment: Mapping[str, str],
    tell: Callable[[ConfigError], None],
) -> DaemonConfig:
    raw: dict[str, tuple[str, Any]] = {}
    if file is not None:
        for key, value in _read_file(file, tell).items():
            raw[key] = (f"`{key}` in {file}", value)
    for key, value in flags.items():
        if value is not None:
            raw[key] = (f"--{key.replace('_', '-')}", value)
    values: dict[str, Any] = {}
    for key, (spelled, value) in raw.items():
        values[key] = getattr(old, key)
        with _telling(tell):
            values[key] = _CHECKS[key](spelled, value)
    config = DaemonConfig(**values)
    with _telling(tell):
        tls_context(config, {key: spelled for key, (spelled, _) in raw.items()})
    password, api_token, gateway_key = old.password, old.api_token, old.gateway_key
    with _telling(tell):
        password = _password(config.password_file, environment)
    with _telling(tell):
        api_token = _api_token(config, raw)
    with _telling(tell):
        gateway_key = _gateway_key(config, raw)
    return replace(config, password=password, gateway_key=gateway_key, api_token=api_token)


@contextlib.contextmanager
def _telling(tell: Callable[[ConfigError], None]) -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        tell(error)


def parse_gateway(key: str, text: str) -> GatewaySpec:
    """``PORT[,segment=NAME][,role=active|standby|auto][,priority=N][,preempt=true]…``.

    Raises:
        ConfigError: not of that form.
    """
    port, *options = text.split(",")
    entry: dict[str, Any] = {"port": port}
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise ConfigError(key, text, f"{option!r} is not of the form name=value")
        if name in entry:
            raise ConfigError(key, text, f"{name} is given twice")
        entry[name] = value
    return _gateway(key, text, entry)


def _gateway(key: str, shown: object, entry: Mapping[str, Any]) -> GatewaySpec:
    known = ("port", "segment", "role", "priority", "preempt", "preempt_delay", "hello")
    for name in entry:
        if name not in known:
            raise ConfigError(key, shown, f"{name} is unknown{_nearest(name, known)}")
    port = str(entry.get("port", ""))
    if not port or len(port) > 15 or "/" in port or any(c.isspace() for c in port):
        raise ConfigError(key, shown, "it must begin with the name of a link, such as eth1")
    segment = str(entry.get("segment", "default"))
    if not SEGMENT_PATTERN.fullmatch(segment):
        raise ConfigError(
            key, shown, f"segment {segment!r} must be letters, digits, dots or dashes, at most 63"
        )
    role = str(entry.get("role", Role.STANDBY))
    if role not in list(Role):
        raise ConfigError(key, shown, f"role {role!r} must be one of {', '.join(Role)}")
    priority = str(entry.get("priority", 100))
    rank = parse_decimal(priority)
    if rank is None or rank > 255:
        raise ConfigError(key, shown, f"priority {priority!r} must be a number from 0 to 255")
    delay = _check_seconds(key, entry.get("preempt_delay", 10.0))
    preempt, hello = (_truth(key, shown, entry, name) for name in ("preempt", "hello"))
    return GatewaySpec(port, segment, Role(role), rank, preempt, delay, hello)


def _truth(key: str, shown: object, entry: Mapping[str, Any], name: str) -> bool:
    value = str(entry.get(name, "false")).lower()
    if value not in ("true", "false"):
        raise ConfigError(key, shown, f"{name} {value!r} must be true or false")
    return value == "true"


def _read_file(path: str, tell: Callable[[ConfigError], None]) -> dict[str, Any]:
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("--config", path, f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("--config", path, f"is not TOML: {error}") from error
    for key in [key for key in document if key not in FILE_KEYS]:
        # The value is not shown: it may be a password, and this goes to the journal.
        tell(ConfigError("--config", path, f"`{key}` is an unknown key{_hint(key)}"))
    return {key: value for key, value in document.items() if key in FILE_KEYS}


def _hint(key: str) -> str:
    return _nearest(key, FILE_KEYS)


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"


def _password(path: str, environment: Mapping[str, str]) -> bytes | None:
    if path:
        try:
            password = Path(path).read_bytes().rstrip(b"\r\n")
        except OSError as error:
            raise ConfigError(
                "--password-file", path, f"cannot be read: {error.strerror}"
            ) from error
        except ValueError as error:  # a NUL byte in the path
            raise ConfigError("--password-file", path, "is no path") from error
        if not password:
            raise ConfigError("--password-file", path, "is empty: write the password into it")
        return password
    text = environment.get("WEAVE_PASSWORD", "")
    # Bytes that are no UTF-8 come as surrogates (PEP 383); a password may be any bytes.
    return text.encode(errors="surrogateescape") if text else None


def _api_token(config: DaemonConfig, raw: Mapping[str, tuple[str, Any]]) -> str | None:
    if config.api_token_file:
        return read_token(raw["api_token_file"][0], config.api_token_file)
    host, _ = parse_http_address("--http-addr", config.http_addr)
    if not ipaddress.ip_address(host).is_loopback:
        key, value = raw["http_addr"]
        raise ConfigError(
            key, value, "others reach this address: give --api-token-file, or listen on 127.0.0.1"
        )
    return None


def _gateway_key(config: DaemonConfig, raw: Mapping[str, tuple[str, Any]]) -> bytes | None:
    if config.gateway_key_file:
        return read_token(raw["gateway_key_file"][0], config.gateway_key_file).encode()
    if config.gateway_key_optional:
        key, value = raw["gateway_key_optional"]
        raise ConfigError(key, value, "there is no key: give --gateway-key-file, too")
    return None


def tls_context(
    config: DaemonConfig, spelled: Mapping[str, str] | None = None
) -> ssl.SSLContext | None:
    """What the API needs to speak HTTPS; None = it speaks HTTP.

    Args:
        config: names the files.
        spelled: key of the configuration → how the user spelled it, for errors.

    Raises:
        ConfigError: a file cannot be used, or one of the two is missing.
    """
    files = {key: getattr(config, key) for key in ("api_cert_file", "api_key_file")}
    if not any(files.values()):
        return None
    names = {key: (spelled or {}).get(key, f"--{key.replace('_', '-')}") for key in files}
    for key, other in (tuple(files), tuple(reversed(files))):
        if not files[other]:
            raise ConfigError(
                names[key], files[key], f"HTTPS needs --{other.replace('_', '-')}, too"
            )
    certificate, private_key = ((names[key], files[key]) for key in files)
    return server_context(certificate, private_key)


def _check_text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(key, value, "must be text")
    return value


def _check_nickname(key: str, value: object) -> str:
    text = _check_text(key, value)
    if len(text.encode()) > 255 or not text.isprintable():
        raise ConfigError(key, value, "must be printable text of at most 255 bytes")
    return text


def _check_bool(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(key, value, "must be true or false")
    return value


def _check_name(key: str, value: object) -> PeerName:
    try:
        name = PeerName.parse(_check_text(key, value))
    except ValueError as error:
        raise ConfigError(
            key, value, "must be six hex bytes with colons, such as 7a:00:00:00:00:01"
        ) from error
    if name == UNKNOWN_PEER:
        raise ConfigError(key, value, 'the name 0 means "unknown": choose another one')
    if name.to_bytes6()[0] & 1:
        raise ConfigError(key, value, "is a group address; the lowest bit of the first byte is set")
    return name


def _number(low: int, high: int) -> Any:  # noqa: ANN401
    def check(key: str, value: object) -> int:
        if isinstance(value, str):
            number = parse_decimal(value)
            value = value if number is None else number
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ConfigError(key, value, f"must be a number from {low} to {high}")
        return value

    return check


def _check_seconds(key: str, value: object) -> float:
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as error:
        raise ConfigError(key, value, "must be a number of seconds") from error
    if not 0 <= seconds <= 300:
        raise ConfigError(key, value, "must be from 0 to 300 seconds")
    return seconds


def _check_host(key: str, value: object) -> str:
    text = _check_text(key, value)
    try:
        return str(ipaddress.IPv4Address(text)) if text else ""
    except ValueError as error:
        raise ConfigError(key, value, "must be an IPv4 address of this host") from error


def _check_peers(key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(key, value, 'must be a list, such as ["192.0.2.1"]')
    for entry in value:
        text = _check_text(key, entry)
        host, colon, port = text.partition(":")
        number = parse_decimal(port)
        if not host or (colon and (number is None or not 0 < number < 65536)):
            raise ConfigError(key, entry, "write it as HOST or HOST:PORT")
    return tuple(value)


def _check_subnets(key: str, value: object) -> tuple[ipaddress.IPv4Network, ...]:
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple)):
        raise ConfigError(key, value, "must be a list of subnets")
    try:
        return tuple(ipaddress.IPv4Network(str(part).strip()) for part in parts if part)
    except ValueError as error:
        raise ConfigError(key, value, f"{error}: write subnets as 10.0.0.0/8") from error


def _choice(*allowed: str) -> Any:  # noqa: ANN401
    def check(key: str, value: object) -> str:
        if value not in allowed:
            raise ConfigError(key, value, f"must be one of {', '.join(allowed)}")
        return str(value)

    return check


def _check_bridge(key: str, value: object) -> str:
    text = _check_text(key, value)
    if not 0 < len(text) <= 15 or "/" in text or any(c.isspace() for c in text):
        raise ConfigError(key, value, "must be a link name of 1 to 15 characters")
    return text


def _check_gateways(key: str, value: object) -> tuple[GatewaySpec, ...]:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(key, value, "must be a list")
    specs: list[GatewaySpec] = []
    for entry in value:
        if isinstance(entry, Mapping):
            specs.append(_gateway(key, dict(entry), entry))
        else:
            specs.append(parse_gateway(key, _check_text(key, entry)))
    ports = [spec.port for spec in specs]
    for port in ports:
        if ports.count(port) > 1:
            raise ConfigError(key, port, "this port is given twice")
    segments = [spec.segment for spec in specs]
    for segment in segments:
        if segments.count(segment) > 1:
            # Both would be active together, and the segment would loop through this very bridge.
            raise ConfigError(key, segment, "two ports of one peer meet the same segment")
    return tuple(specs)


def _check_http(key: str, value: object) -> str:
    text = _check_text(key, value)
    parse_http_address(key, text)
    return text


def _check_remote(key: str, value: object) -> str:
    text = _check_text(key, value)
    return check_remote(key, text) if text else ""


_CHECKS: Mapping[str, Any] = {
    "name": _check_name,
    "nickname": _check_nickname,
    "password_file": _check_text,
    "gateway_key_file": _check_text,
    "gateway_key_optional": _check_bool,
    "port": _number(1, 65534),
    "host": _check_host,
    "peer": _check_peers,
    "no_discovery": _check_bool,
    "conn_limit": _number(0, 4095),
    # The lowest that IPv6 hosts behind a segment may count on; the highest that VXLAN leaves.
    "mtu": _number(576, 65535 - HEADER_OVERHEAD_BYTES),
    "trusted_subnets": _check_subnets,
    "http_addr": _check_http,
    "api_token_file": _check_text,
    "api_cert_file": _check_text,
    "api_key_file": _check_text,
    "bridge": _check_bridge,
    "datapath_type": _choice("auto", "system", "netdev"),
    "ovs_db": _check_remote,
    "local_ports": _choice("all", "attached"),
    "gateway": _check_gateways,
    "restart_hold": _check_seconds,
    "failover": _choice(*PROFILES),
    "log_level": _choice("debug", "info", "warning", "error"),
    "log_json": _check_bool,
}
