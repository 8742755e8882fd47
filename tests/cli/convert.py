# SPDX-License-Identifier: GPL-3.0-or-later
"""convert: between all kinds of files, what is kept and what is said; and broken input."""
import json
import signal
import subprocess
import time

import tiny
from harness import PROGRAM, SOURCE, data, main, run

GOLDEN = SOURCE / "tests" / "golden"
RWKV = ["n_layer=2", "n_embd=32", "vocab_size=40", "head_size=16"]


def make(out, name, *arguments):
    run("new", name, *arguments, "--seed", 5, "--out", out).expect(0)
    return out


def rwkv(out, name="rwkv6", *arguments):
    return make(out, name, *(RWKV if name != "rwkv4" else RWKV[:3]), *arguments)


def gpt2(out, *arguments):
    return make(out, "gpt2", "n_layer=2", "n_embd=32", "n_head=2", "vocab_size=40", "block_size=24", *arguments)


def convert(source, out, *arguments):
    return run("convert", source, out, *arguments)


def logits(model, folder, name, tokens="1,2,3,39,5,0"):
    run("logits", model, "--tokens", tokens, "--out", folder / f"{name}.l.safetensors").expect(0)
    return tiny.read_safetensors(folder / f"{name}.l.safetensors")["logits"][1]


def test_equal_precision_is_bit_exact_both_ways(folder):
    for name in ("rwkv4", "rwkv5", "rwkv6", "rwkv7"):
        first = tiny.digest(rwkv(folder / f"{name}.pth", name))
        source = folder / f"{name}.pth"
        for ending in ("mrw", "safetensors", "2.mrw", "2.pth"):
            out = folder / f"{name}.{ending}"
            convert(source, out).expect(0)
            assert tiny.digest(out) == first, out
            source = out


def test_lower_precisions_round_trip_too(folder):
    for dtype in ("f16", "bf16"):
        rwkv(folder / "a.safetensors", "rwkv6", "--dtype", dtype)
        convert(folder / "a.safetensors", folder / "b.mrw").expect(0)
        convert(folder / "b.mrw", folder / "c.pth").expect(0)
        convert(folder / "c.pth", folder / "d.safetensors").expect(0)
        assert tiny.digest(folder / "a.safetensors") == tiny.digest(folder / "d.safetensors")


def scaled(folder, factor):
    """A model of which one matrix, and nothing else, is multiplied."""
    rwkv(folder / "a.safetensors", "rwkv4")
    tensors = tiny.read_safetensors(folder / "a.safetensors")
    shape, numbers = tensors["blocks.1.ffn.key.weight"]
    largest = max(map(abs, numbers))
    tensors["blocks.1.ffn.key.weight"] = shape, [x / largest * factor for x in numbers]
    tiny.write_safetensors(folder / "b.safetensors", {n: ("F32", *t) for n, t in tensors.items()})
    return folder / "b.safetensors"


def test_numbers_too_large_for_a_format_are_refused_with_their_tensor(folder):
    for factor, dtype, out in ((1e5, "f16", "c.mrw"), (1e5, "f16", "c.pth"), (65521, "f16", "c.safetensors"),
                               (1e6, "q4_0", "c.mrw"), (1e7, "q8_0", "c.bin"), (2e6, "q5_1", "c.mrw"),
                               (3.4e38, "bf16", "c.mrw")):
        source = scaled(folder, factor)
        convert(source, folder / out, "--dtype", dtype).expect(
            1, err=rf"blocks\.1\.ffn\.key\.weight holds .*, which {dtype} cannot")
        assert not (folder / out).exists()
        convert(source, folder / out, "--dtype", dtype, "--saturate").expect(
            0, err=rf"blocks\.1\.ffn\.key\.weight: \d+ numbers up to .* are too large for {dtype}")
        text = run("info", folder / out, "--tensors", "--json").expect(0).json()[0]["tensors"]
        assert all(t["inf"] == t["nan"] == 0 for t in text), text
        (folder / out).unlink()
    for factor, dtype in ((65519, "f16"), (5e5, "q4_0"), (1e5, "bf16"), (3.3e38, "bf16")):
        result = convert(scaled(folder, factor), folder / "d.mrw", "--dtype", dtype).expect(0)
        assert b"too large" not in result.err, result.err


