"""Memory is bounded by the largest tensor, not by the model."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

PEAK = """
import sys
import torch
import neuralcodec
torch.set_num_threads(1)
def status(key):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(key))
open("/proc/self/clear_refs", "w").write("5")
before = status("VmRSS")
source, encoded, decoded, verb = sys.argv[1:]
if verb == "encode":
    # One state and large steps: time, and no memory to speak of.
    neuralcodec.save(neuralcodec.encode(source, states=1, relative_step=0.3), encoded)
else:
    neuralcodec.decode_to_file(neuralcodec.load(encoded), decoded)
print(status("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_model_of_many_tensors_takes_the_memory_of_one(tmp_path):
    megabytes, count = 8, 24
    names = [str(tmp_path / name) for name in ("source", "encoded", "decoded")]
    save_file({f"layer{i}": torch.randn(1024, 256 * megabytes) for i in range(count)}, names[0])
    files = {f"layer{i}": f"{i}.safetensors" for i in range(count)}
    for name, file in files.items():
        save_file({name: torch.randn(1024, 256 * megabytes)}, tmp_path / file)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": files}))
    of_encoding = 32 + 64 + 6 * megabytes
    for source, verb, most in (
        (names[0], "encode", of_encoding),
        (str(index), "encode", of_encoding),
        (names[0], "decode", 4 * megabytes),
    ):
        arguments = [source, *names[1:], verb]
        done = subprocess.run([sys.executable, "-c", PEAK, *arguments], capture_output=True, text=True, check=True)
        grown = int(done.stdout) / 1024
        assert grown < most, (source, verb, grown)  # of 192 MB
