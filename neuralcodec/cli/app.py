"""Commands and their options. Each is a thin layer over the public API."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import torch
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

import neuralcodec
from neuralcodec.cli import options as opt
from neuralcodec.cli.network import make_module, parse_shape, read_inputs
from neuralcodec.cli.paths import check_input, check_outputs, output_beside, told_beside
from neuralcodec.cli.progress import encoding_bar
from neuralcodec.cli.training import train_codec
from neuralcodec.codec import NAMED
from neuralcodec.errors import BitstreamError, NeuralCodecError, PlanError, RegistryError
from neuralcodec.export_c import check_files, outputs, symbol_for
from neuralcodec.printable import printable
from neuralcodec.profiling.run import require
from neuralcodec.registry import codec_class, make_codec
from neuralcodec.source import INDEX, files_of
from neuralcodec.transcode import check_options

EXIT_FAILED = 1  # input or target: cannot be encoded, target not met, files differ
EXIT_USAGE = 2  # the command line itself
EXIT_DAMAGED = 3  # a stream is damaged, truncated, or not ours
EXIT_IO = 4  # a file cannot be read or written

app = typer.Typer(
    name="neuralcodec",
    help="Compress the weights of trained neural networks, and get them back.",
    epilog="Exit codes: 0 done · 1 cannot be done, or files differ · 2 wrong usage · 3 a file is damaged, not of "
    "neuralcodec, or needs a newer version or a codec that is not here · 4 a file cannot be read or written",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# A pipe has no width; rows of a table should stay whole there.
out = Console() if Console().is_terminal else Console(width=160)
err = Console(stderr=True)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        out.print(f"neuralcodec {neuralcodec.__version__}, stream version {neuralcodec.STREAM_VERSION}")
        raise typer.Exit


@app.command()
def encode(  # noqa: PLR0917 (typer reads them by name)
    source: opt.Source,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write. Default: IN with the ending .nc.safetensors."),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option("--codec", "-c", help="Codec; see `neuralcodec codecs`. Default: trellis; huffman if lossless."),
    ] = None,
    target_bits: Annotated[
        float | None, typer.Option("--target-bits", metavar="BITS", help="Bits per weight of the whole file.")
    ] = None,
    target_snr: Annotated[
        float | None, typer.Option("--target-snr", metavar="DB", help="Signal-to-noise ratio of the weights in dB.")
    ] = None,
    max_bytes: Annotated[
        int | None, typer.Option("--max-bytes", metavar="N", help="Largest size of the whole file.")
    ] = None,
    allocation: Annotated[
        str | None,
        typer.Option(
            metavar="layers|error",
            help="How a target's bits are allocated: [bold]layers[/] with fewer weights get finer steps, which keeps "
            "more accuracy (default), or the squared [bold]error[/] is the least (default with --target-snr).",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option",
            "-O",
            metavar="NAME=VALUE",
            help="Option of the codec, e.g. [bold]-O states=8[/] or [bold]-O lossless=true[/]. Repeatable.",
        ),
    ] = None,
    override: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN:NAME=VALUE",
            help="Option for tensors whose names match, e.g. [bold]--override 'head.*:clusters=64'[/]. Repeatable; "
            "of several patterns the first that matches counts.",
        ),
    ] = None,
    lossless: Annotated[bool, typer.Option("--lossless", help="Short for -O lossless=true.")] = False,
    include: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN", help="Code only tensors whose names match; others are kept exactly. Repeatable."
        ),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Keep tensors whose names match exactly. Repeatable.")
    ] = None,
    importance: Annotated[
        Path | None,
        typer.Option(
            "--importance",
            metavar="PATH",
            help="What errors of weights count, for codecs that weight distortion: a .safetensors file of arrays that "
            "broadcast to tensors of IN, by their names, such as mean squared gradients.",
        ),
    ] = None,
    on_nonfinite: Annotated[
        str, typer.Option(help="NaN or Inf in a tensor to be quantized: [bold]error[/] or [bold]raw[/] (keep it).")
    ] = "error",
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="Tensors encoded at a time.")] = 1,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Compress a .safetensors file, or the files that a .safetensors.index.json names.

    Without options: codec trellis at 5 to 6 bits a weight, which keeps accuracy; small tensors stay exact. Examples:

      neuralcodec encode model.safetensors
      neuralcodec encode model.safetensors -o small.nc.safetensors --target-bits 4
      neuralcodec encode model.safetensors --lossless
      neuralcodec encode model.safetensors -c kmeans -O clusters=16 --override 'conv1.*:clusters=64'
      neuralcodec encode model.safetensors --target-bits 2 --importance gradients.safetensors
    """
    options = opt.parse(option or [])
    if lossless:
        options["lossless"] = True
    overrides = opt.parse_overrides(override or [])
    if on_nonfinite not in {"error", "raw"}:
        _fail("--on-nonfinite is error or raw", EXIT_USAGE)
    given = [v is not None for v in (target_bits, target_snr, max_bytes)]
    if sum(given) > 1:
        _fail("--target-bits, --target-snr and --max-bytes exclude each other", EXIT_USAGE)
    if allocation is not None and not any(given):
        _fail("--allocation is of a target's bits: give --target-bits, --target-snr or --max-bytes, too", EXIT_USAGE)
    try:
        target = (
            neuralcodec.Target(
                bits_per_weight=target_bits,
                snr_db=target_snr,
                max_bytes=max_bytes,
                allocation=allocation,  # type: ignore[arg-type]
            )
            if any(given)
            else None
        )
        chosen = make_codec(codec, options)
        opt.check_overrides(chosen, overrides)
        read_too = [] if importance is None else [importance]
        output = output_beside(source, output, ".nc.safetensors", INDEX, ".safetensors", others=read_too)
    except (ValueError, PlanError) as error:
        _fail(str(error), EXIT_USAGE)
    if importance is not None and not getattr(chosen, "weighted", False):
        _fail(f"codec {chosen.name!r} does not weight distortion, so --importance would do nothing", EXIT_USAGE)
    with encoding_bar(err, quiet or as_json) as progress, opt.executor(jobs) as executor:
        cm = neuralcodec.encode(
            source,
            chosen,
            target,
            include,
            exclude,
            executor,
            overrides=overrides,
            importance=None if importance is None else opt.read_tensors(importance),
            on_nonfinite=on_nonfinite,  # type: ignore[arg-type]
            progress=progress,
        )
        neuralcodec.save(cm, output)
    told = told_beside(output, out, err)
    if as_json:
        _print_json({"output": str(output), **cm.report().to_dict()}, told)
    elif not quiet:
        told.print(cm.report())
        told.print(_summary(cm.report(), output), soft_wrap=True)


