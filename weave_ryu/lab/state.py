"""What a lab has made, written down before it is made, so that it can always be removed.

A lab lives in ``/run/weave-ryu/lab/PREFIX``. Making that directory claims the prefix.
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

from weave_ryu.errors import ConfigError, LabError
from weave_ryu.lab import disks, netns, processes
from weave_ryu.lab.processes import ProcessRef

STATE_ROOT = Path("/run/weave-ryu/lab")
DEFAULT_PREFIX = "wr"

_PREFIX = re.compile(r"[a-z][a-z0-9]{0,11}")


def check_prefix(prefix: str) -> str:
    """Refuse a prefix that could not stand in the name of a namespace and a directory.

    Raises:
        ConfigError: not a letter and up to eleven letters or digits.
    """
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError(
            "--prefix", prefix, "write a lower-case letter, then up to 11 letters or digits"
        )
    return prefix


class State:
    """The record of one lab. Safe to use from several threads.

    Args:
        prefix: of the lab.
        root: directory of all labs.
    """

    def __init__(self, prefix: str, root: Path = STATE_ROOT) -> None:
        self.prefix = check_prefix(prefix)
        self.directory = root / prefix
        self.namespaces: list[str] = []
        self.processes: dict[str, ProcessRef] = {}
        self.settings: dict[str, Any] = {}
        self._lock = threading.Lock()

    @property
    def exists(self) -> bool:
        """Whether the prefix is claimed."""
        return self.directory.exists()

    def claim(self) -> None:
        """Make the directory; whoever makes it owns the prefix.

        Raises:
            LabError: there is such a lab, or the directory cannot be made.
        """
        try:
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            self.directory.mkdir()
        except FileExistsError:
            raise LabError(
                f"a lab with prefix {self.prefix!r} exists already",
                f"remove it with `weave-ryu lab down --prefix {self.prefix}`, "
                "or choose another prefix",
            ) from None
        except OSError as error:
            raise LabError(
                f"{self.directory} cannot be made ({error.strerror})", "a lab needs root: use sudo"
            ) from error
        self.save()

    def load(self) -> None:
        """Read the record.

        Raises:
            LabError: there is no lab of this prefix, or its record cannot be read.
        """
        try:
            document = json.loads((self.directory / "state.json").read_text(encoding="utf-8"))
            self.namespaces = list(document["namespaces"])
            self.processes = {
                name: ProcessRef(pid, ticks) for name, (pid, ticks) in document["processes"].items()
            }
            self.settings = document["settings"]
        except FileNotFoundError:
            raise LabError(
                f"there is no lab with prefix {self.prefix!r}",
                f"make one with `weave-ryu lab up --prefix {self.prefix}`",
            ) from None
        except PermissionError:
            raise LabError(
                f"{self.directory} cannot be read", "a lab needs root: use sudo"
            ) from None
        except (ValueError, KeyError, TypeError) as error:
            raise LabError(
                f"{self.directory}/state.json cannot be understood", str(error)
            ) from error

    def save(self) -> None:
        """Write the record in one step: a reader sees the old one or the new one."""
        with self._lock:
            document = {
                "prefix": self.prefix,
                "namespaces": self.namespaces,
                "processes": {
                    name: [process.pid, process.start_ticks]
                    for name, process in self.processes.items()
                },
                "settings": self.settings,
            }
            draft = self.directory / "state.json.new"
            draft.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
            draft.replace(self.directory / "state.json")

    def add_namespaces(self, names: list[str]) -> None:
        """Write down namespaces that are about to be made.

        Raises:
            LabError: one exists already; it is not ours, so none is written down.
        """
        taken = [name for name in names if netns.namespace_path(name).exists()]
        if taken:
            raise LabError(
                f"network namespace {taken[0]!r} exists already and is not this lab's",
                f"remove it with `ip netns del {taken[0]}`, or choose another --prefix",
            )
        self.namespaces = [*self.namespaces, *names]
        self.save()

    def set_process(self, name: str, process: ProcessRef) -> None:
        """Write down a process that was just started."""
        self.processes[name] = process
        self.save()

    def remove(self) -> bool:
        """End the processes, remove the namespaces and the directory; nothing that is not ours.

        The processes are killed outright: nothing they would save outlives the lab, and their links
        go with the namespaces.

        Returns:
            Whether there was anything to remove.
        """
        if self.exists and (self.directory / "state.json").exists():
            self.load()
        marked = processes.find_marked(self.prefix)
        if not self.exists and not marked:
            return False
        ending = [*self.processes.values(), *marked]
        for process in ending:
            process.send(signal.SIGKILL)
        for process in ending:
            processes.kill(process)
        for name in self.namespaces:
            netns.delete_namespace(name)
        disks.unmount_below(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)
        return True
