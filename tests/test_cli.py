"""The command line: what it prints, what it writes, how it exits."""

import io
import json
import subprocess
import sys
from pathlib import Path

import command
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from samples import weights

from neuralcodec.cli.progress import encoding_bar


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "net.safetensors"
    save_file({"fc.weight": weights(64, 128), "fc.bias": weights(64)}, path, {"format": "pt"})
    return path


def neuralcodec(*arguments, code=0):
    done = command.neuralcodec(*arguments)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    return done


def test_the_command_starts(source):
    program = Path(sys.executable).with_name("neuralcodec")
    done = subprocess.run([program, "codecs", "--json"], capture_output=True, text=True, check=True)
    assert {"huffman", "raw"} <= {codec["name"] for codec in json.loads(done.stdout)}
    missing = [sys.executable, "-m", "neuralcodec", "inspect", source.with_name("missing")]
    assert subprocess.run(missing, capture_output=True, check=False).returncode == 4


def test_there_and_back(source, tmp_path):
    done = neuralcodec("encode", source)
    small = tmp_path / "net.nc.safetensors"
    assert f"{small.stat().st_size:,} bytes" in done.stdout
    neuralcodec("decode", small, "-o", tmp_path / "back.safetensors")
    back, original = load_file(tmp_path / "back.safetensors"), load_file(source)
    assert torch.equal(back["fc.bias"], original["fc.bias"])
    assert torch.allclose(back["fc.weight"], original["fc.weight"], atol=0.02)
    assert "fc.weight" in neuralcodec("inspect", small).stdout
    assert "agrees with" in neuralcodec("verify", small, source).stdout


def test_lossless_there_and_back_is_exact(source, tmp_path):
    neuralcodec("encode", source, "-o", tmp_path / "x", "--lossless", "-q")
    neuralcodec("decode", tmp_path / "x", "-o", tmp_path / "y", "-q")
    back, original = load_file(tmp_path / "y"), load_file(source)
    assert all(torch.equal(back[name], original[name]) for name in original)


def test_json_for_scripts(source, tmp_path):
    report = json.loads(neuralcodec("encode", source, "-o", tmp_path / "x", "--target-bits", "5", "--json").stdout)
    assert report["bits_per_weight"] == pytest.approx(5, rel=0.02)
    seen = json.loads(neuralcodec("inspect", tmp_path / "x", "--json").stdout)
    assert seen["encoded_bytes"] == (tmp_path / "x").stat().st_size
    assert seen["metadata"] == {"format": "pt"}
    verified = json.loads(neuralcodec("verify", tmp_path / "x", source, "--json").stdout)
    assert verified["ok"] is True
    assert verified["report"]["snr_db"] == pytest.approx(report["snr_db"], abs=0.01)
    listed = {codec["name"]: codec for codec in json.loads(neuralcodec("codecs", "--json").stdout)}
    assert {"huffman", "raw"} <= listed.keys()
    assert any("bits" in option for option in listed["huffman"]["options"])


def test_overrides(source, tmp_path):
    neuralcodec("encode", source, "-o", tmp_path / "x", "-c", "kmeans", "--override", "fc.w*:clusters=2", "-q")
    neuralcodec("decode", tmp_path / "x", "-o", tmp_path / "y", "-q")
    assert len(torch.unique(load_file(tmp_path / "y")["fc.weight"])) == 2
    assert "PATTERN:NAME=VALUE" in neuralcodec("encode", source, "--override", "clusters=2", code=2).stderr
    assert "no tensor matches" in neuralcodec("encode", source, "--override", "nope:bits=2", code=1).stderr
    assert "no option 'target'" in neuralcodec("encode", source, "-O", "target=3", code=2).stderr


def test_importance(source, tmp_path):
    rows = torch.ones(64, 1)
    rows[:32] = 1000
    save_file({"fc.weight": rows}, tmp_path / "importance")
    options = ("--target-bits", "3", "--importance", tmp_path / "importance")
    neuralcodec("encode", source, "-o", tmp_path / "x", *options, "-q")
    neuralcodec("decode", tmp_path / "x", "-o", tmp_path / "y", "-q")
    error = (load_file(tmp_path / "y")["fc.weight"] - load_file(source)["fc.weight"]).square().mean(1)
    assert error[:32].mean() < error[32:].mean() / 4

    assert "does not weight" in neuralcodec("encode", source, "-c", "huffman", *options, code=1).stderr
    (tmp_path / "importance").write_bytes(b"no such thing")
    assert "importance is not a safetensors file" in neuralcodec("encode", source, *options, code=1).stderr
    (tmp_path / "importance").unlink()
    assert "importance: No such file" in neuralcodec("encode", source, *options, code=4).stderr


