# SPDX-License-Identifier: GPL-3.0-or-later
"""GGUF: models of llama.cpp, read and written."""
import array
import json
import struct

import tiny
from harness import main, run

RWKV = ["n_layer=3", "n_embd=64", "vocab_size=300", "head_size=32"]
TOKENS = "1,2,3,39,299,0"
TYPES = {0: ("f32", 1, 4), 1: ("f16", 1, 2), 2: ("q4_0", 32, 18), 3: ("q4_1", 32, 20), 6: ("q5_0", 32, 22),
         7: ("q5_1", 32, 24), 8: ("q8_0", 32, 34), 30: ("bf16", 1, 2)}
NUMBERS = "bBhHiIf?..QqD"


def make(out, name, *arguments):
    sizes = RWKV if name != "gpt2" else ["n_layer=2", "n_embd=32", "n_head=4", "vocab_size=300", "block_size=24"]
    run("new", name, *sizes, *arguments, "--seed", 5, "--out", out).expect(0)
    return out


def convert(source, out, *arguments):
    return run("convert", source, out, *arguments)


def logits(model, folder, *arguments):
    run("logits", model, "--tokens", TOKENS, "--out", folder / "l.safetensors", *arguments).expect(0)
    return tiny.read_safetensors(folder / "l.safetensors")["logits"][1]


