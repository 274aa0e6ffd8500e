"""Starts a virtual machine without a network, and runs commands in it.

The disk image is made once by ``tests/vm/build-image``; what a machine writes to it is thrown away
with the machine. The code under test comes as a tar archive on a second disk. The processor is
emulated: nested virtualisation is not to be had everywhere, and every machine behaves the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from tests.vm.agent import GRACE_S, PORT

TREE = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("WEAVE_RYU_VM_CACHE", "/var/cache/weave-ryu-vm"))
MADE_OF = ("tests/vm/build-image", "setup.cfg", "build-constraints.txt")
BOOT_TIMEOUT_S = 300.0
LATE_S = 60.0
"""Beyond the time of a command: then the machine itself hangs."""
COUNTED_RATE = 20.0
"""So many of our seconds may one of a machine take whose time is counted."""

_KERNEL = (
    "root=/dev/vda rw console=ttyS0 quiet systemd.show_status=no "
    # Mitigations cost time and protect nobody here. The counter of an emulated processor is the
    # host's, steady and cheap to read; the kernel distrusts it and would ask a device each time.
    "mitigations=off clocksource=tsc tsc=reliable no_timer_check"
)
_PROCESSOR = "qemu64,-svm"
"""Plain: for each further feature drivers are loaded and things tried out, which takes time."""

Tell = Callable[[str], None]


class MachineError(Exception):
    """The machine cannot be made, does not start, or has died."""


@dataclass(frozen=True)
class Settings:
    """What machine to start.

    Attributes:
        release: of Debian.
        packages: more Debian packages in the image.
        cards: for each network card, the number of the wire it is on; cards on one wire see one
            another, and nothing else.
        cables: for each further card, a netdev of QEMU's that joins it to another machine, such as
            ``socket,udp=127.0.0.1:4001,localaddr=127.0.0.1:4002``.
        number: of the machine among those that are joined; part of its cards' addresses.
        disks_mib: sizes of more disks, empty: /dev/vdc and so on.
        is_counted: time in the machine is the number of its instructions, one a nanosecond, and is
            skipped where nothing is to do. What else this host does changes nothing in there. It
            has one processor then, and takes two to three times longer to do the same.
    """

    release: str = "bookworm"
    packages: tuple[str, ...] = ()
    processors: int = 2
    memory_mib: int = 3072
    cards: tuple[int, ...] = ()
    cables: tuple[str, ...] = ()
    number: int = 0
    disks_mib: tuple[int, ...] = ()
    accelerator: str = "tcg,thread=multi"
    is_counted: bool = False


@dataclass
class Ended:
    """How a command ended; status None: its time was up."""

    status: int | None
    seconds: float
    output: str = field(repr=False)

    @property
    def last_line(self) -> str:
        lines = self.output.strip().splitlines()
        return lines[-1] if lines else ""


def image_of(settings: Settings, tree: Path = TREE, cache: Path = CACHE) -> Path:
    """Where the image is or will be: named by a hash of what it is made of."""
    made_of = hashlib.sha256()
    for name in MADE_OF:
        made_of.update((tree / name).read_bytes())
    made_of.update(" ".join(sorted(settings.packages)).encode())
    return cache / f"{settings.release}-{made_of.hexdigest()[:12]}"


def build_image(settings: Settings, tell: Tell) -> Path:
    """The image; it is made if it is not there."""
    image = image_of(settings)
    if image.exists():
        return image
    command = [str(TREE / "tests/vm/build-image"), "--output", str(image)]
    command += ["--release", settings.release, "--python", sys.executable]
    for package in settings.packages:
        command += ["--package", package]
    tell(f"making the image {image}: this takes some minutes, once")
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise MachineError(f"no image: {error}") from error
    return image


def tree_files(tree: Path) -> list[str]:
    """What belongs to the tree, committed or not, and what Python has compiled of it already."""
    command = ["git", "-C", str(tree), "ls-files", "-z", "--cached", "--others"]
    listed = subprocess.run(
        [*command, "--exclude-standard"], check=True, capture_output=True, text=True
    ).stdout
    names = [name for name in listed.split("\0") if name and (tree / name).is_file()]
    compiled = (tree / "weave_ryu").rglob("__pycache__/*.pyc")
    return sorted([*names, *(str(path.relative_to(tree)) for path in compiled)])


def pack_tree(tree: Path, archive: Path) -> None:
    """Write the tree as a tar archive, which serves as a disk as it is."""
    # Six daemons that compile the same modules at once take minutes on an emulated processor.
    compile_all = [sys.executable, "-m", "compileall", "-q", str(tree / "weave_ryu")]
    subprocess.run(compile_all, check=True)
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as made:
        for name in tree_files(tree):
            made.add(tree / name, name, recursive=False)


def _time_of(settings: Settings) -> tuple[str, ...]:
    processor = ("-cpu", _PROCESSOR)
    if settings.is_counted:
        # Counting is for one thread only.
        return ("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", *processor)
    smp = ("-smp", str(settings.processors))
    return ("-accel", settings.accelerator, *processor, *smp)


def qemu_command(settings: Settings, image: Path, directory: Path) -> list[str]:
    """The command line of the machine; its files are in the directory."""
    command = [
        # The machine goes when we go, whatever ended us.
        *("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"),
        *_time_of(settings),
        *("-m", str(settings.memory_mib), "-nodefaults", "-no-reboot", "-display", "none"),
        *("-kernel", str(image / "vmlinuz"), "-initrd", str(image / "initrd.img")),
        *("-append", _KERNEL, "-serial", f"file:{directory}/console"),
        *("-drive", f"file={image}/disk.ext4,format=raw,if=virtio,snapshot=on"),
        *("-drive", f"file={directory}/code.tar,format=raw,if=virtio,readonly=on"),
        *("-device", "virtio-serial-pci", "-device", "virtio-rng-pci"),
        *("-chardev", f"socket,id=agent,path={directory}/agent,server=on,wait=off"),
        *("-device", f"virtserialport,chardev=agent,name={PORT}"),
    ]
    for number, size_mib in enumerate(settings.disks_mib):
        disk = directory / f"disk{number}"
        with disk.open("wb") as made:
            made.truncate(size_mib << 20)
        command += ["-drive", f"file={disk},format=raw,if=virtio"]
    netdevs = [f"hubport,hubid={wire}" for wire in settings.cards] + list(settings.cables)
    for number, netdev in enumerate(netdevs):
        kind, _, rest = netdev.partition(",")
        command += ["-netdev", f"{kind},id=card{number},{rest}"]
        mac = f"52:54:00:00:{settings.number:02x}:{number + 1:02x}"
        command += ["-device", f"virtio-net-pci,netdev=card{number},mac={mac}"]
    return command if netdevs else [*command, "-nic", "none"]


class Machine:
    """A running machine. A context manager: it is gone at the end, and all it has written."""

    def __init__(self, settings: Settings, tell: Tell) -> None:
        self.boot_s = 0.0
        self.kernel = ""
        self._is_counted = settings.is_counted
        self._directory = Path(tempfile.mkdtemp(prefix="weave-ryu-vm."))
        self._stack = contextlib.ExitStack()
        self._stack.callback(shutil.rmtree, self._directory, ignore_errors=True)
        try:
            self._start(settings, tell)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, and remove its files."""
        self._stack.close()

    def _start(self, settings: Settings, tell: Tell) -> None:
        image = build_image(settings, tell)
        pack_tree(TREE, self._directory / "code.tar")
        began = time.monotonic()
        try:
            self._qemu = subprocess.Popen(
                qemu_command(settings, image, self._directory),
                stdin=subprocess.DEVNULL,
                env={**os.environ, "TMPDIR": str(self._directory)},
            )
        except OSError as error:
            raise MachineError(f"QEMU cannot be started: {error}") from error
        self._stack.callback(self._end)
        self._socket = self._stack.enter_context(socket.socket(socket.AF_UNIX))
        self._connect(began + 10.0)
        self._lines = self._stack.enter_context(self._socket.makefile("rb"))
        hello = self._hear(BOOT_TIMEOUT_S)
        self.kernel = hello["kernel"]
        self.boot_s = time.monotonic() - began

    def _connect(self, deadline: float) -> None:
        while True:
            try:
                return self._socket.connect(f"{self._directory}/agent")
            except OSError as error:
                if self._qemu.poll() is not None or time.monotonic() > deadline:
                    raise MachineError(f"QEMU does not run: {error}") from error
                time.sleep(0.05)

    def die(self) -> None:
        """As when the power goes."""
        self._end()

    def _end(self) -> None:
        # It has nothing that is worth a shutdown.
        self._qemu.kill()
        self._qemu.wait()

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout_s: float,
        environment: Mapping[str, str] | None = None,
        heard: Callable[[str], None] | None = None,
    ) -> Ended:
        """Run a command in the tree, in the machine.

        Args:
            argv: the command.
            timeout_s: then it is ended.
            environment: added to the agent's.
            heard: told each piece of output as it comes.
        """
        asked = {"argv": list(argv), "environment": dict(environment or {}), "timeout_s": timeout_s}
        self._socket.settimeout(LATE_S)
        self._socket.sendall(json.dumps(asked).encode() + b"\n")
        rate = COUNTED_RATE if self._is_counted else 1.0
        deadline = time.monotonic() + (timeout_s + GRACE_S + LATE_S) * rate
        pieces = []
        while "status" not in (message := self._hear(deadline - time.monotonic())):
            pieces.append(message["out"])
            if heard is not None:
                heard(message["out"])
        return Ended(message["status"], message["seconds"], "".join(pieces))

    def _hear(self, timeout_s: float) -> dict:
        self._socket.settimeout(max(0.1, timeout_s))
        try:
            line = self._lines.readline()
        except TimeoutError:
            raise MachineError(f"the machine does not answer; {self._console()}") from None
        if not line:
            raise MachineError(f"the machine has ended; {self._console()}")
        return json.loads(line)

    def _console(self) -> str:
        try:
            said = (self._directory / "console").read_text(errors="replace").splitlines()
        except OSError as error:
            return f"its console cannot be read: {error}"
        return "its console ends: " + " | ".join(said[-8:])
