"""Exported models on bare machines: builds the test program in ``engine/tests/micro`` and runs cases with it."""

from __future__ import annotations

import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from support.paths import ROOT

ENGINE = ROOT / "engine"
PROGRAM = ENGINE / "tests" / "micro"
SOURCES = [ENGINE / "micro" / "micro.c", ENGINE / "rans.c", ENGINE / "tables.c"]  # what a user compiles with a header
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
OK, ARGUMENT, DAMAGED = 0, 1, 10  # of mnz_status
TIMEOUT = 1800


@dataclass(frozen=True)
class Machine:
    """A machine that runs the test program.

    Attributes:
        compiler: its name; the tools with the same prefix belong to it.
        run: the command, before the name of the program.
    """

    title: str
    compiler: str
    flags: Sequence[str]
    link: Sequence[str] = ()
    run: Sequence[str] = ()
    program: Sequence[str] = ("host.c",)
    libraries: Sequence[str] = ()

    @property
    def missing(self) -> str:
        """The programs that are not installed."""
        return ", ".join(name for name in (self.compiler, *self.run[:1]) if shutil.which(name) is None)

    def tool(self, name: str) -> str:
        """Another tool of the compiler, such as ``size``."""
        return self.compiler.removesuffix("gcc") + name

    def build(self, folder: Path, name: str = "program") -> Path:
        """Compile the test program with the ``digit_codec.h`` in a folder."""
        sources = [PROGRAM / "run.c", *(PROGRAM / each for each in self.program), *SOURCES]
        out = folder / name
        flags = [*WARNINGS, *self.flags, *self.link, *_include(folder)]
        _run([self.compiler, *flags, "-o", out, *sources, *self.libraries], folder)
        return out

    def cases(self, folder: Path, cases: Sequence[Case], program: str = "program") -> list[Result]:
        """Run cases with a program that :meth:`build` has built in a folder."""
        (folder / "cases").write_bytes(b"".join(case.to_bytes() for case in cases))
        _run([*self.run, f"./{program}"], folder)
        return read_results((folder / "results").read_bytes())


@dataclass(frozen=True)
class Case:
    """What the program is to do: ``E`` encode, ``D`` decode, ``A`` try bad arguments, ``S`` return the depth of the stack."""

    kind: str
    quality: int = 0
    check_bits: int = 0
    content: bytes = b""

    def to_bytes(self) -> bytes:
        return struct.pack("<cBBxI", self.kind.encode(), self.quality, self.check_bits, len(self.content)) + self.content


@dataclass(frozen=True)
class Result:
    """The result of a case."""

    status: int
    instructions: int
    content: bytes

    @property
    def number(self) -> int:
        return int.from_bytes(self.content, "little")


def read_results(content: bytes) -> list[Result]:
    """The results in a file of the program."""
    results, at = [], 0
    while at < len(content):
        status, instructions, size = struct.unpack_from("<BxxxII", content, at)
        results.append(Result(status, instructions, content[at + 12 : at + 12 + size]))
        at += 12 + size
    return results


def _include(folder: Path) -> list[str]:
    return [f"-I{path}" for path in (folder, ENGINE, ENGINE / "micro")]


def _run(command: Sequence[str | Path], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.returncode == 0, f"{command[0]}: {done.returncode}\n{done.stdout}{done.stderr}"


def objects(machine: Machine, folder: Path) -> list[Path]:
    """The objects that a user's program consists of besides its own: the engine's, and the constants."""
    constants = folder / "constants.c"
    constants.write_text('#define DIGIT_CODEC_IMPLEMENTATION\n#include "digit_codec.h"\n')
    out = []
    for source in [*SOURCES, constants]:
        out.append(folder / f"{source.stem}.o")
        _run([machine.compiler, *WARNINGS, *machine.flags, *_include(folder), "-c", "-o", out[-1], source], folder)
    return out


def flash(machine: Machine, folder: Path, functions: Sequence[str]) -> int:
    """Bytes that some functions of the engine and the constants take, with the integer functions of the compiler's library."""
    kept = [f"-Wl,-u,{name}" for name in (*functions, "digit_codec")]
    link = ["-nostdlib", "-static", "-Wl,--gc-sections", f"-Wl,-e,{functions[0]}", "-Wl,--unresolved-symbols=ignore-all"]
    out = folder / "linked"
    _run([machine.compiler, *machine.flags, *link, *kept, "-o", out, *objects(machine, folder), *machine.libraries], folder)
    return section_sizes(machine, out)["text"]


def section_sizes(machine: Machine, path: Path) -> dict[str, int]:
    """Bytes of ``text``, which holds constants as well, ``data`` and ``bss`` of an object or a program."""
    done = subprocess.run([machine.tool("size"), path], capture_output=True, text=True, check=True)
    names, numbers = (line.split()[:3] for line in done.stdout.splitlines())
    return dict(zip(names, map(int, numbers), strict=True))


def _bare(title: str, compiler: str, processor: Sequence[str], script: str, run: Sequence[str]) -> Machine:
    flags = ["-O2", "-ffreestanding", "-ffunction-sections", "-fdata-sections", *processor, f"-I{PROGRAM}"]
    link = ["-nostdlib", "-static", "-Wl,--gc-sections", f"-L{PROGRAM}", f"-T{PROGRAM / script}"]
    return Machine(title, compiler, flags, link, [*run, *QEMU], ("bare.c",), ["-lgcc"])


QEMU = [
    "-nographic",
    "-monitor",
    "none",
    "-serial",
    "none",
    "-icount",
    "shift=0",
    "-semihosting-config",
    "enable=on",
    "-kernel",
]
SANITIZERS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
HOST = Machine("host", "gcc", ["-O1", "-g", *SANITIZERS])


def _cortex(name: str, board: str) -> Machine:
    processor = ["-mthumb", f"-mcpu=cortex-{name}", "-mfloat-abi=soft"]
    return _bare(f"Cortex-{name.upper()}", "arm-none-eabi-gcc", processor, "mps2.ld", ["qemu-system-arm", "-M", board])


BARE = {
    "m3": _cortex("m3", "mps2-an385"),
    "m4": _cortex("m4", "mps2-an386"),
    "m7": _cortex("m7", "mps2-an500"),
    "riscv": _bare(
        "RV32IMAC",
        "riscv64-unknown-elf-gcc",
        ["-march=rv32imac", "-mabi=ilp32", "-mcmodel=medany"],
        "virt.ld",
        ["qemu-system-riscv32", "-M", "virt", "-bios", "none"],
    ),
}
