"""The command that trains a codec's model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.text import Text

from neuralcodec.cli.options import read_tensors
from neuralcodec.cli.paths import check_input, check_outputs
from neuralcodec.container import replace_file
from neuralcodec.errors import SourceError
from neuralcodec.models import autoencoder_training as training
from neuralcodec.models.autoencoder_training import Progress, Settings
from neuralcodec.models.corpus import is_left_out, matrices, with_importance
from neuralcodec.printable import printable

err = Console(stderr=True)


def train_codec(  # noqa: PLR0917 (typer reads them by name)
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Networks in .safetensors files, or folders of such files."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="MODEL", help="File to write.")],
    start: Annotated[
        Path | None,
        typer.Option("--start", metavar="MODEL", help="A model to go on from, as for fine-tuning; its classes stay."),
    ] = None,
    classes: Annotated[int, typer.Option(min=1, max=16, help="Priors that a tensor may choose from.")] = 6,
    rounds: Annotated[int, typer.Option(min=1, max=1000, help="Rounds of each of the two phases.")] = 6,
    steps: Annotated[int, typer.Option(min=1, max=100_000, help="Gradient steps of a class in a round.")] = 80,
    sample: Annotated[int, typer.Option(min=1, help="Weights of a tensor at each rate.")] = 2048,
    seed: Annotated[int, typer.Option(min=0, help="Of samples, batches and steps.")] = 0,
    importance: Annotated[
        Path | None,
        typer.Option(
            "--importance",
            metavar="PATH",
            help="What errors of weights count: a .safetensors file of arrays that broadcast to the network's tensors, "
            "by their names; for several networks a folder of such files, named as theirs.",
        ),
    ] = None,
    checkpoints: Annotated[
        Path | None, typer.Option("--checkpoints", metavar="FOLDER", help="Keep the model of each round here.")
    ] = None,
) -> None:
    """Train the prior of codec autoencoder on networks of your own.

    The model is written to MODEL; `encode --codec autoencoder` uses it with
    the option prior=MODEL, and it then travels in the file. Files that bear
    the name of a network of the benchmark are left out, and named. Where the rate
    diverges training stops, and names the last good checkpoint. Examples:

      neuralcodec train-codec mine/*.safetensors -o prior.bin
      neuralcodec train-codec mine --start prior.bin --rounds 2 -o tuned.bin
      neuralcodec train-codec net.safetensors --importance gradients.safetensors -o prior.bin

    Needs compressai: the package's extra 'learned'.
    """
    files: list[Path] = []
    for source in sources:
        found = sorted(source.glob("*.safetensors")) if source.is_dir() else [source]
        if not found:
            raise SourceError(f"{source}: no .safetensors file there")
        files += found
    files = list({file.resolve(): file for file in files}.values())  # a file named twice is one network
    for file in files if start is None else [*files, start]:
        check_input(file)
    try:
        check_outputs(files if importance is None else [*files, importance], output)  # the start may be trained on
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--output") from error

    left_out = [str(file) for file in files if is_left_out(file)]
    if left_out:
        said = f"{', '.join(left_out)}: not trained on, as a network of the benchmark has that name"
        if len(left_out) == len(files):
            raise SourceError(f"{said}; rename what is another network")
        err.print(Text(printable(said)), soft_wrap=True)

    def told(progress: Progress) -> None:
        kept = "" if progress.checkpoint is None else f", {progress.checkpoint}"
        text = f"{100 * progress.done:3.0f} %, {progress.bits:.4f} bits a residual{kept}"
        err.print(Text(printable(text)), soft_wrap=True)

    weights = matrices(files)
    if importance is not None:
        weights = with_importance(weights, _read_importance(importance, files))
    data = training.train(
        weights,
        Settings(classes=classes, rounds=rounds, steps=steps, sample=sample, seed=seed),
        start=None if start is None else start.read_bytes(),
        checkpoints=checkpoints,
        progress=told,
    )
    with replace_file(output) as written:
        written.write(data)
    err.print(Text(printable(f"wrote {output}, {len(data):,} bytes")), soft_wrap=True)


def _read_importance(path: Path, files: Sequence[Path]) -> dict[str, dict[str, torch.Tensor]]:
    """Importance by network and tensor.

    Raises:
        SourceError: there is none for any network, or one file for several.
    """
    if not path.is_dir() and len(files) > 1:
        raise SourceError(f"{path}: one file for {len(files)} networks; a folder of files named as theirs expected")
    if len({file.stem for file in files}) < len(files):
        raise SourceError(f"{path}: importance goes by names of networks, and several of them have the same")
    places = {file.stem: path / file.name if path.is_dir() else path for file in files}
    found = {network: read_tensors(place) for network, place in places.items() if place.exists()}
    if not found:
        raise SourceError(f"{path}: no importance of any of the networks there")
    return found
