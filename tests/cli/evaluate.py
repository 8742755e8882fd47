# SPDX-License-Identifier: GPL-3.0-or-later
"""eval, and train with configurations that only evaluate."""
import math

import tiny
from harness import SOURCE, main, run

CONFIGS = SOURCE / "data" / "config"
RWKV = ["n_layer=2", "n_embd=32", "vocab_size=256", "head_size=8", "block_size=64"]


def evaluate(model, *arguments, data=None):
    return run("eval", model, "--data", data or tiny.data("byte"), "--json", *arguments).expect(0).json()[0]


def make(out, name="rwkv6", *arguments):
    run("new", name, *RWKV, *arguments, "--seed", 4, "--out", out).expect(0)
    return out


def test_the_promised_keys_agree(folder):
    line = evaluate(make(folder / "m.mrw"))
    assert set(line) == {"loss", "perplexity", "bits_per_byte", "tokens"}
    assert math.isclose(line["perplexity"], math.exp(line["loss"]), rel_tol=1e-6)
    assert math.isclose(line["bits_per_byte"], line["loss"] / math.log(2), rel_tol=1e-6)


def test_a_stream_is_one_text_however_it_is_cut(folder):
    for name in ("rwkv4", "rwkv5", "rwkv6", "rwkv7"):
        make(folder / "m.mrw", name)
        whole = evaluate(folder / "m.mrw", "--block", 4096)  # the split is shorter than that: one window
        for block in (1, 7, 64):
            stream = evaluate(folder / "m.mrw", "--stream", "--block", block)
            assert stream["tokens"] == whole["tokens"] and math.isclose(stream["loss"], whole["loss"], rel_tol=1e-5), block


def test_windows_cover_the_split_once(folder):
    make(folder / "m.mrw")
    counts = {evaluate(folder / "m.mrw", "--block", block, "--batch", batch)["tokens"] for block, batch in ((5, 1), (64, 3), (4096, 1))}
    assert len(counts) == 1
    assert evaluate(folder / "m.mrw", "--iters", 3, "--batch", 2, "--block", 10)["tokens"] == 60


def test_quantised_files_are_evaluated(folder):
    evaluate(make(folder / "m.bin", "rwkv5", "--dtype", "q8_0"))


def test_nanogpt_style_evaluation_configurations(folder):
    run("new", "gpt2", "n_layer=1", "n_head=2", "n_embd=16", "vocab_size=256", "block_size=32", "--out", folder / "gpt2").expect(0)
    small = [f"dataset={tiny.data('byte')}", "block_size=16", "eval_iters=2", f"out_dir={folder / 'out'}"]
    configs = sorted(CONFIGS.glob("eval_*.conf"))
    assert len(configs) == 10
    for config in configs:
        model = folder / "gpt2" if "gpt2" in config.name else make(folder / "m.pth", "rwkv5")
        line = run("train", config, f"init_from={model}", *small, "--json").expect(0).json()
        assert len(line) == 1 and 5 < line[0]["val_loss"] < 6 and 5 < line[0]["train_loss"] < 6
    assert not (folder / "out").exists()


def test_nanogpts_own_files_are_read(folder):
    (folder / "eval_gpt2.py").write_text("# evaluate the base gpt2\n# n_layer=12, n_head=12, n_embd=768\nbatch_size = 8\n"
                                         "eval_iters = 2 # use more iterations to get good estimate\neval_only = True\nwandb_log = False\n"
                                         f"init_from = '{folder / 'g'}'\ndtype = 'bfloat16'\nimport time\ncompile = False\n")
    run("new", "gpt2", "n_layer=1", "n_head=2", "n_embd=16", "vocab_size=256", "block_size=32", "--out", folder / "g").expect(0)
    run("train", folder / "eval_gpt2.py", f"dataset={tiny.data('byte')}", "block_size=16").expect(0, err="val loss")


def test_a_wrong_path_waits_for_no_device(folder):
    make(folder / "m.mrw")
    data = tiny.data("byte")
    for command in (["eval", folder / "m.mrw", "--data", folder / "none"], ["eval", folder / "none.mrw", "--data", data],
                    ["logits", folder / "none.mrw", "--tokens", "1", "--out", folder / "l.safetensors"]):
        for device in ("--device=none of these", "--device=0"):
            errors = run(*command, device).expect(1, err="none").err
            assert b"device 0:" not in errors and b"OpenCL" not in errors, errors


main()
