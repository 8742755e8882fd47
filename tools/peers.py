#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Measures how far other programs' numbers are from this project's for the same files, and writes docs/peers.json.
Needs NumPy, PyTorch and any of transformers, rwkv, gguf, xllamacpp, safetensors; what is not installed keeps its entry.
usage: peers.py BUILD"""
import importlib
import importlib.metadata
import json
import os
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent.parent
os.environ.update(MICRORWKV_TEST_SOURCE=str(HERE), MICRORWKV_TEST_BUILD=sys.argv[1], RWKV_JIT_ON="0", RWKV_CUDA_ON="0")
sys.path.insert(0, str(HERE / "tests" / "cli"))
import harness  # noqa: E402

harness.main = lambda: None
import adapters  # noqa: E402
import formats  # noqa: E402
import numpy as np  # noqa: E402
import tiny  # noqa: E402

sys.path.pop(0)  # where gguf.py and tokenizers.py are tests

TOKENS = [1, 2, 3, 39, 5, 95, 7, 0, 60, 11]
LOGITS, WEIGHTS, LOG = "logits, of the largest", "weights, of the largest", "log-probabilities"


def ours(folder, model, *options):
    harness.run("logits", model, "--tokens", ",".join(map(str, TOKENS)), "--out", folder / "l.safetensors", *options).expect(0)
    shape, numbers = tiny.read_safetensors(folder / "l.safetensors")["logits"]
    return np.array(numbers, "f8").reshape(shape)


def apart(a, b):
    return float(np.abs(np.asarray(a, "f8") - b).max() / np.abs(b).max())


def weights(path):
    return {n: np.array(x, "f4").reshape(s) for n, (s, x) in tiny.read_safetensors(path).items()}


def version(name):
    return f"{name} {importlib.metadata.version(name)}"


def rwkv_package(folder):
    import rwkv.model
    for family in ("rwkv4", "rwkv5 (5.1)", "rwkv5 (5.2)", "rwkv6", "rwkv7"):
        source, options = formats.make(folder, family) if family != "rwkv7" else wide(folder)
        formats.convert(source, folder / "m.pth", *options)
        os.environ["RWKV_V7_ON"] = "1" if family == "rwkv7" else "0"
        importlib.reload(rwkv.model)
        model, state, rows = rwkv.model.RWKV(model=str(folder / "m"), strategy="cpu fp32"), None, []
        for token in TOKENS:
            out, state = model.forward([token], state)
            rows.append(out.float().numpy())
        yield "rwkv", family, "written", version("rwkv"), LOGITS, apart(rows, ours(folder, source, *options))


def states_of_the_rwkv_package(folder):
    """Its logits are in tests/golden/states.safetensors."""
    golden = tiny.read_safetensors(HERE / "tests/golden/states.safetensors")
    for family in ("rwkv5", "rwkv6", "rwkv7"):
        _, tensors = adapters.state_model(folder, family)
        tiny.write_safetensors(folder / "s.safetensors", tensors | adapters.states(2, 2))
        formats.convert(folder / "s.safetensors", folder / "s.pth")
        yield "rwkv, time_state", family, "written", version("rwkv"), LOGITS, apart(adapters.logits(folder / "s.pth"), golden[f"{family}.logits"][1])


def wide(folder):
    """RWKV-7 with heads of 64, the only ones that the package takes."""
    formats.FAMILIES["wide"] = ["rwkv7", "n_layer=2", "n_embd=128", "head_size=64", "vocab_size=96"]
    return formats.make(folder, "wide")


def torch_package(folder):
    import torch
    for layout, family in (("rwkv", "rwkv6"), ("nanogpt", "gpt2"), ("nanogpt", "nanorwkv"), ("nanogpt", "microrwkv")):
        source, options = formats.make(folder, family)
        out = folder / f"m{formats.ENDINGS[layout]}"
        formats.convert(source, out, *options)
        held = torch.load(out, weights_only=True)
        tensors = {n: t.float().numpy() for n, t in (held["model"] if layout == "nanogpt" else held).items()}
        want = weights(source)
        yield layout, family, "written", version("torch"), WEIGHTS, max(apart(tensors[n], want[n]) for n in want)
        torch.save(held, out)
        yield layout, family, "read", version("torch"), LOGITS, apart(ours(folder, out), ours(folder, source, *options))


def transformers_package(folder):
    import torch
    import transformers
    kinds = {"gpt2": transformers.GPT2LMHeadModel, "opt": transformers.OPTForCausalLM,
             "gptneo": transformers.GPTNeoForCausalLM, "gptneox": transformers.GPTNeoXForCausalLM,
             "rwkv4": transformers.RwkvForCausalLM}
    for family, kind in kinds.items():
        source, options = formats.make(folder, family)
        formats.convert(source, folder / family, "--to", "hf", *options)
        model = kind.from_pretrained(folder / family).eval()
        with torch.no_grad():
            theirs = model(torch.tensor([TOKENS])).logits[0].numpy()
        yield "hf", family, "written", version("transformers"), LOGITS, apart(theirs, ours(folder, source, *options))
        model.save_pretrained(folder / "saved")
        yield "hf", family, "read", version("transformers"), LOGITS, apart(ours(folder, folder / "saved"), theirs)


def safetensors_package(folder):
    import safetensors.numpy
    for layout, family in (("safetensors", "microrwkv"), ("st", "rwkv6"), ("st", "rwkv7")):
        source, options = formats.make(folder, family)
        out = folder / f"s{formats.ENDINGS[layout]}"
        formats.convert(source, out, "--to", layout, "--dtype", "f32", *options)
        tensors = safetensors.numpy.load_file(out)
        if layout == "safetensors":
            yield layout, family, "written", version("safetensors"), WEIGHTS, max(apart(tensors[n], w) for n, w in weights(source).items())
        safetensors.numpy.save_file(tensors, out)
        yield layout, family, "read", version("safetensors"), LOGITS, apart(ours(folder, out, *options), ours(folder, source, *options))


def gguf_package(folder):
    import gguf
    source, options = formats.make(folder, "rwkv7")
    for dtype in formats.DTYPES:
        formats.convert(source, folder / "g.gguf", "--dtype", dtype, *options)
        formats.convert(folder / "g.gguf", folder / "g.safetensors", "--dtype", "f32")
        want, most = weights(folder / "g.safetensors"), 0
        for tensor in gguf.GGUFReader(folder / "g.gguf").tensors:
            theirs = {"token_embd.weight": "emb.weight", "output.weight": "head.weight", "blk.1.time_mix_key.weight": "blocks.1.att.key.weight",
                      "blk.0.channel_mix_value.weight": "blocks.0.ffn.value.weight"}.get(tensor.name)
            if theirs:
                most = max(most, apart(gguf.quants.dequantize(tensor.data, tensor.tensor_type), want[theirs]))
        yield f"gguf {dtype}", "rwkv7", "written", version("gguf"), WEIGHTS, most


def llama_cpp(folder):
    import xllamacpp as x
    for family in ("gpt2", "rwkv6", "rwkv7"):
        source, options = formats.make(folder, family)
        if family == "gpt2":
            options += ["--config", "gelu=tanh"]
        formats.convert(source, folder / "x.gguf", *options)
        p = x.CommonParams()
        p.model.path, p.n_ctx, p.n_gpu_layers, p.warmup, p.n_parallel = str(folder / "x.gguf"), 64, 0, False, 1
        p.cpuparams.n_threads = 1
        p.cache_type_k = p.cache_type_v = x.ggml_type.GGML_TYPE_F32
        p.flash_attn_type = x.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        logits = ours(folder, source, *options)[-1]
        answer = x.Server(p).handle_completions({"prompt": TOKENS, "n_predict": 1, "n_probs": len(logits), "temperature": 0.0})
        answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
        top = (answer.get("completion_probabilities") or answer["choices"][0]["logprobs"]["content"])[0]["top_logprobs"]
        assert len(top) == len(logits), (family, len(top))
        want = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
        theirs = {e["id"]: e["logprob"] for e in top}
        peer = f"llama.cpp (xllamacpp {importlib.metadata.version('xllamacpp')})"
        yield "gguf", family, "written", peer, LOG, max(abs(theirs[i] - w) for i, w in enumerate(want))


def measure():
    for peer in (rwkv_package, states_of_the_rwkv_package, torch_package, transformers_package, safetensors_package, gguf_package, llama_cpp):
        try:
            with tempfile.TemporaryDirectory() as folder:
                yield from (dict(zip(("layout", "family", "direction", "peer", "compared", "difference"), row)) for row in peer(pathlib.Path(folder)))
        except (ImportError, importlib.metadata.PackageNotFoundError) as missing:
            print(f"{peer.__name__}: {missing}", file=sys.stderr)


def key(entry):
    return entry["layout"], entry["family"], entry["direction"], entry["peer"].split()[0]


if __name__ == "__main__":
    entries = {key(e): e for e in json.loads(formats.PEERS.read_text())}
    for entry in measure():
        print(json.dumps(entry), file=sys.stderr)
        entries[key(entry)] = entry
    lines = [json.dumps(entries[k], ensure_ascii=False) for k in sorted(entries)]
    formats.PEERS.write_text("[\n" + ",\n".join(lines) + "\n]\n")