def test_exit_codes_mean_something(source, tmp_path):
    small = tmp_path / "net.nc.safetensors"
    neuralcodec("encode", source, "-q", "--json")
    assert "cannot be met" in neuralcodec("encode", source, "--max-bytes", "10", code=1).stderr
    assert (
        "exclude each other" in neuralcodec("encode", source, "--max-bytes", "10", "--target-snr", "3", code=2).stderr
    )
    assert "did you mean" in neuralcodec("encode", source, "-c", "hufman", code=2).stderr
    assert "did you mean" in neuralcodec("encode", source, "-O", "statez=4", code=2).stderr
    assert "one of 1, 4, 8" in neuralcodec("encode", source, "-O", "states=9", code=2).stderr
    assert "error or raw" in neuralcodec("encode", source, "--on-nonfinite", "foo", code=2).stderr
    neuralcodec("encode", source, "-O", "bits", code=2)
    for verb in (["encode"], ["decode"], ["transcode"], ["inspect"], ["verify"], ["verify", small]):
        assert "none: No such file" in neuralcodec(*verb, tmp_path / "none", code=4).stderr
        assert f"{tmp_path}: is a directory" in neuralcodec(*verb, tmp_path, code=4).stderr
    assert "not one that neuralcodec wrote" in neuralcodec("inspect", source, code=3).stderr
    assert "the input" in neuralcodec("encode", source, "-o", source, code=2).stderr
    data = bytearray(small.read_bytes())
    data[-3] ^= 4
    small.write_bytes(data)
    assert "fc." in neuralcodec("verify", small, code=3).stderr


def test_the_output_is_looked_at_before_the_work(source, tmp_path):
    small = tmp_path / "net.nc.safetensors"
    neuralcodec("encode", source, "-q")
    (tmp_path / "folder").mkdir()
    for verb in (["encode", source], ["decode", small], ["transcode", small], ["export-c", small]):
        for name, said in (
            ("none/x", "its folder does not exist"),
            ("folder", "is a directory"),
            (f"{source.name}/x", "not a folder"),
        ):
            failed = neuralcodec(*verb, "-o", tmp_path / name, code=4).stderr
            assert f"{tmp_path / name}: " in failed
            assert said in failed
    long = "n" * 250
    neuralcodec("encode", source, "-q", "-o", tmp_path / long)
    assert (tmp_path / long).read_bytes() == small.read_bytes()


def test_names_that_a_terminal_would_obey(tmp_path):
    names = ["a\\[/b]", "x\x1b[31mRED\x1b]0;owned\x07", "[bold]", "end\\"]
    source, small = tmp_path / "m.safetensors", tmp_path / "m.nc.safetensors"
    save_file({name: weights(20, 30) for name in names}, source)
    said = [neuralcodec("encode", source, "-c", "huffman").stdout]
    said += [neuralcodec("inspect", small).stdout, neuralcodec("inspect", tmp_path / names[0], code=4).stderr]
    for text in said:
        assert "\x1b" not in text
    for name in names:
        shown = name.replace("\x1b", "\\x1b").replace("\x07", "\\x07")
        assert all(shown in text for text in said[:2])
    assert f"{names[0]}: No such file" in said[2]
    console = Console(force_terminal=True, file=io.StringIO())
    with encoding_bar(console, quiet=False) as progress:
        for i, name in enumerate(names):
            progress(name, i, len(names))


def test_codecs_are_explained():
    text = neuralcodec("codecs").stdout
    assert "coding: 'contexts' | 'light' | 'rans' | 'prefix' = 'contexts'" in text
    assert "room: " in neuralcodec("codecs", "trellis").stdout
    (only,) = json.loads(neuralcodec("codecs", "kmeans", "--json").stdout)
    assert "centroids: 'fp32' | 'fp16' | 'bf16' | 'int8' = 'fp16'" in only["options"]
    assert "did you mean 'kmeans'" in neuralcodec("codecs", "kmean", code=2).stderr


def test_a_model_without_weights(tmp_path):
    save_file({}, tmp_path / "m.safetensors")
    said = neuralcodec("encode", tmp_path / "m.safetensors").stdout
    assert "no weights" in said
    assert "nan" not in said


def test_verify_finds_another_original(source, tmp_path):
    small = tmp_path / "net.nc.safetensors"
    neuralcodec("encode", source, "-q")
    save_file({"fc.weight": weights(64, 128), "fc.bias": weights(64) + 1}, source)
    assert "fc.bias" in neuralcodec("verify", small, source, code=1).stderr
    assert "below 200" in neuralcodec("verify", small, source, "--min-snr", "200", code=1).stderr
    save_file({"fc.weight": weights(64, 127)}, source)
    problems = json.loads(neuralcodec("verify", small, source, "--json", code=1).stdout)["problems"]
    assert len(problems) == 2


def test_verify_takes_no_other_model_for_a_rounded_one(tmp_path):
    """Ones and zeros have no bits that tell to how many they were rounded."""
    source, other, small = (tmp_path / name for name in ("v1.safetensors", "v2.safetensors", "v1.nc.safetensors"))
    w = weights(20, 30)
    save_file({"bn.weight": torch.ones(64), "bn.bias": torch.zeros(64), "w": w}, source)
    save_file({"bn.weight": torch.full((64,), 1.3), "bn.bias": torch.full((64,), 0.7), "w": w}, other)
    neuralcodec("encode", source, "--lossless", "-q")
    problems = json.loads(neuralcodec("verify", small, other, "--json", code=1).stdout)["problems"]
    assert sorted(problem.split("'")[1] for problem in problems) == ["bn.bias", "bn.weight"]
    for options in (["--target-bits", "6"], ["-c", "huffman", "-O", "mantissa=3"]):
        save_file({"b": weights(50), "w": w}, source)
        neuralcodec("encode", source, "-q", *options)
        neuralcodec("verify", small, source)


def test_help_teaches():
    assert "export-c" in neuralcodec("--help").stdout
    assert "--target-bits 4" in neuralcodec("encode", "--help").stdout
    assert "stream version 1" in neuralcodec("--version").stdout
