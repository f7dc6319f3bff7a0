"""Compiles every source in every language, compiler and configuration that it must stand: `make strict`, `strict-nn`.

    python3 tests/strict.py FOLDER decoder|kernels

What the preprocessor makes alike of a source in two configurations is compiled once. Several compilers run at a time.
CC, CLANG and ARM name those to use; one that is not here is named, and left out.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CC, CLANG, ARM = (
    os.environ.get(name) or other for name, other in (("CC", "cc"), ("CLANG", "clang-14"), ("ARM", "arm-none-eabi-"))
)
RISCV = "riscv64-unknown-elf-gcc"
WARN = "-Wall -Wextra -Wpedantic -Wconversion -Werror -ffreestanding"

PARTS = ("huffman", "lossless", "float", "kmeans", "trellis", "autoencoder", "generative", "regression")
NO = {name: f"-DNCD_ENABLE_{name.upper()}=0" for name in PARTS}
TRELLIS = {name: f"-DNCD_TRELLIS_{name.upper()}=0" for name in ("contexts", "light", "rans", "prefix")}
HOST_CONFIGS = tuple(
    f"-DNCD_TRELLIS_INDEX_LOG2=8 -DNCD_TRELLIS_LANES=4 {more}".strip()
    for more in ("", "-DNCD_TRELLIS_VECTOR=0", TRELLIS["light"])
)
ONLY = {kept: " ".join(option for other, option in TRELLIS.items() if other != kept) for kept in TRELLIS}
PREPARED_CONFIGS = (
    "-DNCD_TRELLIS_PREPARED=1",
    *(f"-DNCD_TRELLIS_PREPARED=1 {only}" for only in ONLY.values()),
    f"-DNCD_TRELLIS_PREPARED=1 -DNCD_TRELLIS_WIDE=0 -DNCD_TRELLIS_SKIP=0 {ONLY['light']} {NO['huffman']}",
)
DECODER_CONFIGS = (
    "",
    *NO.values(),
    f"{NO['float']} {NO['lossless']}",
    f"{NO['kmeans']} {NO['trellis']}",
    f"{NO['kmeans']} {NO['huffman']}",
    " ".join(NO.values()),
    f"-DNCD_ENABLE_GENERATIVE=1 {NO['trellis']}",
    TRELLIS["light"],
    *ONLY.values(),
    "-DNCD_TRELLIS_WIDE_CODES=0",
    "-DNCD_TRELLIS_SKIP=0",
    "-DNCD_TRELLIS_WIDE=0",
    *PREPARED_CONFIGS,
    "-DNCD_MAX_PLANES=4",
    *(f"-DNCD_FULL_CHECK={full}" for full in (0, 1)),
    *(f"-DNCD_HUFFMAN_LOOKUP_BITS={bits}" for bits in (9, 12)),
    *(f"-DNCD_REFILL={refill}" for refill in range(4)),
    *HOST_CONFIGS,
)
FEW_CONFIGS = ("", f"{NO['float']} {NO['lossless']}", f"{NO['kmeans']} {NO['trellis']}", "-DNCD_FULL_CHECK=0")
FEW_CONFIGS += tuple(f"-DNCD_REFILL={refill}" for refill in range(4))
DECODER_COMPILERS = {
    f"{CC} -std=c99": DECODER_CONFIGS,
    f"{CLANG} -std=c99": DECODER_CONFIGS,
    f"{CC} -std=c99 -m32": (*FEW_CONFIGS, *ONLY.values(), *PREPARED_CONFIGS),
    f"{ARM}gcc -std=c99 -mcpu=cortex-m0 -mthumb": (*FEW_CONFIGS, *ONLY.values(), *PREPARED_CONFIGS),
    # What differs from those by a language or a target takes the configurations that depend on these.
    f"{CC} -x c++ -std=c++11": (*FEW_CONFIGS, *HOST_CONFIGS, *PREPARED_CONFIGS),
    f"{CC} -std=c11": ("",),
    f"{CC} -std=c99 -O3": FEW_CONFIGS,
    f"{CLANG} -std=c11": ("",),
    f"{CLANG} -std=c99 --target=armv7-none-eabi -mthumb": FEW_CONFIGS,
    f"{CLANG} --target=armv6m-none-eabi": FEW_CONFIGS,
    f"{ARM}gcc -std=c99 -mcpu=cortex-m33 -mthumb": FEW_CONFIGS,
    # Where code is to be small, tiles of prepared tensors are decoded by one function.
    f"{ARM}gcc -std=c99 -Os -mcpu=cortex-m4 -mthumb": PREPARED_CONFIGS,
    f"{ARM}gcc -std=c99 -Os -mcpu=cortex-m0 -mthumb": PREPARED_CONFIGS,
    f"{CLANG} -std=c99 -Os --target=armv7em-none-eabi -mcpu=cortex-m4 -mthumb": PREPARED_CONFIGS,
    f"{ARM}gcc -std=c99 -mcpu=cortex-m55 -mthumb -mfloat-abi=hard": ("", "-DNCD_MVE=0"),
    f"{ARM}g++ -x c++ -std=c++14 -mcpu=cortex-m55 -mthumb -mfloat-abi=hard": ("",),
    f"{RISCV} -std=c99 -march=rv32imac -mabi=ilp32": FEW_CONFIGS,
    f"{CLANG} -x c++ -std=c++17": FEW_CONFIGS,
}
# The inference kernels depend on less. Each compiler takes the dot products that its target has.
KERNEL_CONFIGS = ("", f"{NO['float']} {NO['trellis']}")
KERNEL_COMPILERS = dict.fromkeys(
    (
        f"{CC} -std=c99",
        f"{CC} -std=c11 -O3",
        f"{CC} -std=c99 -m32",
        f"{CLANG} -std=c99",
        f"{CLANG} -std=c11 --target=armv7em-none-eabi -mcpu=cortex-m4 -mthumb",
        f"{ARM}gcc -std=c99 -mcpu=cortex-m0 -mthumb",
        f"{ARM}gcc -std=c99 -mcpu=cortex-m4 -mthumb -mfloat-abi=hard -mfpu=fpv4-sp-d16",
        f"{ARM}gcc -std=c99 -mcpu=cortex-m4 -mthumb -O0",
        f"{ARM}gcc -std=c11 -mcpu=cortex-m33 -mthumb -Os",
        f"{ARM}gcc -std=c99 -mcpu=cortex-m55 -mthumb -mfloat-abi=hard",
        f"{ARM}g++ -x c++ -std=c++14 -mcpu=cortex-m4 -mthumb",
        f"{RISCV} -std=c99 -march=rv32imac -mabi=ilp32 --specs=picolibc.specs",
        f"{CC} -x c++ -std=c++11",
        f"{CLANG} -x c++ -std=c++17",
    ),
    KERNEL_CONFIGS,
)


@dataclass(frozen=True)
class Job:
    """A source with the command that compiles it, but for the output."""

    compiler: str
    config: str
    source: Path
    include: str

    def command(self) -> list[str]:
        """Options of later words go before those of earlier ones."""
        level = "" if "-O" in self.compiler else "-O2"
        return [*f"{self.compiler} {level} {WARN} {self.config} {self.include}".split(), str(self.source)]


def jobs(what: str) -> Iterator[Job]:
    """All that is to be compiled."""
    kernels = what == "kernels"
    sources = sorted(Path("nn/src" if kernels else "src").glob("*.c"))
    include = "-Iinclude -Inn/include" if kernels else "-Iinclude"
    for compiler, configs in (KERNEL_COMPILERS if kernels else DECODER_COMPILERS).items():
        lacking = {h for h in ("stdint.h", "math.h") if not can_compile(compiler, h)}
        for config in configs:
            if ("math.h" if kernels and NO["float"] not in config else "stdint.h") in lacking:
                print(f"not here: {compiler} {config}", flush=True)
                continue
            yield from (Job(compiler, config, source, include) for source in sources)


def can_compile(compiler: str, header: str) -> bool:
    """Whether the compiler is here, for its target and with a header, as C."""
    program, *options = compiler.split()
    command = [program, "-x", "c", *(o for o in options if not o.startswith("-std=c++") and o not in ("-x", "c++"))]
    command += ["-ffreestanding", "-fsyntax-only", "-"]
    try:
        done = subprocess.run(command, input=f"#include <{header}>\n".encode(), capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def preprocessed(job: Job) -> str:
    """Hash of what the compiler proper gets, and of its options without the configuration, which it has used up."""
    done = subprocess.run([*job.command(), "-E"], capture_output=True, check=False)
    text = done.stdout if done.returncode == 0 else os.urandom(16)  # compiling it tells what is wrong
    return hashlib.sha256(f"{job.compiler} {job.source} ".encode() + text).hexdigest()


def compiled(job: Job, to: Path) -> str:
    """What the compiler says of the source; empty if it takes it."""
    # All that clang warns of it finds before it optimizes, gcc does not; neither needs the assembler for it.
    made = ["-fsyntax-only"] if job.compiler.startswith(CLANG) else ["-S", "-o", str(to)]
    done = subprocess.run([*job.command(), *made], capture_output=True, text=True, check=False)
    to.unlink(missing_ok=True)
    if done.returncode == 0:
        return ""
    return f"{done.stdout}{done.stderr}{job.compiler} {job.config} {job.source}"


def main() -> int:
    """Compiles; the exit code is 1 if a compiler objects."""
    folder, what = Path(sys.argv[1]), sys.argv[2]
    folder.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        listed = list(jobs(what))
        # The kernels' two configurations have hardly anything alike.
        alike = pool.map(preprocessed, listed) if what == "decoder" else range(len(listed))
        different = list(dict(zip(alike, listed, strict=True)).values())
        places = [folder / f"{what}{i}.s" for i in range(len(different))]
        for said in pool.map(compiled, different, places):
            if said:
                print(said)
                pool.shutdown(cancel_futures=True)
                return 1
    print(f"strict, {what}: clean; {len(listed)} compilations, {len(different)} of them different")
    return 0


if __name__ == "__main__":
    sys.exit(main())
