# SPDX-License-Identifier: GPL-3.0-or-later
"""A tiny data set and a tiny trained model for command-line tests, made once per script; and .safetensors files."""
import array
import functools
import json
import math
import pathlib
import struct
import tempfile
import zlib

from harness import run

MODEL = ["n_layer=2", "n_head=2", "n_embd=16", "block_size=16", "expert_dim=8", "window=8", "groups=2"]
TRAINING = ["batch_size=3", "eval_iters=2", "eval_interval=4", "log_interval=1", "warmup_iters=2", "learning_rate=1e-2",
            "min_lr=1e-3", "seed=7"]
TEXT = "The cat sat on the mat. The dog saw the cat, and the cat ran. One day the mat was gone!\n" * 60

# A small model of every family that trains.
FAMILIES = {"microrwkv": ["expert_dim=8", "window=8", "groups=2", "n_head=2", "n_embd=16"],
            "nanorwkv": ["n_head=2", "n_embd=16"],
            "gpt2": ["n_head=2", "n_embd=16", "bias=True"],
            "rwkv4": ["n_embd=40"],
            "rwkv5": ["n_embd=128", "head_size=64"],
            "rwkv6": ["n_embd=128", "head_size=64"],
            "rwkv7": ["n_embd=128", "head_size=64"]}

_keep = tempfile.TemporaryDirectory()  # removed when the script ends
FOLDER = pathlib.Path(_keep.name)


@functools.lru_cache(maxsize=None)
def data(tokenizer="char"):
    """A prepared data set."""
    source, out = FOLDER / "text.txt", FOLDER / f"data-{tokenizer}"
    source.write_text(TEXT)
    run("prepare", source, "--tokenizer", tokenizer, "--out", out).expect(0)
    return out


def train(out, *arguments, iterations=4, **options):
    """Trains the tiny model into the folder `out`; the result is not checked. Later arguments win."""
    return run("train", f"dataset={data()}", f"out_dir={out}", *MODEL, *TRAINING, f"max_iters={iterations}",
               f"lr_decay_iters={iterations}", *arguments, **options)


@functools.lru_cache(maxsize=None)
def model():
    """The folder of a trained tiny model."""
    out = FOLDER / "model"
    train(out, iterations=20).expect(0)
    return out


def log_lines(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def digest(path):
    return run("info", path).expect(0).json()[0]["digest"]


TYPES = {"F32": "f", "I32": "i"}


def read_safetensors(path):
    """{name: (shape, numbers)} of float and integer tensors."""
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    tensors = {}
    for name, entry in json.loads(raw[8:8 + size]).items():
        if name != "__metadata__":
            start, end = (8 + size + at for at in entry["data_offsets"])
            tensors[name] = entry["shape"], array.array(TYPES[entry["dtype"]], raw[start:end])
    return tensors


def read_mrw(path):
    """{name: (shape, numbers)} of the float tensors of a checkpoint; src/io/FORMAT.md."""
    raw = path.read_bytes()
    size = struct.unpack("<I", raw[12:16])[0]
    header = json.loads(raw[16:16 + size])
    count = struct.unpack("<Q", raw[-16:-8])[0]
    packed = struct.unpack(f"<{2 * count}I", raw[-16 - 8 * count:-16])[::2]
    at, chunk, tensors = 20 + size, 0, {}
    for entry in header["tensors"]:
        left, numbers = math.prod(entry["shape"]), array.array("f")
        while left:
            bytes_ = zlib.decompress(raw[at:at + packed[chunk]], -15)
            n = len(bytes_) // 4
            numbers.frombytes(bytes(b for element in zip(*(bytes_[k * n:(k + 1) * n] for k in range(4))) for b in element))
            at, chunk, left = at + packed[chunk], chunk + 1, left - n
        tensors[entry["name"]] = entry["shape"], numbers
    return tensors


def write_safetensors(path, tensors, metadata=None):
    """tensors: {name: (dtype, shape, numbers)}"""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (dtype, shape, numbers) in tensors.items():
        piece = array.array(TYPES[dtype], numbers).tobytes()
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(piece)]}
        data += piece
    head = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(head)) + head + data)


def largest_difference(a, b):
    """Relative to the largest number of b."""
    assert len(a) == len(b)
    return max(abs(x - y) for x, y in zip(a, b)) / max(abs(y) for y in b)