@app.command()
def decode(
    source: opt.Compressed,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="File to write. Default: IN with the ending .decoded.safetensors."),
    ] = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Decode to an ordinary .safetensors file with the original names, shapes and dtypes."""
    try:
        output = output_beside(source, output, ".decoded.safetensors", ".safetensors", ".nc")
    except ValueError as error:
        _fail(str(error), EXIT_USAGE)
    cm = neuralcodec.load(source)
    with encoding_bar(err, quiet or as_json, "decoding") as progress:
        neuralcodec.decode_to_file(cm, output, progress)
    told = told_beside(output, out, err)
    size = output.stat().st_size if output.is_file() else None  # a pipe does not know what went through
    if as_json:
        _print_json({"output": str(output), "tensors": len(cm), "bytes": size}, told)
    elif not quiet:
        of_bytes = "" if size is None else f", {size:,} bytes"
        told.print(_line(f"wrote {output}: {len(cm)} tensors{of_bytes}"), soft_wrap=True)


@app.command()
def transcode(
    source: opt.Compressed,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write. Default: IN with the ending .mcu.safetensors.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-O", metavar="NAME=VALUE", help="Of codec trellis, such as coding=rans. Repeatable."),
    ] = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Code levels of codec generative anew with codec trellis, which microcontrollers decode tile by tile.

    Weights stay the same, bit for bit, and the original is not needed: send the small file, expand it at its place.

    Examples:
      neuralcodec encode model.safetensors -c generative -O tile=2048 --target-bits 3
      neuralcodec transcode model.nc.safetensors -o model.mcu.safetensors -O coding=rans
    """
    options = opt.parse(option or [])
    try:
        output = output_beside(source, output, ".mcu.safetensors", ".safetensors", ".nc")
        check_options(options)
    except (ValueError, PlanError) as error:
        _fail(str(error), EXIT_USAGE)
    with encoding_bar(err, quiet or as_json, "transcoding") as progress:
        cm = neuralcodec.transcode(neuralcodec.load(source), progress=progress, **options)  # type: ignore[arg-type]
        neuralcodec.save(cm, output)
    told = told_beside(output, out, err)
    if as_json:
        _print_json({"output": str(output), **cm.report().to_dict()}, told)
    elif not quiet:
        told.print(_summary(cm.report(), output), soft_wrap=True)


