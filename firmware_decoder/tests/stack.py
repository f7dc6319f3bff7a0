"""What the decoder takes of RAM: its structures, and its deepest stack by the call graphs of -fcallgraph-info=su.

There is no recursion and no call through a pointer, so the sums are bounds; memcpy and memset are not counted. A
function that ends with a jump to another one has left its stack to that; which do, the program's code tells.
`python3 stack.py FOLDER ELF CROSS`: FOLDER is full of .ci files, ELF holds arrays as large as the structures, or
decodes prepared tensors and has none; CROSS is the prefix of the compiler's programs.
"""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

MODEL = ("ncd_model_open", "ncd_tensor_find")
TENSOR = (
    *("ncd_tensor_open", "ncd_tensor_check", "ncd_tensor_prepare", "ncd_tile_place"),
    *("ncd_decode_tile_i8", "ncd_decode_tile_bytes", "ncd_row_scale", "ncd_decode_tile_f32"),
)

FIFTH_ARGUMENT = 8
"""Bytes that a call of ncd_decode_tile_i8 puts on the stack: four are in registers, and stacks are aligned to 8."""


def plain(name: str) -> str:
    """A function's name without its file, or what the compiler adds to it."""
    return re.sub(r"\.(constprop|isra|part)(\.\d+)?$", "", name.rsplit(":", 1)[-1])


def jumps(elf: str, cross: str) -> dict[tuple[str, str], set[str]]:
    """How one function goes to another: by ``bl``, after which it goes on, or ``b``."""
    code = subprocess.run([f"{cross}objdump", "-d", elf], capture_output=True, text=True, check=True).stdout
    found: dict[tuple[str, str], set[str]] = {}
    source = ""
    for line in code.splitlines():
        if head := re.match(r"[0-9a-f]+ <(.+)>:", line):
            source = plain(head.group(1))
        elif jump := re.search(r"\t(blx?|b)(?:\.[nw])?\t[0-9a-f]+ <([^+>]+)>", line):
            found.setdefault((source, plain(jump.group(2))), set()).add(jump.group(1))
    return found


def main() -> None:
    """Prints it."""
    folder, elf, cross = sys.argv[1:]
    called = jumps(elf, cross)
    own: dict[str, int] = {}
    calls: dict[str, set[str]] = {}
    for path in Path(folder).glob("*.ci"):
        text = path.read_text(encoding="utf-8")
        for title, label in re.findall(r'node: \{ title: "([^"]+)" label: "([^"]+)"', text):
            frame = re.search(r"(\d+) bytes \((\w+)\)", label)
            if frame and frame.group(2) != "static":
                sys.exit(f"{title}: its stack is not bounded")
            if frame:
                own[title] = int(frame.group(1))
        for source, target in re.findall(r'edge: \{ sourcename: "([^"]+)" targetname: "([^"]+)"', text):
            calls.setdefault(source, set()).add(target)

    @cache
    def depth(name: str) -> int:
        mine, deepest = own.get(name, 0), 0
        for callee in calls.get(name, ()):
            ended = called.get((plain(name), plain(callee))) == {"b"}
            deepest = max(deepest, depth(callee) - (mine if ended else 0))
        return mine + deepest

    symbols = subprocess.run([f"{cross}nm", "-S", "-t", "d", elf], capture_output=True, text=True, check=True).stdout
    size = {line.split()[3]: int(line.split()[1]) for line in symbols.splitlines() if len(line.split()) == 4}
    if "size_ncd_tensor" not in size:
        print(f"  RAM beside tile and table    {depth('ncd_decode_tile_i8') + FIFTH_ARGUMENT:4}")
        return
    for name in MODEL + TENSOR:
        if name in own:
            print(f"  stack {name:<22} {depth(name):4}")
    with_model = size["size_ncd_model"] + max(depth(name) for name in MODEL if name in own)
    with_tensor = size["size_ncd_model"] + size["size_ncd_tensor"] + max(depth(n) for n in TENSOR if n in own)
    print(f"  RAM beside tile and table    {max(with_model, with_tensor):4}")


if __name__ == "__main__":
    main()
