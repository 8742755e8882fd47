#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the fuzzers' seeds that are no plain text. usage: make_seeds.py PROGRAM (build/microrwkv)"""
import collections
import gzip
import io
import json
import pathlib
import pickle
import random
import struct
import subprocess
import sys
import tempfile
import types
import zipfile
import zlib

SEEDS = pathlib.Path(__file__).resolve().parent / "seeds"
LINE = b"\n====\n"
WIDTHS = {"f32": 4, "f16": 2, "bf16": 2, "f64": 8, "i64": 8, "i32": 4, "i16": 2, "i8": 1, "u16": 2, "u8": 1, "bool": 1,
          "q4_0": 18, "q4_1": 20, "q5_0": 22, "q5_1": 24, "q8_0": 34, "q2_k": 84, "q6_k": 210}
DRAW = random.Random(1)
MOST_MODEL = 12 << 10


def save(fuzzer, name, content):
    (SEEDS / fuzzer / name).write_bytes(content)


def noise(size):
    return bytes(DRAW.choice(b"\x00\x00\x3c\x3d\xbc\x01\x80") for _ in range(size))


def count_of(shape):
    n = 1
    for size in shape:
        n *= size
    return n


def tensor_bytes(dtype, shape):
    return noise(count_of(shape) // (32 if dtype[0] == "q" else 1) * WIDTHS[dtype])


# ---- containers ----


def mrw(tensors, metadata, chunk_bytes=4096):
    listed = [{"name": name, "dtype": dtype, "shape": shape} for name, dtype, shape in tensors]
    header = json.dumps({"chunk_bytes": chunk_bytes, "tensors": listed, "metadata": metadata}).encode()
    out = b"\x89mrw\r\n\x1a\n" + struct.pack("<II", 1, len(header)) + header
    out += struct.pack("<I", zlib.crc32(out))
    index = b""
    for _, dtype, shape in tensors:
        data, width = tensor_bytes(dtype, shape), WIDTHS[dtype]
        full = chunk_bytes // width * width
        for at in range(0, len(data), full):
            chunk = data[at:at + full]
            pack = zlib.compressobj(1, zlib.DEFLATED, -15)
            packed = pack.compress(b"".join(chunk[b::width] for b in range(width))) + pack.flush()
            index += struct.pack("<II", len(packed), zlib.crc32(packed))
            out += packed
    index += struct.pack("<Q", len(index) // 8)
    return out + index + struct.pack("<I", zlib.crc32(index)) + b"end\n"


def safetensors(tensors, metadata=None):
    names = {"f32": "F32", "f16": "F16", "bf16": "BF16", "f64": "F64", "i64": "I64", "i32": "I32", "u8": "U8", "bool": "BOOL"}
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, dtype, shape in tensors:
        content = tensor_bytes(dtype, shape)
        header[name] = {"dtype": names[dtype], "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def ggml_bin(tensors, dtype=1, version=101):
    codes = {"f32": 0, "f16": 1, "q4_0": 2, "q4_1": 3, "q5_0": 7, "q5_1": 8, "q8_0": 9}
    out = b"fmgg" + struct.pack("<5i", version, 5, 32, 1, dtype)
    for name, kind, shape in tensors:
        out += struct.pack("<3i", len(shape), len(name), codes[kind])
        out += struct.pack(f"<{len(shape)}i", *reversed(shape)) + name.encode() + tensor_bytes(kind, shape)
    return out


def gguf(tensors, keys=b"", count=0, version=3, types={"f32": 0, "f16": 1, "q4_1": 3, "q8_0": 8, "q2_k": 10, "q6_k": 14, "bf16": 30}):
    text = lambda s: struct.pack("<Q", len(s)) + s.encode()
    out, data = b"GGUF" + struct.pack("<Iqq", version, len(tensors), count) + keys, b""
    for name, kind, shape in tensors:
        piece = noise(count_of(shape) // {"k": 256}.get(kind[-1], 32 if kind[0] == "q" else 1) * WIDTHS[kind])
        out += text(name) + struct.pack(f"<I{len(shape)}qiQ", len(shape), *reversed(shape), types[kind], len(data))
        data += piece + bytes(-len(piece) % 32)
    return out + bytes(-len(out) % 32) + data


def gguf_keys():
    text = lambda s: struct.pack("<Q", len(s)) + s.encode()
    values = [(0, b"\xc8"), (3, b"\xff\xff"), (4, b"abcd"), (6, b"\0\0\xc0\x7f"), (7, b"\1"), (8, text("a text")), (10, b"\xff" * 8),
              (9, struct.pack("<iQ", 8, 2) + text("a") + text("")), (9, struct.pack("<iQ3i", 5, 3, 1, 2, 3)), (9, struct.pack("<iQ", 0, 300) + bytes(300))]
    keys = b"".join(text(f"k.{i}") + struct.pack("<i", kind) + value for i, (kind, value) in enumerate(values))
    return keys + text("general.alignment") + struct.pack("<iI", 4, 32), len(values) + 1


# ---- torch ----


class Tensor:
    """Pickled as a view of a storage."""

    def __init__(self, storage, offset, shape, stride):
        self.arguments = (storage, offset, shape, stride, False, None)

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Storage:
    def __init__(self, kind, count):
        self.id = ("storage", getattr(sys.modules["torch"], kind), "0", "cpu", count)


class Pickler(pickle._Pickler):
    def persistent_id(self, value):
        return value.id if isinstance(value, Storage) else None


def torch_names():
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    utils._rebuild_tensor_v2 = lambda *arguments: None
    utils._rebuild_tensor_v2.__module__, utils._rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    for kind in ("FloatStorage", "HalfStorage", "LongStorage", "BoolStorage"):
        setattr(torch, kind, type(kind, (), {"__module__": "torch"}))
    sys.modules.update({"torch": torch, "torch._utils": utils})


def pickled(value, protocol=2):
    out = io.BytesIO()
    Pickler(out, protocol).dump(value)
    return out.getvalue()


def torch_pickles():
    torch_names()
    plain, half = Storage("FloatStorage", 24), Storage("HalfStorage", 24)
    number = Storage("FloatStorage", 1)
    weight = Tensor(plain, 0, (4, 6), (6, 1))
    yield "plain", pickled({"emb.weight": weight, "head.weight": weight})
    yield "views", pickled({"t": Tensor(plain, 1, (6, 3), (1, 6)), "b": Tensor(plain, 3, (2, 3, 4), (0, 4, 1)),
                            "h": Tensor(half, 5, (2, 2), (7, 3)), "none": Tensor(plain, 0, (0, 7), (7, 1))})
    checkpoint = {"model": {"transformer.wte.weight": weight}, "iter_num": 5, "best_val_loss": Tensor(number, 0, (), ()),
                  "optimizer": {"state": {0: {"step": 3, "exp_avg": weight, "exp_avg_sq": weight}},
                                "param_groups": [{"lr": 0.001, "betas": (0.9, 0.95), "params": [0]}]},
                  "model_args": {"n_layer": 1, "n_embd": 6, "bias": False, "dropout": 0.0}, "config": {"out_dir": "out", "x": None}}
    yield "checkpoint", pickled(checkpoint)
    yield "protocol4", pickled(checkpoint, 4)


def archive(content, storage, **more):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as z:
        for name, data in (("a/data.pkl", content), *more.items(), ("a/data/0", storage), ("a/version", b"3\n")):
            z.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def old_torch(protocol):
    """As torch wrote before version 1.6; the first storage is also seen through a part of it."""
    torch_names()
    whole, part, other = Storage("FloatStorage", 24), Storage("FloatStorage", 24), Storage("HalfStorage", 5)
    whole.id += (None,)
    part.id += (("9", 2, 6),)
    other.id = (*other.id[:2], "1", *other.id[3:])
    tree = {"emb.weight": Tensor(whole, 0, (4, 6), (6, 1)), "part": Tensor(part, 1, (2, 2), (1, 2)), "h": Tensor(other, 0, (5,), (1,))}
    head = [0x1950a86a20f9469cfc6c, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}, tree, ["0", "1"]]
    return b"".join(pickled(o, protocol) for o in head) + struct.pack("<q", 24) + bytes(range(96)) + struct.pack("<q", 5) + bytes(10)


def make_containers():
    some = [("a.weight", "f32", [3, 5]), ("b", "bf16", [7]), ("c", "f16", [2, 1, 3])]
    every = [(f"t.{d}", d, [2, 32] if d[0] == "q" else [3]) for d in WIDTHS if d[-1] != "k"]
    quantised = [(name, dtype, shape) for name, dtype, shape in every if dtype[0] == "q" or dtype in ("f32", "f16")]
    save("mrw", "ok-some", mrw(some, {"family": "gpt2", "config": {"n_layer": 1}}))
    save("mrw", "ok-every-type", mrw(every + [("empty", "f32", [0, 4]), ("number", "f64", [])], {}))
    save("mrw", "ok-chunks", mrw([("long", "f32", [1500]), ("next", "f16", [3])], {}))
    save("mrw", "cut", mrw(some, {})[:-9])
    save("safetensors", "ok-some", safetensors(some, {"format": "pt", "family": "gpt2"}))
    save("safetensors", "ok-types", safetensors([(f"t.{d}", d, [3]) for d in ("f64", "i64", "i32", "u8", "bool")] + [("n", "f32", [])]))
    save("ggml_bin", "ok-f16", ggml_bin([("emb.weight", "f16", [5, 32]), ("blocks.0.ln1.weight", "f32", [32])]))
    save("ggml_bin", "ok-quantised", ggml_bin(quantised, 8, 100))
    a, b, rest = safetensors(some[:2]), safetensors(some[2:]), mrw([("m", "f32", [4])], {})
    index = json.dumps({"metadata": {"total_size": 86}, "weight_map": {"a.weight": "a", "b": "a", "c": "b"}}).encode()
    save("shards", "ok-two", LINE.join((index, a, b)))
    save("shards", "ok-config", LINE.join((index.replace(b'"c": "b"', b'"c": "b", "m": "c"'), a, b, rest, b'{"n_layer": 1}')))
    save("shards", "ok-alone", a)
    save("shards", "missing", LINE.join((index, a)))
    for name, content in torch_pickles():
        save("torch_pickle", f"ok-{name}", content + LINE + noise(96))
        save("torch", f"ok-{name}", archive(content, noise(96)))
    save("torch", "ok-byteorder", archive(pickled({"a": 1}), b"", **{"a/byteorder": b"little"}))
    save("torch", "byteorder-big", archive(pickled({"a": 1}), b"", **{"a/byteorder": b"big"}))
    name = "base_model.model.blocks.0.att.key."
    for kind, config in (("plain", {"peft_type": "LORA", "lora_alpha": 4}), ("rslora", {"lora_alpha": 4.5, "use_rslora": True})):
        save("adapter", f"ok-{kind}", json.dumps(config).encode() + LINE
             + safetensors([(name + "lora_A.weight", "f32", [2, 4]), (name + "lora_B.weight", "bf16", [6, 2]), ("emb.weight", "f16", [4, 6])]))
    save("adapter", "ok-blocks", b'{"lora_alpha": 1}' + LINE + safetensors([("blocks.0.att.key.disha", "f32", [2, 6])]))
    save("adapter", "other-shape", b'{"lora_alpha": 1}' + LINE + safetensors([("blocks.0.att.key.disha", "f32", [3, 6])]))
    ids = struct.pack("<5H", 1, 2, 3, 4, 5)
    save("foreign_tokens", "ok-llm-c", struct.pack("<256i", 20240520, 1, 5, *[0] * 253) + ids)
    save("foreign_tokens", "ok-llama", struct.pack("<256i", 20240801, 7, 2, *[0] * 253) + struct.pack("<2I", 1, 2))
    save("foreign_tokens", "ok-megatron", ids + LINE + b"MMIDIDX\0\0" + struct.pack("<QBQQiqqq", 1, 8, 1, 2, 5, 0, 0, 1))
    save("foreign_tokens", "cut", struct.pack("<256i", 20240520, 1, 6, *[0] * 253) + ids)
    for protocol in (1, 2, 4):
        save("torch_old", f"ok-protocol{protocol}", old_torch(protocol))
    save("torch_old", "cut", old_torch(2)[:-3])
    save("torch_old", "ok-plain", pickled({"a": collections.OrderedDict(b=1)}))
    plain = {"a": [1, 300, 70000, -1, 1 << 40, 1 << 70, 0.5, True, None], "t": (1, "\xe9"), "same": ["x"] * 3, 7: {}}
    for protocol in (0, 1, 2, 3, 4, 5):
        save("pickle", f"ok-protocol{protocol}", pickle.dumps(plain | ({"b": b"raw"} if protocol > 2 else {}), protocol))
    for name, text in (("posix", b"cposix\nsystem\n"), ("nt", b"cnt\nsystem\n"), ("eval", b"c__builtin__\neval\n"),
                       ("popen", b"csubprocess\nPopen\n")):
        save("pickle", f"command-{name}", b"\x80\x02" + text + b"X\x04\x00\x00\x00true\x85R.")
    save("gguf", "ok-types", gguf([("f", "f32", [3, 5]), ("h", "f16", [2, 1, 3]), ("b", "bf16", [7]), ("q", "q8_0", [2, 32]), ("e", "f32", [0, 4])]))
    save("gguf", "ok-blocks", gguf([("q2", "q2_k", [2, 256]), ("q4", "q4_1", [1, 64]), ("q6", "q6_k", [256])], version=2))
    save("gguf", "ok-keys", gguf([("f", "f32", [3])], *gguf_keys()))
    save("gguf", "cut", gguf([("f", "f32", [3])], *gguf_keys())[:-30])


# ---- texts ----


def spelling():
    """Bytes as byte-level BPE files spell them."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [b for b in range(256) if b not in plain]
    return {b: chr(b) if b in plain else chr(256 + others.index(b)) for b in range(256)}


def make_tokenizers():
    spell, space = spelling(), "\u0120"
    merges = ["t h", "th e", f"{space} the", "l l", "a a", "aa aa", "\u00c3 \u00a9", "1 2"]
    tokens = [spell[b] for b in range(256)] + [m.replace(" ", "") for m in merges]
    vocab = {token: i for i, token in enumerate(tokens)}
    few = {t: i for i, t in enumerate(["H", "e", "l", "o", "t", "h", "th", "the", "ll", ",", space])}
    text = "#version: 0.2\n" + "\n".join(merges) + "\n"
    encoded = json.dumps(vocab | {"<|endoftext|>": len(vocab)})
    save("gpt2", "ok-all-bytes", (encoded + "\n====\n" + text).encode())
    save("gpt2", "ok-few", (json.dumps(few, ensure_ascii=False) + "\n====\nt h\r\nth e\r\nl l\r\n").encode())
    save("gpt2", "unknown-merge", (json.dumps(few) + "\n====\nt x\n").encode())
    model = {"type": "BPE", "dropout": None, "vocab": few, "merges": ["t h", ["th", "e"], "l l"]}
    digits = {"type": "Digits", "individual_digits": True}
    split = {"type": "Split", "pattern": {"Regex": "\\p{N}{1,3}|\\s+(?!\\S)| ?\\p{L}+"}, "behavior": "Isolated", "invert": False}
    removed = {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": True}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [{"id": 11, "content": "<|endoftext|>", "special": True}, {"id": 12, "content": "  ", "special": False, "normalized": False},
             {"id": 14, "content": "\u00e9", "special": False, "normalized": True}]
    file = {"version": "1.0", "added_tokens": added, "normalizer": {"type": "NFC"}, "pre_tokenizer": level, "decoder": level, "model": model}
    save("json_tokenizer", "ok-plain", json.dumps(file).encode())
    for name, steps in (("digits", [digits, level]), ("split", [split, level | {"use_regex": False}]),
                        ("removed", [removed, level | {"add_prefix_space": True}])):
        changed = file | {"pre_tokenizer": {"type": "Sequence", "pretokenizers": steps}, "model": model | {"ignore_merges": name == "split"},
                          "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}]} if name == "digits" else None}
        save("json_tokenizer", f"ok-{name}", json.dumps(changed).encode())
    lines = [f"{i + 1} {literal} {size}" for i, (literal, size) in enumerate(
        [("'H'", 1), ('"\'"', 1), ("'\\n'", 1), ("b'\\xff'", 1), ("'\\u4e2d'", 3), ("'\u6587'", 3), ("' the'", 4), ("'\\\\'", 1), ("'he'", 2)])]
    save("world", "ok-some", "\n".join(lines).encode() + b"\r\n")
    save("world", "size-differs", b"1 'abc' 2\n")
    bpe = {"format": 1, "kind": "bpe", "merges": ["116 104", "256 101", "97 97", "258 258"], "end": 260}
    save("bpe", "ok-four", json.dumps(bpe).encode())
    save("bpe", "ok-none", json.dumps(bpe | {"merges": [], "end": 256}).encode())
    save("bpe", "wrong-end", json.dumps(bpe | {"end": 9}).encode())
    stored = {"byte": {}, "char": {"chars": [97, 98, 32, 10, 233]}, "bpe": bpe, "gpt2": {"vocab": few, "merges": ["t h", "th e"]}, "json": file,
              "world": {"vocab": [None, "H", "e", "he", "\u0120"]}}
    for kind, more in stored.items():
        save("stored_tokenizer", f"ok-{kind}", json.dumps({"kind": kind} | more).encode())


def make_texts():
    text = "the cat's hat e\u0301 \u4e2d\u6587  12345\r\n\n<|endoftext|>\nthe \u00e9\u00e9 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".encode()
    for i in range(8):
        save("encode", f"text-{i}", bytes((i | 0x80 * (i & 1), 7 * i)) + text + (b"" if i == 1 else b"\xff\xc3(\xe4\xb8"))
    for i in (1, 6):
        save("encode", f"ok-sample-{i}", bytes((i, 3)) + b"the cat sat on the mat")
    lines = b'{"text": "One day\\n"}\n\n{"id": 3, "text": "a\\u0000b \\ud83d\\ude42"}\n{"text": ""}\n'
    plain = b"One day.\n<|endoftext|>\nNext day, <|endoftext|> here.\r\n<|endoftext|>\r\nEnd.\n<|endoftext|>"
    for name, number, content in (("text", 0, plain), ("jsonl", 1, lines)):
        save("source", f"ok-{name}", bytes([number]) + content)
        save("source", f"ok-{name}-gz", bytes([number]) + gzip.compress(content, mtime=0))
    save("source", "cut-gz", b"\0" + gzip.compress(plain, mtime=0)[:-9])
    meta = {"format": 1, "tokenizer": {"kind": "byte"}, "vocab_size": 256, "dtype": "uint16", "train": {"tokens": 4, "bytes": 4},
            "val": {"tokens": 2, "bytes": 2}}
    train, val = struct.pack("<4H", 1, 2, 255, 0), struct.pack("<2H", 5, 6)
    save("token_file", "ok-uint16", LINE.join((json.dumps(meta).encode(), train, val)))
    save("token_file", "ok-uint32", LINE.join((json.dumps(meta | {"dtype": "uint32"}).encode(), struct.pack("<4I", 1, 2, 3, 4), struct.pack("<2I", 5, 6))))
    save("token_file", "ok-bare", LINE.join((b"", train, val)))
    letters = {"vocab_size": 3, "itos": {0: "a", 1: "\n", 2: "\xe9"}, "stoi": {"a": 0, "\n": 1, "\xe9": 2}}
    for protocol in (2, 4):
        content = LINE.join((b"", struct.pack("<2H", 0, 2), val[:0], pickle.dumps(letters, protocol)))
        save("token_file", f"ok-pickled-{protocol}", content)
    save("token_file", "too-large", LINE.join((json.dumps(meta | {"vocab_size": 255}).encode(), train, val)))


# ---- models ----


def list_of(path):
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
    said = header.pop("__metadata__")
    return "\n".join(" ".join([name, *map(str, t["shape"])]) for name, t in header.items()), said


def add_moments(names, said):
    """The list and metadata of training runs: the project's own, and two of scripts for torch."""
    lines = names.split("\n")
    matrices = [i for i, line in enumerate(lines) if line.count(" ") > 1]
    order = matrices + [i for i in range(len(lines)) if i not in matrices]
    state = {"iter": 7, "micro_step": 14, "optimizer_steps": 7, "seed": 1, "best_val_loss": 2.5}
    yield "own", "\n".join(lines + [f"adamw.{w}.{line}" for w in "mv" for line in lines]), said | {"training": state}
    for name, numbers in (("torch", order), ("torch-all", range(len(lines)))):
        numbered = [f"optimizer.state.{i}.{w} " + lines[k].split(" ", 1)[1] for i, k in enumerate(numbers)
                    for w in ("exp_avg", "exp_avg_sq")]
        groups = [len(matrices), len(lines) - len(matrices)] if name == "torch" else [len(lines)]
        script = {"iter_num": 5, "model_args": json.loads(said["config"]), "config": {"seed": 7, "learning_rate": 0.1, "gradient_accumulation_steps": 2},
                  "optimizer": {"param_groups": [{"params": list(range(n))} for n in groups]}}
        yield name, "\n".join(lines + ["optimizer.state.0.step"] + numbered), said | script


def run(*command):
    return subprocess.run(command, stderr=subprocess.DEVNULL).returncode == 0


def make_models(program):
    families = {"microrwkv": ["n_head=2", "groups=2", "expert_dim=3"], "nanorwkv": ["n_head=2"], "gpt2": ["n_head=2"],
                "rwkv4": [], "rwkv5": ["head_size=4"], "rwkv6": ["head_size=4"], "rwkv7": ["head_size=4"]}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for family, keys in families.items():
            model = folder / f"{family}.safetensors"
            common = ["n_layer=1", "n_embd=8", "vocab_size=5", "block_size=4"]
            run(program, "new", family, *common, *keys, "--seed", "1", "--out", model)
            for ending, kind in (("safetensors", None), ("mrw", "f32"), ("pth", "bf16"), ("pt", "f32"), ("bin", "f16"), ("gguf", "f32")):
                other = model.with_suffix(f".{ending}")
                if kind and not run(program, "convert", model, other, "--dtype", kind):
                    continue
                if other.stat().st_size <= MOST_MODEL:
                    save("model", f"ok-{family}.{ending}", other.read_bytes())
            names, said = list_of(model)
            save("recognise", f"ok-{family}", names.encode() + LINE + json.dumps(said).encode())
            for kind, more, about in add_moments(names, said) if family == "gpt2" else ():
                save("recognise", f"ok-moments-{kind}", more.encode() + LINE + json.dumps(about).encode())
            heads = b'{"mode": "causal", "n_head": 2}' if family in ("gpt2", "nanorwkv", "microrwkv") else b'{"head_size": 4}'
            save("recognise", f"ok-{family}-bare", LINE.join((names.encode(), b"", b"", heads)))
            hf = folder / family
            if run(program, "convert", model, f"{hf}/", "--to", "hf"):
                names, said = list_of(hf / "model.safetensors")
                save("recognise", f"ok-{family}-hf", LINE.join((names.encode(), json.dumps(said).encode(), (hf / "config.json").read_bytes())))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make_containers()
    make_tokenizers()
    make_texts()
    make_models(sys.argv[1])
    print(sum(f.stat().st_size for f in SEEDS.rglob("*") if f.is_file()), "bytes in all")


if __name__ == "__main__":
    main()
