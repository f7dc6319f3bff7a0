"""The README of an export."""

from __future__ import annotations

from neuralcodec.firmware.names import Names
from neuralcodec.firmware.plan import Plan
from neuralcodec.firmware.report import ExportReport


def readme(report: ExportReport, names: Names, plan: Plan, *, plain: bool, bundled: bool) -> str:
    """The text of ``README.md``."""
    f, m, model = names.function, names.macro, names.model
    whole = plan.mode == "int8"
    kind = "int8_t" if whole else "float"
    given, result = plan.activations[plan.input], plan.activations[plan.output]
    sources = f"`{model}.c`" if plain else f"`{model}.c`, `{model}_blob.c`"
    decoder = "`ncd/`" if bundled else "neuralcodec's folder `firmware_decoder`"
    lines = [
        f"# {model}",
        "",
        "A network for microcontrollers, exported by neuralcodec. "
        + (
            "Weights lie in flash as they are."
            if plain
            else "Its weights stay compressed: layers decode them tile by tile."
        ),
        "",
        "## Use",
        "",
        "```c",
        f'#include "{model}.h"',
        "",
        f"static {kind} input[{m}_INPUT_SIZE]; /* {' × '.join(map(str, given.shape))} */",
        "",
        f"if ({f}_init(NULL, 0) == NCD_OK && {f}_run(input, {m}_INPUT_SIZE) == NCD_OK) {{",
        f"    const {kind} *output = {f}_output(); /* {' × '.join(map(str, result.shape))} */",
        "    /* ... */",
        "}",
        "```",
        "",
    ]
    if plan.input_last and given.shape[-1] > 1:
        lines += [
            "Inputs lie in memory with the channels of a position side by side, as [height][width][channels].",
            "",
        ]
    if whole:
        lines += [
            f"A value of the input stands for (value − {given.quantization.zero}) × {given.quantization.scale:.9g}"
            if given.quantization
            else "",
            f"(`{f}_quantize` makes one of a float), one of the output for (value − {result.quantization.zero}) × "
            f"{result.quantization.scale:.9g} (`{f}_dequantize`)."
            if result.quantization
            else "",
            "",
        ]
    if plan.states:
        lines += [f"The network keeps a state from run to run; `{f}_reset()` sets it to 0.", ""]
    lines += [
        "## Build",
        "",
        f"With CMake: `add_subdirectory` this folder and link `{f}`"
        + ("." if bundled else "; set `NCD_DIR` to neuralcodec's folder `firmware_decoder`."),
        f"Without: compile {sources} and the `.c` files in `src/` and `nn/src/` of {decoder}, with this folder,",
        "`include/` and `nn/include/` of it on the include path. Let the linker leave out unused functions",
        "(`-ffunction-sections`, `--gc-sections`).",
        *(
            ["Programs of several networks share one decoder: export them with `bundle=False`."]
            if bundled
            else ["Options for all of them, for the smallest decoder:", "", f"    {_options(report)}"]
        ),
        "",
        "## Sizes",
        "",
        "| | bytes |",
        "| --- | --: |",
        f"| flash: weights | {report.weight_bytes:,} |",
        f"| flash: {report.overhead} | {report.overhead_bytes:,} |",
        f"| flash: bias, multipliers, structs | {report.constant_bytes:,} |",
        f"| RAM: arena | {report.arena_bytes:,} |",
        f"| RAM: context, on 32 bits | {report.context_bytes:,} |",
        "",
        f"The same weights without compression take {report.plain_weight_bytes:,} bytes. Code and stack do not count.",
        f"Of the arena activations take at most {report.activation_bytes:,} bytes at a time.",
        "",
        "| layer | | output | MACs | weights | bytes | constants | RAM |",
        "| --- | --- | --- | --: | --: | --: | --: | --: |",
    ]
    for layer in report.layers:
        numbers = (layer.macs, layer.weights, layer.weight_bytes, layer.constant_bytes, layer.ram)
        shown = " | ".join(f"{n:,}" if n else "" for n in numbers)
        lines.append(f"| {layer.name} | {layer.kind} | {'×'.join(map(str, layer.output))} | {shown} |")
    lines += [""]
    recoded = [layer for layer in report.layers if layer.recoded]
    if recoded:
        lines += ["Weights that were coded again for this export:", ""]
        lines += [f"- {layer.name}: {layer.recoded}" for layer in recoded] + [""]
    lines += [f"Note: {warning}.\n" for warning in report.warnings]
    return "\n".join(lines)


def _options(report: ExportReport) -> str:
    return " ".join(f"-D{macro}={value}" for macro, value in report.decoder.items())