@app.command()
def inspect(source: opt.Compressed, as_json: opt.Json = False) -> None:
    """Show what is in a compressed file: each tensor's codec, shape, bytes and bits per weight."""
    check_input(source)
    cm = neuralcodec.load(source)
    if as_json:
        _print_json({"file": str(source), "metadata": cm.metadata, **cm.report().to_dict()})
        return
    out.print(cm.report())
    out.print(_summary(cm.report(), source), soft_wrap=True)


@app.command()
def verify(
    source: opt.Compressed,
    original: Annotated[
        Path | None, typer.Argument(help="The .safetensors file (or .index.json) that was encoded, to compare with.")
    ] = None,
    min_snr: Annotated[
        float | None,
        typer.Option(metavar="DB", help="Fail if a lossily coded tensor is below this (needs the original)."),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """Check all checksums and decode every tensor; compare with the original if it is given.

    Exit code 3: damaged. Exit code 1: a tensor is missing, has another shape or dtype, is not exact though its codec
    is lossless, has nothing to do with it, or is below --min-snr.
    """
    if min_snr is not None and original is None:
        _fail("--min-snr is of the original, which has to be given, too", EXIT_USAGE)
    if min_snr is not None and math.isnan(min_snr):
        _fail("--min-snr is a number", EXIT_USAGE)
    for path in (source, original):
        if path is not None:
            check_input(path)
    result = neuralcodec.verify(source, original, min_snr)
    if as_json:
        _print_json(result.to_dict())
    else:
        for problem in result.problems:
            err.print(_line(problem, ("✗ ", "red")), soft_wrap=True)
        if result.report is not None:
            out.print(result.report)
        if not result.problems:
            compared = " and agrees with the original" if original else ""
            text = f"{source}: {result.tensors} tensors, every checksum is right, everything decodes{compared}"
            out.print(_line(text, ("✓ ", "green")), soft_wrap=True)
    if result.problems:
        raise typer.Exit(EXIT_FAILED)


@app.command()
def profile(  # noqa: PLR0917 (typer reads them by name)
    source: Annotated[Path, typer.Argument(metavar="MODEL", help="A .safetensors file, or one that `encode` wrote.")],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="PAGE", help="Also write a page with plots; it loads nothing.")
    ] = None,
    tensors: Annotated[
        list[str] | None,
        typer.Option(metavar="PATTERN", help="Look only at tensors whose names match. Repeatable."),
    ] = None,
    top: Annotated[int, typer.Option(min=0, metavar="N", help="Draw the largest N tensors in the page.")] = 20,
    target_snr: Annotated[
        float, typer.Option("--target-snr", metavar="DB", min=1, max=100, help="What suggested settings reach.")
    ] = 30.0,
    as_json: opt.Json = False,
) -> None:
    """Look at the weights: what they are like, what that means for coding.

    For each tensor: the distribution that fits best, how its rows and columns
    differ in scale, its effective rank, the entropy of its levels at 20, 30
    and 40 dB against the Shannon bound, and which of the settings tried takes
    the fewest bits. Of large tensors a sample is taken. Examples:

      neuralcodec profile model.safetensors
      neuralcodec profile model.safetensors --html page.html --tensors 'encoder.*'
      neuralcodec profile model.nc.safetensors --json

    Needs scipy, and matplotlib for the page: the package's extra 'profile'.
    """
    check_input(source)
    if html:
        try:
            check_outputs(files_of(source), html)
        except ValueError as error:
            _fail(str(error), EXIT_USAGE)
    require(*(["scipy", "matplotlib"] if html else ["scipy"]))
    with encoding_bar(err, as_json, "profiling") as progress:
        found = neuralcodec.profile(source, tensors, snr_db=target_snr, progress=progress)
    if html:
        from neuralcodec.profiling.page import write_page  # noqa: PLC0415 (needs matplotlib, which is optional)

        write_page(found, html, source.name, top)
    if as_json:
        _print_json({"model": str(source), "page": None if html is None else str(html), **found.to_dict()})
        return
    out.print(found)
    rate = "" if found.bits_per_weight is None else f", {found.bits_per_weight:.2f} bits/weight"
    out.print(
        _line(
            f"{source}: {len(found.tensors)} tensors, {found.weights:,} weights; as suggested, each tensor with "
            f"{target_snr:g} dB or more, {found.suggested_bytes:,} bytes{rate}, names and headers not counted"
        ),
        soft_wrap=True,
    )
    if html:
        out.print(_line(f"wrote {html}"), soft_wrap=True)