def read(path):
    """Keys, and {name: (type, shape, bytes)}."""
    raw, at = path.read_bytes(), 0

    def take(form):
        nonlocal at
        values = struct.unpack_from("<" + form, raw, at)
        at += struct.calcsize("<" + form)
        return values if len(values) > 1 else values[0]

    def text():
        nonlocal at
        size = take("Q")
        at += size
        return raw[at - size:at].decode()

    def value(kind):
        if kind == 8:
            return text()
        if kind == 9:
            kind, count = take("iQ")
            return [value(kind) for _ in range(count)]
        return take({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind])

    magic, version, tensors, keys = take("4sIqq")
    assert magic == b"GGUF" and version == 3
    said = {text(): value(take("i")) for _ in range(keys)}
    heads = []
    for _ in range(tensors):
        name = text()
        dims = [take("q") for _ in range(take("I"))]
        heads.append((name, dims[::-1], *take("iQ")))
    data, found = at + -at % 32, {}
    for name, shape, kind, offset in heads:
        dtype, block, width = TYPES[kind]
        size = 1
        for n in shape:
            size *= n
        found[name] = dtype, shape, raw[data + offset:data + offset + size // block * width]
        assert offset % 32 == 0 and len(found[name][2]) == size // block * width
    return said, found


def write(path, said, tensors):
    """As read() gives them; whole numbers become u32, lists are of texts or i32."""
    def text(s):
        return struct.pack("<Q", len(s.encode())) + s.encode()

    def value(v):
        if isinstance(v, list):
            of_texts = not v or isinstance(v[0], str)
            return struct.pack("<iiQ", 9, 8 if of_texts else 5, len(v)) + b"".join(text(i) if of_texts else struct.pack("<i", i) for i in v)
        if isinstance(v, str):
            return struct.pack("<i", 8) + text(v)
        return struct.pack("<if", 6, v) if isinstance(v, float) else struct.pack("<iI", 4, v)

    codes = {dtype: code for code, (dtype, _, _) in TYPES.items()}
    head, data = b"GGUF" + struct.pack("<Iqq", 3, len(tensors), len(said)), b""
    head += b"".join(text(k) + value(v) for k, v in said.items())
    for name, (dtype, shape, raw) in tensors.items():
        head += text(name) + struct.pack(f"<I{len(shape)}qiQ", len(shape), *shape[::-1], codes[dtype], len(data))
        data += raw + bytes(-len(raw) % 32)
    path.write_bytes(head + bytes(-len(head) % 32) + data)
    return path


def floats(raw):
    return array.array("f", raw)


def test_models_compute_the_same_from_gguf(folder):
    for name in ("rwkv6", "rwkv7", "gpt2"):
        source = make(folder / f"{name}.safetensors", name)
        convert(source, folder / f"{name}.gguf").expect(0)
        want = logits(source, folder)
        assert logits(folder / f"{name}.gguf", folder) == want, name
        line = run("info", folder / f"{name}.gguf").expect(0).json()[0]
        assert line["family"] == name and line["config"]["n_layer"] == (2 if name == "gpt2" else 3)
        convert(folder / f"{name}.gguf", folder / f"{name}.2.safetensors").expect(0)
        before, after = (tiny.read_safetensors(folder / f"{name}.{e}") for e in ("safetensors", "2.safetensors"))
        unused = {f"blocks.0.att.v{i}" for i in range(3)}
        assert before.keys() == after.keys() and all(before[n] == after[n] for n in before if n not in unused)
    run("generate", folder / "rwkv7.gguf", "--prompt", "a", "--max-tokens", "3", "--tokenizer", "byte").expect(0)


def test_names_and_shapes_are_those_that_llama_cpp_asks_for(folder):
    convert(make(folder / "7.mrw", "rwkv7", "lora_v=16"), folder / "7.gguf").expect(0)
    said, tensors = read(folder / "7.gguf")
    shapes = {n: s for n, (_, s, _) in tensors.items()}
    want = {"token_embd": [300, 64], "output": [300, 64], "token_embd_norm": [64], "output_norm": [64], "blk.1.attn_norm_2": [64],
            "blk.2.time_mix_lerp_fused": [6, 1, 1, 64], "blk.0.time_mix_w1": [32, 64], "blk.1.time_mix_w2": [64, 32],
            "blk.0.time_mix_v1": [32, 64], "blk.1.time_mix_v1": [16, 64], "blk.1.time_mix_v2": [64, 16], "blk.1.time_mix_v0": [64],
            "blk.0.time_mix_r_k": [64], "blk.0.time_mix_k_k": [64], "blk.2.channel_mix_lerp_k": [64], "blk.2.channel_mix_value": [64, 256],
            "blk.2.time_mix_ln": [64]}
    assert all(shapes[f"{n}.weight"] == s for n, s in want.items()) and len(shapes) == 6 + 28 * 3
    assert tensors["blk.0.time_mix_v2.weight"] == tensors["blk.0.time_mix_a2.weight"]
    assert said["general.architecture"] == "rwkv7" and said["rwkv7.wkv.head_size"] == 32 and said["rwkv7.attention.head_count"] == 0
    assert said["rwkv7.attention.value_residual_mix_lora_rank"] == 16 and len(set(said["tokenizer.ggml.tokens"])) == 300
    convert(make(folder / "6.mrw", "rwkv6"), folder / "6.gguf").expect(0)
    said, tensors = read(folder / "6.gguf")
    shapes = {n: s for n, (_, s, _) in tensors.items()}
    want = {"time_mix_lerp_x": [64], "time_mix_lerp_fused": [5, 1, 1, 64], "time_mix_w1": [160, 64], "time_mix_w2": [5, 64, 32],
            "time_mix_decay": [64], "time_mix_decay_w1": [64, 64], "time_mix_first": [2, 32], "channel_mix_lerp_r": [64],
            "channel_mix_receptance": [64, 64], "time_mix_gate": [64, 64]}
    assert all(shapes[f"blk.2.{n}.weight"] == s for n, s in want.items())
    assert said["rwkv6.rescale_every_n_layers"] == 0 and said["rwkv6.time_mix_extra_dim"] == 32


def test_biases_that_a_gpt2_lacks_are_written_as_zeros(folder):
    source = make(folder / "g.safetensors", "gpt2", "bias=False", "gelu=tanh")
    convert(source, folder / "g.gguf").expect(0)
    tensors = read(folder / "g.gguf")[1]
    shapes = {f"blk.1.{n}.bias": [k] for n, k in (("attn_norm", 32), ("attn_qkv", 96), ("attn_output", 32), ("ffn_norm", 32),
                                                  ("ffn_up", 128), ("ffn_down", 32))} | {"output_norm.bias": [32]}
    assert all(tensors[n] == ("f32", s, bytes(4 * s[0])) for n, s in shapes.items())
    assert "output.weight" not in tensors
    assert logits(folder / "g.gguf", folder) == logits(source, folder)


def test_a_head_beside_the_embedding_must_be_the_same(folder):
    convert(make(folder / "g.safetensors", "gpt2", "gelu=tanh"), folder / "g.gguf", "--dtype", "q8_0").expect(0)
    said, tensors = read(folder / "g.gguf")
    embedding = tiny.read_safetensors(folder / "g.safetensors")["transformer.wte.weight"]
    tensors["output.weight"] = "f32", *embedding[:1], embedding[1].tobytes()
    assert logits(write(folder / "h.gguf", said, tensors), folder) == logits(folder / "g.gguf", folder)
    tensors["output.weight"] = "f32", embedding[0], array.array("f", [-x for x in embedding[1]]).tobytes()
    run("info", write(folder / "h.gguf", said, tensors)).expect(0)
    convert(folder / "h.gguf", folder / "h.mrw").expect(1, err="output.weight differs from the embedding")


def test_the_erf_form_is_kept_and_warned_about(folder):
    source = make(folder / "g.safetensors", "gpt2", "gelu=erf")
    convert(source, folder / "g.gguf").expect(0, err="the erf form of GELU, for llama.cpp")
    assert run("info", folder / "g.gguf").json()[0]["config"]["gelu"] == "erf"
    said, tensors = read(folder / "g.gguf")
    del said["microrwkv.config"]
    assert run("info", write(folder / "h.gguf", said, tensors)).expect(0).json()[0]["config"]["gelu"] == "tanh"
    source = make(folder / "t.safetensors", "gpt2", "gelu=tanh")
    assert b"erf" not in convert(source, folder / "t.gguf").expect(0).err


def test_vectors_stay_f32_and_matrices_get_the_format(folder):
    source = make(folder / "a.safetensors", "rwkv6", "--dtype", "bf16")
    for dtype in (None, "f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"):
        out = folder / f"{dtype}.gguf"
        convert(source, out, *(["--dtype", dtype] if dtype else [])).expect(0)
        said, tensors = read(out)
        matrices = {n for n, (_, s, _) in tensors.items() if len(s) == 2 and not any(w in n for w in ("_w1", "_w2", "first"))}
        ends = {"token_embd.weight", "output.weight"}
        assert len(matrices) == 2 + 3 * 8
        assert {tensors[n][0] for n in matrices - ends} == {dtype or "bf16"}
        assert {tensors[n][0] for n in ends} == {"q8_0" if dtype and dtype[0] == "q" else dtype or "bf16"}
        assert {t for n, (t, _, _) in tensors.items() if n not in matrices} == {"f32"}
        number = {None: 32, "f32": 0, "f16": 1, "bf16": 32, "q8_0": 7, "q5_1": 9, "q5_0": 8, "q4_1": 3, "q4_0": 2}
        assert said["general.file_type"] == number[dtype]


def test_quantised_weights_are_carried_bit_for_bit(folder):
    for dtype in ("q8_0", "q5_1", "q5_0", "q4_1", "q4_0"):
        convert(make(folder / "a.safetensors", "rwkv7"), folder / "a.gguf", "--dtype", dtype).expect(0)
        convert(folder / "a.gguf", folder / "b.mrw").expect(0)
        convert(folder / "b.mrw", folder / "c.gguf").expect(0)
        assert read(folder / "a.gguf")[1] == read(folder / "c.gguf")[1], dtype
        convert(folder / "a.gguf", folder / "d.bin").expect(0)
        convert(folder / "d.bin", folder / "e.gguf").expect(0)
        before, after = read(folder / "a.gguf")[1], read(folder / "e.gguf")[1]
        assert all(before[n][2] == after[n][2] for n in before if before[n][0] == dtype), dtype


def rescaled(said, tensors, every):
    """What llama.cpp's converter does where config.json says rescale_every; of q8_0 too, whose scales come first."""
    out = dict(tensors)
    for name, (dtype, shape, raw) in tensors.items():
        if "time_mix_output" in name or "channel_mix_value" in name:
            layer = int(name.split(".")[1])
            if dtype == "f32":
                raw = array.array("f", [x / 2 ** (layer // every) for x in floats(raw)]).tobytes()
            else:
                raw = b"".join(struct.pack("<e", struct.unpack_from("<e", raw, at)[0] / 2 ** (layer // every)) + raw[at + 2:at + 34]
                               for at in range(0, len(raw), 34))
            out[name] = dtype, shape, raw
    return said | {"rwkv6.rescale_every_n_layers": every}, out


def test_rescaled_layers_are_read_as_they_were(folder):
    source = make(folder / "a.safetensors", "rwkv6", "n_layer=5")
    tensors = {n: ("F32", s, list(x)) for n, (s, x) in tiny.read_safetensors(source).items()}
    for name, (_, _, numbers) in tensors.items():  # a new model's are zeros
        if "att.output" in name or "ffn.value" in name:
            numbers[:] = [((i * 7919 + 13 * len(name)) % 1000 - 500) / 1000 for i in range(len(numbers))]
    tiny.write_safetensors(folder / "b.safetensors", tensors)
    for dtype in ("f32", "q8_0"):
        convert(folder / "b.safetensors", folder / "b.gguf", "--dtype", dtype).expect(0)
        want = logits(folder / "b.gguf", folder)
        for every in (1, 2, 6):
            path = write(folder / "c.gguf", *rescaled(*read(folder / "b.gguf"), every))
            assert logits(path, folder) == want, (dtype, every)
            convert(path, folder / "d.gguf").expect(0)
            assert read(folder / "d.gguf")[1] == read(folder / "b.gguf")[1], (dtype, every)


def test_older_files_have_the_mixtures_apart(folder):
    source = make(folder / "a.safetensors", "rwkv6")
    convert(source, folder / "a.gguf").expect(0)
    said, tensors = read(folder / "a.gguf")
    for i in range(3):
        _, _, raw = tensors.pop(f"blk.{i}.time_mix_lerp_fused.weight")
        for k, letter in enumerate("wkvrg"):
            tensors[f"blk.{i}.time_mix_lerp_{letter}.weight"] = "f32", [1, 1, 64], raw[k * 256:k * 256 + 256]
    assert logits(write(folder / "b.gguf", said, tensors), folder) == logits(source, folder)


def world(folder):
    tokens = [bytes([i]) for i in range(256)] + [b"the", b"\xe4\xb8\xad", b"\\n", b"a\tb", b"\n\n"]
    (folder / "w.txt").write_text("".join(f"{i + 1} {t!r} {len(t)}\n" for i, t in enumerate(tokens)))
    return f"world:{folder / 'w.txt'}"


def test_the_world_tokenizer_goes_along(folder):
    convert(make(folder / "a.mrw", "rwkv7"), folder / "a.gguf", "--tokenizer", world(folder)).expect(0)
    said = read(folder / "a.gguf")[0]
    tokens = said["tokenizer.ggml.tokens"]
    assert said["tokenizer.ggml.model"] == "rwkv" and tokens[0] == "<s>" and said["tokenizer.ggml.token_type"][0] == 3
    assert tokens[1] == "\\x00" and tokens[11] == "\\n" and tokens[ord("\\") + 1] == "\\\\" and tokens[258] == "\\xe4\\xb8\\xad"
    assert tokens[66] == "A" and tokens[256] == "\\xff" and tokens[259] == "\\\\n" and tokens[260] == "a\\tb"
    assert tokens[299] == "[PAD299]" and said["tokenizer.ggml.token_type"][299] == 5
    assert said["tokenizer.ggml.eot_token_id"] == 261 and "rwkv-world" in said["tokenizer.chat_template"]
    convert(folder / "a.mrw", folder / "b.mrw", "--tokenizer", world(folder)).expect(0)
    convert(folder / "a.gguf", folder / "c.mrw").expect(0)
    assert run("info", folder / "b.mrw").json()[0]["tokenizer"] == run("info", folder / "c.mrw").json()[0]["tokenizer"]
    texts = [run("generate", folder / m, "--prompt", "the \u4e2d \\n a\tb\n\n", "--max-tokens", 8, "--temperature", 0).expect(0).out
             for m in ("a.gguf", "b.mrw")]
    assert texts[0] == texts[1]


def gpt2_tokenizer(folder):
    folder.mkdir()
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spell = {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in plain)}
    merges = ["t h", "th e", "\u0120 the"]
    tokens = [spell[b] for b in range(256)] + [m.replace(" ", "") for m in merges] + ["<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n", encoding="utf-8")
    return f"gpt2:{folder}"


def test_the_gpt2_tokenizer_goes_along(folder):
    spec = gpt2_tokenizer(folder / "t")
    convert(make(folder / "a.mrw", "gpt2"), folder / "a.gguf", "--tokenizer", spec).expect(0)
    said, tensors = read(folder / "a.gguf")
    assert said["tokenizer.ggml.model"] == "gpt2" and said["tokenizer.ggml.pre"] == "gpt-2" and said["tokenizer.ggml.merges"][2] == "\u0120 the"
    assert said["tokenizer.ggml.tokens"][258] == "\u0120the" and said["tokenizer.ggml.tokens"][259] == "<|endoftext|>"
    assert said["tokenizer.ggml.token_type"][258:261] == [1, 3, 5] and said["tokenizer.ggml.eos_token_id"] == 259
    convert(folder / "a.mrw", folder / "b.mrw", "--tokenizer", spec).expect(0)
    convert(folder / "a.gguf", folder / "c.mrw").expect(0)
    assert run("info", folder / "b.mrw").json()[0]["tokenizer"] == run("info", folder / "c.mrw").json()[0]["tokenizer"]
    said["tokenizer.ggml.tokens"][260] = "<|user|>"
    said["tokenizer.ggml.token_type"][260] = 3
    path = write(folder / "d.gguf", said, tensors)
    ids = [run("generate", path, "--prompt", "the<|user|>", "--max-tokens", 1, "--temperature", 0, "--json", *more).expect(0).json()[0]
           for more in ([], ["--special"])]
    assert ids[0]["text"].startswith("the<|user|>")


def test_a_trained_tokenizer_becomes_one_of_gpt2(folder):
    (folder / "t.txt").write_text("the cat sat on the mat, the cat\n" * 50)
    run("prepare", folder / "t.txt", "--train-bpe", 270, "--out", folder / "data").expect(0)
    spec = f"bpe:{folder / 'data' / 'tokenizer.json'}"
    convert(make(folder / "a.mrw", "gpt2"), folder / "a.gguf", "--tokenizer", spec).expect(0)
    convert(folder / "a.mrw", folder / "b.mrw", "--tokenizer", spec).expect(0)
    texts = [run("generate", folder / m, "--prompt", "the cat's mat", "--max-tokens", 5, "--temperature", 0).expect(0).out for m in ("a.gguf", "b.mrw")]
    said = read(folder / "a.gguf")[0]
    assert texts[0] == texts[1] and said["tokenizer.ggml.model"] == "gpt2" and said["tokenizer.ggml.merges"]
    assert said["tokenizer.ggml.tokens"][256] == said["tokenizer.ggml.merges"][0].replace(" ", "")


def test_tokenizers_without_an_equivalent_are_told_of(folder):
    convert(make(folder / "a.mrw", "rwkv6"), folder / "a.gguf", "--tokenizer", "byte").expect(0, err="not kept .*the tokenizer")
    said = read(folder / "a.gguf")[0]
    assert set(said["tokenizer.ggml.token_type"]) == {5}
    run("generate", folder / "a.gguf", "--prompt", "a").expect(2, err="tokenizer")
    said["tokenizer.ggml.model"] = "llama"
    path = write(folder / "b.gguf", said, read(folder / "a.gguf")[1])
    run("info", path).expect(0, err=r"its tokenizer \(llama\) is not supported")


def test_other_models_are_named(folder):
    convert(make(folder / "a.mrw", "rwkv6"), folder / "a.gguf").expect(0)
    said, tensors = read(folder / "a.gguf")
    for change, problem in (({"general.architecture": "llama"}, "general.architecture is llama: GGUF files of gpt2, rwkv6 and rwkv7"),
                            ({"rwkv6.block_count": 4}, r"rwkv6\.block_count is 4, but its tensors have 3"),
                            ({"rwkv6.attention.layer_norm_epsilon": 0.001}, "layer_norm_epsilon is 0.001"),
                            ({"rwkv6.wkv.head_size": 0}, "head_size")):
        run("info", write(folder / "b.gguf", said | change, tensors)).expect(1, err=problem)
    less = {n: t for n, t in tensors.items() if n != "blk.1.time_mix_ln.bias"}
    convert(write(folder / "b.gguf", said, less), folder / "b.mrw").expect(1, err=r"are missing: blk\.1\.time_mix_ln\.bias")
    more = tensors | {"blk.1.attn_q.weight": tensors["blk.1.time_mix_ln.bias"]}
    convert(write(folder / "b.gguf", said, more), folder / "b.mrw").expect(1, err=r"do not belong to .*: blk\.1\.attn_q\.weight")
    convert(make(folder / "4.mrw", "rwkv4"), folder / "4.gguf").expect(2, err="the layout gguf has no names for rwkv4")


def test_what_a_file_says_of_itself_goes_along(folder):
    convert(make(folder / "a.mrw", "rwkv7"), folder / "a.gguf").expect(0)
    said, tensors = read(folder / "a.gguf")
    path = write(folder / "b.gguf", said | {"general.name": "a name", "general.license": "cc0"}, tensors)
    convert(path, folder / "c.mrw").expect(0)
    convert(folder / "c.mrw", folder / "d.gguf").expect(0)
    again = read(folder / "d.gguf")[0]
    assert again == said | {"general.name": "a name", "general.license": "cc0"}


main()