def test_numbers_that_vanish_are_told_of_with_their_tensor(folder):
    for dtype in ("f16", "q4_0"):
        convert(scaled(folder, 1e-8), folder / "c.mrw", "--dtype", dtype).expect(
            0, err=rf"blocks\.1\.ffn\.key\.weight: \d+ of \d+ numbers are too small for {dtype} and became 0")


def test_doubles_beyond_f32_are_refused_with_their_tensor(folder):
    tiny.TYPES["F64"] = "d"
    rwkv(folder / "a.safetensors", "rwkv4")
    tensors = {n: ("F32", *t) for n, t in tiny.read_safetensors(folder / "a.safetensors").items()}
    dtype, shape, numbers = tensors["ln_out.weight"]
    tensors["ln_out.weight"] = "F64", shape, [1e300, *numbers[1:]]
    tiny.write_safetensors(folder / "b.safetensors", tensors)
    convert(folder / "b.safetensors", folder / "c.mrw", "--dtype", "f32").expect(
        1, err=r"the tensor ln_out\.weight holds 1e\+300, which f32 cannot")


def test_bin_files_keep_their_forms_in_mrw(folder):
    for name, dtype in (("rwkv4", "f32"), ("rwkv5", "f16"), ("rwkv6", "q5_1"), ("rwkv5", "q8_0"), ("rwkv7", "q5_0")):
        rwkv(folder / "a.bin", name, "--dtype", dtype)
        convert(folder / "a.bin", folder / "b.mrw").expect(0)
        convert(folder / "b.mrw", folder / "c.bin").expect(0)
        assert tiny.digest(folder / "a.bin") == tiny.digest(folder / "b.mrw") == tiny.digest(folder / "c.bin")


def test_every_layout_gives_the_same_logits(folder):
    for name in ("rwkv4", "rwkv5", "rwkv6", "rwkv7"):
        source = rwkv(folder / f"{name}.mrw", name)
        want = logits(source, folder, name)
        for out in [f"{name}.bin", f"{name}.pth"] + ([f"{name}-hf"] if name != "rwkv7" else []):
            convert(source, folder / out).expect(0)
            assert tiny.largest_difference(logits(folder / out, folder, out), want) < 1e-5, out
    source = gpt2(folder / "g.mrw", "gelu=tanh")
    want = logits(source, folder, "g")
    for out in ("g-hf", "g.safetensors"):
        convert(source, folder / out).expect(0)
        assert logits(folder / out, folder, out) == want


def test_hugging_face_names_and_shapes(folder):
    convert(gpt2(folder / "g.mrw"), folder / "g").expect(0)
    tensors = tiny.read_safetensors(folder / "g" / "model.safetensors")
    assert tensors["transformer.h.0.mlp.c_fc.weight"][0] == [32, 128] and tensors["transformer.h.1.attn.c_attn.weight"][0] == [32, 96]
    config = json.loads((folder / "g" / "config.json").read_text())
    assert config["model_type"] == "gpt2" and config["n_head"] == 2 and config["activation_function"] == "gelu"
    convert(rwkv(folder / "r.mrw", "rwkv5"), folder / "r/").expect(0)
    tensors = tiny.read_safetensors(folder / "r" / "model.safetensors")
    assert tensors["rwkv.blocks.0.attention.time_mix_key"][0] == [1, 1, 32] and "rwkv.blocks.0.pre_ln.weight" in tensors
    config = json.loads((folder / "r" / "config.json").read_text())
    assert config["model_type"] == "rwkv5" and config["hidden_size"] == 32 and config["num_hidden_layers"] == 2


