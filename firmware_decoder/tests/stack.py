"""What the decoder takes of RAM: its structures, and its deepest stack by the call graphs of -fcallgraph-info=su.

There is no recursion and no call through a pointer, so the sums are bounds; memcpy and memset are not counted.
`python3 stack.py FOLDER ELF NM`: FOLDER is full of .ci files, ELF holds arrays as large as the structures.
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


def main() -> None:
    """Prints it."""
    folder, elf, nm = sys.argv[1:]
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
        return own.get(name, 0) + max((depth(callee) for callee in calls.get(name, ())), default=0)

    symbols = subprocess.run([nm, "-S", "-t", "d", elf], capture_output=True, text=True, check=True).stdout
    size = {line.split()[3]: int(line.split()[1]) for line in symbols.splitlines() if len(line.split()) == 4}
    for name in MODEL + TENSOR:
        if name in own:
            print(f"  stack {name:<22} {depth(name):4}")
    with_model = size["size_ncd_model"] + max(depth(name) for name in MODEL if name in own)
    with_tensor = size["size_ncd_model"] + size["size_ncd_tensor"] + max(depth(n) for n in TENSOR if n in own)
    print(f"  RAM beside tile and table    {max(with_model, with_tensor):4}")


if __name__ == "__main__":
    main()