@app.command()
def codecs(
    name: Annotated[str | None, typer.Argument(metavar="[CODEC]", help="Tell all about this one.")] = None,
    as_json: opt.Json = False,
) -> None:
    """List the codecs that can be used here, with their options; or tell what those of one codec do."""
    listed = neuralcodec.describe_codecs()
    if name is not None:
        codec_class(name)  # whose error suggests the nearest name
        listed = [one for one in listed if one.name == name]
    if name is not None and not as_json:
        out.print(Text(f"{name}: {listed[0].details}"))
        return
    if as_json:
        _print_json([dataclasses.asdict(one) for one in listed])
        return
    table = Table("codec", "what it does", "options (default)", header_style="bold")
    for one in listed:
        table.add_row(Text(one.name), Text(one.summary), Text("\n".join(one.options) or "–"))
    out.print(table)


@app.command("export-c")
def export_c(  # noqa: PLR0917 (typer reads them by name)
    source: opt.Compressed,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="x.c or x.h writes both; another ending (x.bin) writes the bare stream."),
    ],
    name: Annotated[
        str | None, typer.Option(help="Prefix of the C symbols, of x.c and x.h. Default: from the file's name.")
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Keep tensor names in the stream, for ncd_tensor_find().")
    ] = False,
    prepared: Annotated[
        bool,
        typer.Option(
            "--prepared",
            help="Write tensors that are open already, with the tables of codec trellis as constants: they cost flash "
            "instead of RAM, and a fraction of the decoder's code.",
        ),
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Write a compressed model for a firmware build.

    The C decoder in firmware_decoder/ reads these bytes from flash as they are.
    """
    check_input(source)
    try:
        check_outputs([source], *outputs(output))
        symbol_for(output, name)
        check_files(output, names, prepared, name)
    except (ValueError, PlanError) as error:
        _fail(str(error), EXIT_USAGE)
    cm = neuralcodec.load(source)
    written = neuralcodec.export_c(cm, output, name, names, prepared)
    if foreign := [entry.spec.name for entry in cm.entries if entry.number == NAMED]:
        err.print(_line(f"the C decoder refuses {', '.join(foreign)}, of plug-in codecs", ("warning: ", "yellow")))
    told = told_beside(output, out, err)
    if as_json:
        _print_json({"files": [str(path) for path in written]}, told)
    else:
        for path in written:
            told.print(_line(f"wrote {path}"), soft_wrap=True)


@app.command("export-firmware")
def export_firmware(  # noqa: PLR0917 (typer reads them by name)
    source: opt.Compressed,
    model: Annotated[
        str,
        typer.Option(
            metavar="MODULE:NAME",
            help="What makes the torch module: a class or function without arguments, or a module, such as "
            "[bold]mypackage.networks:Spotter[/]. Looked up from the current folder, too.",
        ),
    ],
    example_shape: Annotated[
        str, typer.Option(metavar="N,N,...", help="Shape of an input, a batch of one, such as [bold]1,1,49,10[/].")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write.")],
    calibration: Annotated[
        Path | None,
        typer.Option(
            help="Inputs that ranges of activations come from: a .npy file, or a .safetensors file with one tensor, "
            r"of shape \[inputs, ...]. Needed but in float mode."
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the model in C. Default: from the module's class.")] = None,
    mode: Annotated[str, typer.Option(help="Activations: [bold]int8[/] or [bold]float[/].")] = "int8",
    weights: Annotated[
        str, typer.Option(help="[bold]compressed[/], or [bold]plain[/] for comparison: in flash as they are.")
    ] = "compressed",
    tile: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="N", help="Most weights in a tile, which lies in RAM. Tensors of codec trellis keep theirs."
        ),
    ] = None,
    checks: Annotated[bool, typer.Option("--checks", help="Check each tile when it is decoded.")] = False,
    bundle: Annotated[bool, typer.Option(help="Put the decoder's sources into the folder.")] = True,
    tables: Annotated[
        str,
        typer.Option(
            help="Where tables of codec trellis lie: [bold]ram[/], built at each inference, or [bold]flash[/], ready "
            "to use."
        ),
    ] = "ram",
    as_json: opt.Json = False,
) -> None:
    """Write a network for a microcontroller, its weights compressed: C sources that compile as they are.

    The module tells the network's structure, the compressed file its weights. Example:

      neuralcodec export-firmware small.nc.safetensors --model networks:Spotter --example-shape 1,1,49,10
      --calibration features.npy -o spotter
    """
    if mode not in ("int8", "float"):
        _fail("--mode is int8 or float", EXIT_USAGE)
    if weights not in ("compressed", "plain"):
        _fail("--weights is compressed or plain", EXIT_USAGE)
    if tables not in ("ram", "flash"):
        _fail("--tables is ram or flash", EXIT_USAGE)
    if calibration is None and mode == "int8":
        _fail("--calibration is needed in int8 mode", EXIT_USAGE)
    check_input(source)
    report = neuralcodec.export_firmware(
        neuralcodec.load(source),
        make_module(model),
        torch.zeros(parse_shape(example_shape)),
        None if calibration is None else read_inputs(calibration),
        output,
        name=name,
        mode=mode,  # type: ignore[arg-type]
        weights=weights,  # type: ignore[arg-type]
        tile=tile,
        checks=checks,
        bundle=bundle,
        tables=tables,  # type: ignore[arg-type]
    )
    if as_json:
        _print_json({"output": str(output), **report.to_dict()})
        return
    out.print(report)
    out.print(_line(f"wrote {output}"), soft_wrap=True)


app.command("train-codec")(train_codec)


def main() -> None:
    """Entry point: turns our exceptions into a line on stderr and an exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    if isinstance(sys.stdout, io.TextIOWrapper):  # of other encodings than UTF-8 what they lack is written as escapes
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app()
    except BitstreamError as error:
        _fail(str(error), EXIT_DAMAGED)
    except (PlanError, RegistryError) as error:
        _fail(str(error), EXIT_FAILED if isinstance(error, PlanError) else EXIT_USAGE)
    except NeuralCodecError as error:
        _fail(str(error), EXIT_FAILED)
    except OSError as error:
        _fail(f"{error.filename or ''}: {error.strerror or error}".removeprefix(": "), EXIT_IO)
    except MemoryError:
        _fail("not enough memory", EXIT_FAILED)


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    """Ends as after an exception, which removes temporary files."""
    sys.exit(128 + number)


def _fail(message: str, code: int) -> NoReturn:
    err.print(_line(message, ("error: ", "bold red")), highlight=False, soft_wrap=True)
    sys.exit(code)


def _line(text: str, before: tuple[str, str] = ("", "")) -> Text:
    """A line of text as it is, which may hold markup and control characters, behind a word of a style."""
    return Text.assemble(before, printable(text))


def _summary(report: neuralcodec.Report, path: Path) -> Text:
    if not report.weights:
        return _line(f"{path}: {report.encoded_bytes:,} bytes, no weights")
    exact = report.snr_db == math.inf
    snr = "" if report.snr_db is None else ", exact" if exact else f", SNR {report.snr_db:.1f} dB"
    return _line(
        f"{path}: {report.encoded_bytes:,} bytes, {report.bits_per_weight:.2f} bits/weight, "
        f"{report.ratio:.2f}× smaller than {report.original_bytes:,} bytes of weights{snr}"
    )


def _print_json(value: object, told: Console = out) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=True), file=told.file)