def test_the_optimizers_state_goes_to_mrw_and_back(folder):
    source = GOLDEN / "nanorwkv-trained.ckpt.pt"
    convert(source, folder / "a.mrw").expect(0)
    line = run("info", folder / "a.mrw").expect(0).json()[0]
    assert line["training"]["iter"] == 3 and line["training"]["optimizer_steps"] == 3 and abs(line["training"]["best_val_loss"] - 7.7133) < 1e-3
    convert(folder / "a.mrw", folder / "b.pt").expect(0)
    assert tiny.digest(folder / "b.pt") == tiny.digest(source)
    convert(folder / "b.pt", folder / "c.mrw").expect(0)
    assert tiny.digest(folder / "c.mrw") == tiny.digest(folder / "a.mrw")


def test_a_run_goes_on_after_conversion(folder):
    out = folder / "out"
    tiny.train(out, iterations=6).expect(0)
    tiny.train(folder / "whole", iterations=6).expect(0)
    convert(out / "ckpt.mrw", folder / "c.pt").expect(0)
    (out / "ckpt.mrw").unlink()
    convert(folder / "c.pt", out / "ckpt.mrw").expect(0)
    for where in (out, folder / "whole"):
        tiny.train(where, "init_from=resume", "lr_decay_iters=9", iterations=9).expect(0, err="continuing at iteration 6")
    assert tiny.digest(out / "ckpt.mrw") == tiny.digest(folder / "whole" / "ckpt.mrw")
    (folder / "c.pt").rename(folder / "whole" / "ckpt.pt")
    (folder / "whole" / "ckpt.mrw").unlink()
    tiny.train(folder / "whole", "init_from=resume", "lr_decay_iters=9", iterations=9).expect(0, err="continuing at iteration 6")
    assert tiny.digest(out / "ckpt.mrw") == tiny.digest(folder / "whole" / "ckpt.mrw")
    run("train", f"init_from={folder / 'whole' / 'ckpt.pt'}", f"dataset={tiny.data()}", f"out_dir={folder / 'third'}", "max_iters=8", "block_size=16",
        *tiny.TRAINING).expect(0, err="continuing at iteration 6")


def test_tokenizers_travel_where_they_can(folder):
    best = tiny.model() / "best.mrw"
    for out in ("a.safetensors", "b.pt", "c.mrw"):
        convert(best, folder / out).expect(0)
        assert run("info", folder / out).expect(0).json()[0]["tokenizer"]["kind"] == "char"
        run("generate", folder / out, "--prompt", "The", "--max-tokens", 3, "--seed", 1).expect(0)
    rwkv(folder / "r.mrw", "rwkv6", "vocab_size=300", "--tokenizer", "byte")
    convert(folder / "r.mrw", folder / "r.pth").expect(0, err="not kept.*tokenizer")
    convert(folder / "r.pth", folder / "s.mrw", "--tokenizer", "byte").expect(0)
    assert run("info", folder / "s.mrw").expect(0).json()[0]["tokenizer"]["kind"] == "byte"
    convert(rwkv(folder / "t.pth"), folder / "t.mrw", "--tokenizer", "byte").expect(1, err="tokens")


