"""The connection to ovsdb-server, by the `ovs` package's IDL.

One green thread owns the IDL and its socket; others hand it functions to run and wait.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import ovs.db.idl
import ovs.jsonrpc
import ovs.poller
import ovs.stream
import ovs.vlog
import structlog

from weave_ryu.errors import OvsdbError
from weave_ryu.ovsdb.bridge import (
    ATTACHED_KEY,
    BEFORE_PREFIX,
    BFD_PREFIX,
    GATEWAY_KEY,
    NAMESPACE_KEY,
    SEEN_KEY,
    UNDERLAY_KEY,
    AttachedPort,
    BfdSpec,
    BridgeSpec,
    InterfaceState,
    UnderlayBridge,
    tunnel_options,
)
from weave_ryu.shell import hub

_log = structlog.get_logger()

Result = TypeVar("Result")

_COLUMNS = {
    "Open_vSwitch": [
        "bridges",
        "datapath_types",
        "iface_types",
        "next_cfg",
        "cur_cfg",
        "other_config",
    ],
    "Bridge": [
        "name",
        "ports",
        "datapath_type",
        "datapath_id",
        "fail_mode",
        "controller",
        "flow_tables",
        "protocols",
        "other_config",
        "external_ids",
    ],
    "Port": ["name", "interfaces", "tag"],
    "Interface": [
        "name",
        "type",
        "options",
        "ofport",
        "error",
        "link_state",
        "mtu_request",
        "bfd",
        "bfd_status",
        "external_ids",
    ],
    "Controller": ["target", "connection_mode", "max_backoff", "inactivity_probe"],
    "Flow_Table": ["name", "flow_limit", "overflow_policy", "groups"],
}

FAIL_MODE = "secure"
HIGHEST_VLAN = 4094
PROTOCOLS = ["OpenFlow10", "OpenFlow13", "OpenFlow15"]
"""1.0 is for people: without it a plain `ovs-ofctl dump-flows` is refused."""

SAY_EVERY_S = 5.0
"""How often it is told that the database is waited for."""
PORT_TIMEOUT_S = 10.0
"""How long a new bridge may take to have its own port."""
COMMIT_TIMEOUT_S = 10.0


def wait_for_content(ready: hub.Event, remote: str) -> None:
    """Wait for as long as it takes: a loaded host is slow, and giving up would not make it faster.

    Args:
        ready: sent when the database has told its content.
        remote: of the database.
    """
    waited_s = 0.0
    while not ready.ready():
        with hub.Timeout(SAY_EVERY_S, False):
            ready.wait()
            continue
        waited_s += SAY_EVERY_S
        _log.warning(
            "database_waited_for",
            remote=remote,
            reason=f"it has sent no content for {waited_s:.0f} s: is the host overloaded, or was "
            "the database never set up (ovs-vsctl init)?",
        )


class Ovsdb:
    """The local Open vSwitch database.

    Args:
        remote: such as ``unix:/run/openvswitch/db.sock``.

    Set `on_change` to be called after anything of interest changed, and `on_lost` when the
    connection has ended; it is made anew by itself.

    Raises:
        OvsdbError: nobody answers there.
    """

    def __init__(self, remote: str) -> None:
        self._remote = remote
        self.on_change: Callable[[], None] = lambda: None
        self.on_lost: Callable[[], None] = lambda: None
        ovs.vlog.Vlog.set_levels_from_string("console:off")
        helper = ovs.db.idl.SchemaHelper(schema_json=self._read_schema())
        for table, columns in _COLUMNS.items():
            known = helper.schema_json["tables"].get(table, {}).get("columns", {})
            helper.register_columns(table, [name for name in columns if name in known])
        self._idl = ovs.db.idl.Idl(remote, helper)
        self._requests: list[tuple[Callable[[], Any], hub.Event]] = []
        # Sockets, not a pipe: a patched os.read() waits even on a descriptor that does not block.
        self._wake_read, self._wake_write = socket.socketpair()
        self._wake_read.setblocking(False)
        self._wake_write.setblocking(False)
        self._ready = hub.Event()
        hub.spawn_vital("database", self._loop)
        wait_for_content(self._ready, remote)

    # Reading.

    def datapath_types(self) -> list[str]:
        """What this Open vSwitch supports, such as ``system`` and ``netdev``."""
        return [str(name) for name in self._root().datapath_types]

    def setting(self, key: str) -> str | None:
        """A value of ``other_config`` of Open vSwitch itself."""
        found: str | None = self._root().other_config.get(key)
        return found

    def bridge_datapath(self, bridge: str) -> str | None:
        """The datapath type of an existing bridge; None if there is no such bridge."""
        row = self._find("Bridge", bridge)
        return None if row is None else str(row.datapath_type) or "system"

    def bridge_setting(self, bridge: str, key: str) -> str | None:
        """A value of the bridge's ``external_ids``."""
        row = self._find("Bridge", bridge)
        return None if row is None else row.external_ids.get(key)

    def bridge_other_config(self, bridge: str, key: str) -> str | None:
        """A value of the bridge's ``other_config``."""
        row = self._find("Bridge", bridge)
        return None if row is None else row.other_config.get(key)

    def interface_setting(self, bridge: str, name: str, key: str) -> str | None:
        """A value of the ``external_ids`` of a port's interface; None if the bridge has none."""
        row = self._find("Bridge", bridge)
        for port in () if row is None else row.ports:
            if port.name == name:
                value = port.interfaces[0].external_ids.get(key)
                return None if value is None else str(value)
        return None

    def underlays(self, overlay: str) -> list[UnderlayBridge]:
        """Bridges in userspace other than the overlay's."""
        found = []
        for row in self._idl.tables["Bridge"].rows.values():
            if row.datapath_type != "netdev" or row.name == overlay:
                continue
            interfaces = [interface for port in row.ports for interface in port.interfaces]
            links = sorted(i.name for i in interfaces if i.type in {"", "system"})
            noted = dict(row.external_ids)
            silenced = frozenset(name for name in links if BEFORE_PREFIX + name in noted)
            address, seen = noted.get(UNDERLAY_KEY), noted.get(SEEN_KEY)
            found.append(UnderlayBridge(row.name, tuple(links), address, silenced, seen))
        return sorted(found, key=lambda bridge: bridge.name)

    def interfaces(self) -> dict[str, InterfaceState]:
        """All interfaces of all bridges, by name."""
        found = {}
        for bridge in self._idl.tables["Bridge"].rows.values():
            for port in bridge.ports:
                for row in port.interfaces:
                    link = row.link_state
                    found[row.name] = InterfaceState(
                        name=row.name,
                        bridge=bridge.name,
                        number=row.ofport[0] if row.ofport else -1,
                        error=row.error[0] if row.error else "",
                        up=(link[0] == "up") if link else None,
                        external_ids=dict(row.external_ids),
                        bfd=dict(row.bfd_status),
                    )
        return found

    def attached_ports(self, bridge: str) -> dict[str, AttachedPort]:
        """The ports of a bridge that `weave-ryu attach` made, by name."""
        row = self._find("Bridge", bridge)
        found = {}
        for port in () if row is None else row.ports:
            for interface in port.interfaces:
                noted = interface.external_ids
                if ATTACHED_KEY in noted:
                    called = str(noted.get(NAMESPACE_KEY, ""))
                    found[str(port.name)] = AttachedPort(str(port.uuid), called)
        return found

    def deviations(self, spec: BridgeSpec) -> list[str]:
        """What is not as `ensure` makes it, each in a clause; gateway ports left out.

        Somebody may have taken one of those out on purpose, and puts it back himself.
        """
        bridge = self._find("Bridge", spec.name)
        if bridge is None:
            return [f"there is no bridge {spec.name}"]
        found = []
        mode = _only(bridge.fail_mode) or "standalone"
        if mode != FAIL_MODE:
            found.append(f"fail_mode is {mode}, not {FAIL_MODE}")
        targets = sorted(row.target for row in bridge.controller)
        if targets != [spec.controller]:
            found.append(f"controller is {', '.join(targets) or 'not set'}, not {spec.controller}")
        if set(bridge.protocols) != set(PROTOCOLS):
            found.append(f"protocols are {', '.join(sorted(bridge.protocols)) or 'the default'}")
        for key, value in _settings(spec).items():
            if (now := bridge.other_config.get(key)) != value:
                found.append(f"other_config:{key} is {now or 'not set'}, not {value}")
        names = {port.name for port in bridge.ports}
        found += [f"tunnel port {name} is gone" for name in sorted(spec.tunnels.keys() - names)]
        for number, table in spec.tables.items():
            row = bridge.flow_tables.get(number)
            if row is None or _only(row.name) != table.name:
                found.append(f"table {number} is not called {table.name}")
            elif table.limit is not None and _only(row.flow_limit) != table.limit:
                found.append(f"table {table.name} has another limit than {table.limit}")
        ports = {str(port.name): port for port in bridge.ports}
        tags = Counter(_only(port.tag) for port in ports.values())
        found += [
            f"port {name} has no VLAN tag of its own"
            for name in sorted(ports)
            if _leads_away(name, spec) and (tags[_only(ports[name].tag)] > 1 or not ports[name].tag)
        ]
        return found

    # Changing.

    def ensure(self, spec: BridgeSpec) -> None:
        """Make the bridge as described; what is as it should be is not touched.

        Raises:
            OvsdbError: the database refused, or did not confirm in time.
        """
        is_new = self._find("Bridge", spec.name) is None
        self._transact(f"set-up of bridge {spec.name}", lambda txn: self._write(txn, spec))
        if is_new:
            # A switch that is told of port and MTU at once warns that it has no device to set it.
            self._await_port(spec.name)
        self._transact(f"MTU of bridge {spec.name}", lambda _: self._set_mtu(spec))

    def set_bridge_setting(self, bridge: str, key: str, value: str) -> None:
        """Keep a value in the bridge's ``external_ids``; it survives a restart of the host."""

        def change(_txn: Any) -> None:  # noqa: ANN401
            row = self._find("Bridge", bridge)
            if row is not None and row.external_ids.get(key) != value:
                row.setkey("external_ids", key, value)

        self._transact(f"external_ids:{key} of bridge {bridge}", change)

    def set_interface_settings(self, interface: str, values: dict[str, str]) -> None:
        """Keep values in the interface's ``external_ids``."""

        def change(_txn: Any) -> None:  # noqa: ANN401
            row = self._find("Interface", interface)
            for key, value in values.items():
                if row is not None and row.external_ids.get(key) != value:
                    row.setkey("external_ids", key, value)

        self._transact(f"external_ids of interface {interface}", change)

    def remove_attached(self, bridge: str, rows: dict[str, str]) -> list[str]:
        """Remove ports that `attached_ports` has shown.

        Args:
            bridge: that they belong to.
            rows: name → `AttachedPort.row`. A port that has been made anew meanwhile stays.

        Returns:
            Names of those that were there still, sorted.

        Raises:
            OvsdbError: the database refused, or did not confirm in time.
        """
        removed = []

        def change(_txn: Any) -> None:  # noqa: ANN401
            row = self._find("Bridge", bridge)
            for port in [] if row is None else list(row.ports):
                if rows.get(port.name) == str(port.uuid):
                    row.delvalue("ports", port)
                    removed.append(str(port.name))

        self._transact(f"ports of bridge {bridge} whose namespaces have gone", change)
        return sorted(removed)

    def replug(self, bridge: str, name: str) -> None:
        """Take a port out, and put it in again as it was: Open vSwitch opens its link anew.

        Raises:
            OvsdbError: the database refused, or did not confirm in time.
        """
        noted: dict[str, str] = {}

        def take_out(_txn: Any) -> None:  # noqa: ANN401
            row = self._find("Bridge", bridge)
            for port in [] if row is None else list(row.ports):
                if port.name == name:
                    noted.update(port.interfaces[0].external_ids)
                    row.delvalue("ports", port)

        def put_in(txn: Any) -> None:  # noqa: ANN401
            row = self._find("Bridge", bridge)
            if row is not None and name not in {port.name for port in row.ports}:
                port = self._add_port(txn, row, name, "", {}, noted=noted)
                _keep_apart([port], row.ports)

        self._transact(f"removal of port {name}", take_out)
        self._transact(f"return of port {name}", put_in)

    def ensure_bfd(self, bridge: str, specs: Iterable[BfdSpec]) -> None:
        """Have exactly these BFD sessions on the bridge.

        Raises:
            OvsdbError: the database refused, or did not confirm in time.
        """
        wanted = {spec.port: spec for spec in specs}

        def change(txn: Any) -> None:  # noqa: ANN401
            row = self._find("Bridge", bridge)
            if row is None:
                return
            present = {port.name: port for port in row.ports}
            for name, port in present.items():
                if name.startswith(BFD_PREFIX) and name not in wanted:
                    row.delvalue("ports", port)
            new = [
                self._add_port(txn, row, name, "vxlan", spec.options(), spec.bfd())
                for name, spec in wanted.items()
                if name not in present
            ]
            _keep_apart(new, present.values())
            for name, spec in wanted.items():
                if name not in present:
                    continue
                interface = present[name].interfaces[0]
                for column, values in (("options", spec.options()), ("bfd", spec.bfd())):
                    if dict(getattr(interface, column)) != values:
                        setattr(interface, column, values)

        self._transact(f"BFD sessions of bridge {bridge}", change)

    def _write(self, txn: Any, spec: BridgeSpec) -> None:  # noqa: ANN401
        bridge = self._find("Bridge", spec.name)
        if bridge is None:
            bridge = txn.insert(self._idl.tables["Bridge"])
            bridge.name = spec.name
            # In the same transaction: a bridge that changes its datapath loses its ports.
            bridge.datapath_type = spec.datapath
            self._add_port(txn, bridge, spec.name, "internal", {})
            self._root().addvalue("bridges", bridge)
        _set(bridge, "fail_mode", [FAIL_MODE])
        _set(bridge, "protocols", PROTOCOLS)
        for key, value in _settings(spec).items():
            if dict(_read(bridge, "other_config", {})).get(key) != value:
                bridge.setkey("other_config", key, value)
        present = {str(port.name): port for port in _read(bridge, "ports", [])}
        away = [port for name, port in present.items() if _leads_away(name, spec)]
        for name, udp_port in spec.tunnels.items():
            if name not in present:
                away.append(self._add_port(txn, bridge, name, "vxlan", tunnel_options(udp_port)))
        for name in spec.gateway_ports:
            if name not in present:
                noted = {GATEWAY_KEY: "yes"}
                away.append(self._add_port(txn, bridge, name, "", {}, noted=noted))
                continue
            interface = self._find("Interface", name)
            if interface is not None and GATEWAY_KEY not in interface.external_ids:
                interface.setkey("external_ids", GATEWAY_KEY, "yes")
        _keep_apart(away, [p for n, p in present.items() if not _leads_away(n, spec)])
        self._set_controller(txn, bridge, spec)
        self._name_tables(txn, bridge, spec)

    def _set_mtu(self, spec: BridgeSpec) -> None:
        internal = self._find("Interface", spec.name)
        if internal is not None:
            _set(internal, "mtu_request", [spec.mtu_bytes])

    def _await_port(self, name: str) -> None:
        """Until the switch has made the port; it may take its time, or have an error to tell."""
        with hub.Timeout(PORT_TIMEOUT_S, False):
            while name not in (found := self.interfaces()) or found[name].number < 0:
                hub.sleep(0.02)

    def _add_port(
        self,
        txn: Any,  # noqa: ANN401
        bridge: Any,  # noqa: ANN401
        name: str,
        kind: str,
        options: dict[str, str],
        bfd: dict[str, str] | None = None,
        noted: dict[str, str] | None = None,
    ) -> Any:  # noqa: ANN401
        interface = txn.insert(self._idl.tables["Interface"])
        interface.name, interface.type = name, kind
        if options:
            interface.options = options
        if bfd:
            interface.bfd = bfd
        if noted:
            interface.external_ids = noted
        port = txn.insert(self._idl.tables["Port"])
        port.name, port.interfaces = name, [interface]
        bridge.addvalue("ports", port)
        return port

    def _set_controller(self, txn: Any, bridge: Any, spec: BridgeSpec) -> None:  # noqa: ANN401
        controllers = _read(bridge, "controller", [])
        if [row.target for row in controllers] != [spec.controller]:
            row = txn.insert(self._idl.tables["Controller"])
            row.target = spec.controller
            bridge.controller = [row]
        else:
            row = controllers[0]
        _set(row, "connection_mode", ["out-of-band"])
        # Default 8000 ms: a restarted daemon would wait that long for its switch.
        _set(row, "max_backoff", [1000])
        _set(row, "inactivity_probe", [5000])

    def _name_tables(self, txn: Any, bridge: Any, spec: BridgeSpec) -> None:  # noqa: ANN401
        present = dict(_read(bridge, "flow_tables", {}))
        wanted = dict(present)
        for number, table in spec.tables.items():
            row = present.get(number)
            if row is None:
                row = wanted[number] = txn.insert(self._idl.tables["Flow_Table"])
            _set(row, "name", [table.name])
            if table.limit is not None:
                _set(row, "flow_limit", [table.limit])
                _set(row, "overflow_policy", ["evict"])
        if wanted != present:
            bridge.flow_tables = wanted

    # The thread that owns the IDL.

    def _read_schema(self) -> Any:  # noqa: ANN401
        error, stream = ovs.stream.Stream.open_block(ovs.stream.Stream.open(self._remote), 5000)
        if error:
            raise OvsdbError(
                f"connection to {self._remote}",
                f"{os.strerror(error)}: is Open vSwitch running? start it, or name its database "
                "with --ovs-db",
            )
        connection = ovs.jsonrpc.Connection(stream)
        request = ovs.jsonrpc.Message.create_request("get_schema", ["Open_vSwitch"])
        error, reply = connection.transact_block(request)
        connection.close()
        if error or reply.error:
            raise OvsdbError(f"schema of {self._remote}", str((reply and reply.error) or error))
        return reply.result

    def _loop(self) -> None:
        seqno = self._idl.change_seqno
        was_connected = False
        while True:
            self._idl.run()
            # The IDL has no word for it; `ovs` keeps this name since its first release.
            is_connected = self._idl._session.is_connected()
            if was_connected and not is_connected:
                self.on_lost()
            was_connected = is_connected
            if self._idl.change_seqno != seqno:
                seqno = self._idl.change_seqno
                if self._idl.has_ever_connected() and self._idl.tables["Open_vSwitch"].rows:
                    if not self._ready.ready():
                        self._ready.send(None)
                    self.on_change()
            while self._requests:
                function, done = self._requests.pop(0)
                try:
                    done.send(function())
                except Exception as error:
                    done.send_exception(error)
            if self._idl.change_seqno != seqno:
                continue  # a transaction has read news of others while it waited: tell of them
            poller = ovs.poller.Poller()
            self._idl.wait(poller)
            poller.fd_wait(self._wake_read.fileno(), ovs.poller.POLLIN)
            poller.block()
            with contextlib.suppress(BlockingIOError):
                self._wake_read.recv(4096)

    def _call(self, function: Callable[[], Result], operation: str) -> Result:
        done = hub.Event()
        self._requests.append((function, done))
        with contextlib.suppress(BlockingIOError):
            self._wake_write.send(b"w")
        with hub.Timeout(COMMIT_TIMEOUT_S, False):
            result: Result = done.wait()
            return result
        raise OvsdbError(operation, f"no answer within {COMMIT_TIMEOUT_S} s")

    def _transact(self, operation: str, change: Callable[[Any], None]) -> None:
        def run() -> None:
            txn = ovs.db.idl.Transaction(self._idl)
            change(txn)
            # vswitchd raises cur_cfg when it has carried the change out.
            status = txn.commit_block()
            if status not in (ovs.db.idl.Transaction.SUCCESS, ovs.db.idl.Transaction.UNCHANGED):
                raise OvsdbError(operation, txn.get_error() or status)

        self._call(run, operation)

    def _root(self) -> Any:  # noqa: ANN401
        return next(iter(self._idl.tables["Open_vSwitch"].rows.values()))

    def _find(self, table: str, name: str) -> Any:  # noqa: ANN401
        rows = self._idl.tables[table].rows.values()
        return next((row for row in rows if row.name == name), None)


def _settings(spec: BridgeSpec) -> dict[str, str]:
    """All of the bridge's ``other_config`` that is the daemon's."""
    if spec.hardware_address is None:
        return dict(spec.settings)
    return {**spec.settings, "hwaddr": str(spec.hardware_address)}


def _only(column: Any) -> Any:  # noqa: ANN401
    """The value of a column that has one or none; the IDL gives a list where it may have none."""
    if isinstance(column, list):
        return column[0] if column else None
    return column


def _read(row: Any, column: str, default: Any) -> Any:  # noqa: ANN401
    """A column; the default for a row of this transaction, which has no value yet."""
    try:
        return getattr(row, column)
    except AttributeError:
        return default


def _leads_away(name: str, spec: BridgeSpec) -> bool:
    """Whether a port leads to other hosts, and not to a container of this one."""
    return name in spec.tunnels or name in spec.gateway_ports or name.startswith(BFD_PREFIX)


def _keep_apart(ports: Iterable[Any], others: Iterable[Any]) -> None:
    """Give each port a VLAN tag of its own, unless it has one.

    Flows take no notice of it. But somebody may set the fail mode to ``standalone`` while there is
    no controller: then Open vSwitch forwards by itself (`NORMAL`), and a passive gateway would join
    mesh and segment, and the loop is closed, until that is put back. `NORMAL` passes nothing from
    one VLAN to another (ovs-vswitchd.conf.db(5), Port, tag).
    """
    taken = {_only(_read(port, "tag", [])) for port in others}
    for port in ports:
        tag = _only(_read(port, "tag", []))
        if tag is None or tag in taken:
            tag = next(vlan for vlan in range(HIGHEST_VLAN, 0, -1) if vlan not in taken)
            port.tag = [tag]
        taken.add(tag)


def _set(row: Any, column: str, value: list[Any]) -> None:  # noqa: ANN401
    """Write a column only if that changes it: an unchanged database wakes nobody."""
    current = _read(row, column, None)
    scalars = [current] if isinstance(current, str) else current
    if scalars is None or sorted(scalars) != sorted(value):
        setattr(row, column, value[0] if isinstance(current, str) else value)