def spelled(byte):
    """A byte as the files of GPT-2 spell it: printable ones as they are, the others from 256 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return chr(byte if byte in plain else 256 + [b for b in range(256) if b not in plain].index(byte))


def write_gpt2_tokenizer(folder):
    folder.mkdir()
    vocabulary = {spelled(byte): byte for byte in range(256)}
    vocabulary.update({"th": 256, "the": 257, "<|endoftext|>": 258})
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e\n")
    return f"gpt2:{folder}"


def write_world_tokenizer(folder):
    folder.mkdir()
    lines = [f"{byte + 1} {bytes([byte])!r} 1\n" for byte in range(256)] + ["257 'the' 3\n", "258 '\\'\u00e9' 3\n"]
    (folder / "world.txt").write_text("".join(lines), encoding="utf-8")
    return f"world:{folder / 'world.txt'}"


def test_folders_carry_the_tokenizers_files(folder):
    for kind, spec, model in (("gpt2", write_gpt2_tokenizer(folder / "a"), "gpt2"), ("world", write_world_tokenizer(folder / "b"), "rwkv6")):
        out = folder / f"hf-{kind}"
        make(out, model, "n_layer=1", "n_embd=64", "n_head=1", "vocab_size=259", "--tokenizer", spec)
        own = f"gpt2:{out}" if kind == "gpt2" else f"world:{out / 'rwkv_vocab_v20230424.txt'}"
        text = "the \u00e9 theory's 'th' \\ \u65e5\n\t".encode()
        assert run("tokenize", "--tokenizer", own, stdin=text).expect(0).out == run("tokenize", "--tokenizer", spec, stdin=text).expect(0).out
        run("generate", out, "--prompt", "the", "--max-tokens", 2).expect(0, out="^the")
        convert(out, folder / "m.mrw").expect(0)
        assert run("info", folder / "m.mrw").expect(0).json()[0]["tokenizer"]["kind"] == kind
    make(folder / "c", "gpt2", "n_layer=1", "n_embd=64", "n_head=1", "vocab_size=259", "--tokenizer", "byte")
    assert not (folder / "c" / "vocab.json").exists()


def test_what_is_not_kept_is_said(folder):
    source = GOLDEN / "nanorwkv-trained.ckpt.pt"
    convert(source, folder / "a.safetensors").expect(0, err="not kept.*optimizer")
    line = convert(source, folder / "b.safetensors", "--json").expect(0).json()[0]
    assert line["layout"] == "safetensors" and any("optimizer" in note for note in line["not_kept"])
    convert(rwkv(folder / "q.bin", "rwkv6", "--dtype", "q5_1"), folder / "q.pth").expect(0, err="q5_1 of .* become f32")
    convert(rwkv(folder / "h.safetensors", "rwkv6", "--dtype", "bf16"), folder / "h.bin").expect(0, err="bf16 of .* become f32")
    convert(rwkv(folder / "e.safetensors", "rwkv5"), folder / "e.bin").expect(0, err="last digits")


def test_layouts_without_names_for_a_family_are_refused(folder):
    best = tiny.model() / "best.mrw"
    for out in ("m.pth", "m.bin", "m/"):
        convert(best, folder / out).expect(2, err="no names for microrwkv")
    convert(rwkv(folder / "r.mrw"), folder / "r.pt").expect(2, err="no names for rwkv6")
    convert(best, folder / "m.mrw", "--to", "onnx").expect(2, err="onnx")
    convert(best, folder / "m.safetensors", "--dtype", "q4_0").expect(2, err="cannot hold q4_0")
    assert [p.name for p in folder.iterdir()] == ["r.mrw"]


def test_to_overrides_the_ending(folder):
    convert(tiny.model(), folder / "strange.name", "--to", "mrw").expect(0)
    assert (folder / "strange.name").read_bytes()[:4] == b"\x89mrw"


def test_recognition_is_by_content(folder):
    rwkv(folder / "a.pth")
    (folder / "a.pth").rename(folder / "a.safetensors")
    convert(folder / "a.safetensors", folder / "b.mrw").expect(0)
    assert run("info", folder / "b.mrw").expect(0).json()[0]["family"] == "rwkv6"


def test_a_file_may_be_replaced_by_itself(folder):
    rwkv(folder / "a.mrw")
    before = tiny.digest(folder / "a.mrw")
    convert(folder / "a.mrw", folder / "a.mrw").expect(0)
    assert tiny.digest(folder / "a.mrw") == before and len(list(folder.iterdir())) == 1


def expect_broken(folder, path, part):
    """Converting it fails with exit status 1, names the file and the place, and leaves no output."""
    convert(path, folder / "out.mrw").expect(1, err=part)
    convert(path, folder / "out").expect(1, err=path.name)
    assert not [p for p in folder.iterdir() if p.name.startswith("out")]


def test_missing_and_unknown_tensors_are_named(folder):
    tensors = {name: ("F32", shape, numbers) for name, (shape, numbers) in tiny.read_safetensors(rwkv(folder / "a.safetensors")).items()}
    lacking = {name: t for name, t in tensors.items() if name != "blocks.1.ffn.key.weight"}
    tiny.write_safetensors(folder / "b.safetensors", lacking)
    expect_broken(folder, folder / "b.safetensors", r"b\.safetensors.*missing.*blocks\.1\.ffn\.key\.weight")
    tiny.write_safetensors(folder / "c.safetensors", {**tensors, "blocks.1.att.extra": ("F32", [3], [1, 2, 3])})
    expect_broken(folder, folder / "c.safetensors", r"c\.safetensors.*blocks\.1\.att\.extra")
    wrong = {**tensors, "blocks.0.att.time_maa_x": ("F32", [31], list(range(31)))}
    tiny.write_safetensors(folder / "d.safetensors", wrong)
    expect_broken(folder, folder / "d.safetensors", r"d\.safetensors.*blocks\.0\.att\.time_maa_x.*31")


def test_a_tied_head_must_be_the_embedding(folder):
    tensors = {name: ("F32", shape, numbers) for name, (shape, numbers) in tiny.read_safetensors(gpt2(folder / "a.safetensors")).items()}
    embedding = tensors["transformer.wte.weight"]
    arguments = ["--config", "n_head=2"]
    tiny.write_safetensors(folder / "b.safetensors", {**tensors, "lm_head.weight": embedding})
    convert(folder / "b.safetensors", folder / "b.mrw", *arguments).expect(0)
    tiny.write_safetensors(folder / "c.safetensors", {**tensors, "lm_head.weight": ("F32", embedding[1], [*embedding[2][:-1], 9.0])})
    convert(folder / "c.safetensors", folder / "c.mrw", *arguments).expect(1, err=r"c\.safetensors.*lm_head\.weight differs")


def test_unknown_families_are_named(folder):
    tiny.write_safetensors(folder / "a.safetensors", {"layers.0.q_proj.weight": ("F32", [2, 2], [1, 2, 3, 4])})
    expect_broken(folder, folder / "a.safetensors", r"a\.safetensors.*layers\.0\.q_proj\.weight")


def test_files_cut_short_are_named(folder):
    for name in ("r.mrw", "r.safetensors", "r.pth", "r.bin"):
        rwkv(folder / name)
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[:len(whole) * 2 // 3])
        convert(folder / name, folder / "out.mrw").expect(1, err=name.replace(".", r"\."))
        assert not (folder / "out.mrw").exists()
    convert(folder / "nothing.pth", folder / "out.mrw").expect(1, err=r"nothing\.pth")


def test_heads_are_asked_for(folder):
    make(folder / "a.safetensors", "gpt2", "n_layer=1", "n_embd=24", "n_head=3", "vocab_size=40", "block_size=8")
    tensors = {name: ("F32", shape, numbers) for name, (shape, numbers) in tiny.read_safetensors(folder / "a.safetensors").items()}
    tiny.write_safetensors(folder / "b.safetensors", tensors)
    convert(folder / "b.safetensors", folder / "b.mrw").expect(2, err="n_head")
    convert(folder / "b.safetensors", folder / "b.mrw", "--config", "n_head=3").expect(0)
    assert tiny.digest(folder / "b.mrw") == tiny.digest(folder / "a.safetensors")


def test_a_stopped_conversion_leaves_nothing(folder):
    make(folder / "a.mrw", "gpt2", "n_layer=4", "n_embd=512", "n_head=8", "vocab_size=20000")
    for out in ("out.mrw", "out"):
        process = subprocess.Popen([PROGRAM, "new", "gpt2-large", "--out", folder / out], stderr=subprocess.DEVNULL)
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert [p.name for p in folder.iterdir()] == ["a.mrw"]


def test_published_checkpoints(folder):
    for name in ("rwkv4-random", "rwkv5-random", "rwkv6-random", "rwkv7-random"):
        source = data(f"golden/{name}.pth")
        convert(source, folder / "a.mrw").expect(0)
        convert(folder / "a.mrw", folder / "b.pth").expect(0)
        assert tiny.digest(folder / "b.pth") == tiny.digest(source)


main()
