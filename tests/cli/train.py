# SPDX-License-Identifier: GPL-3.0-or-later
"""microrwkv train: what it writes, configurations, and what it refuses."""
import tiny
from harness import main, run


def refuse(folder, status, pattern, *arguments):
    """Training with these arguments fails as said and writes no checkpoint."""
    out = folder / "out"
    tiny.train(out, *arguments).expect(status, err=pattern)
    assert not (out / "ckpt.mrw").exists()


def test_writes_checkpoints_and_log(folder):
    tiny.train(folder / "out", iterations=8).expect(0, out=r"\A\Z")
    for name in ("ckpt.mrw", "best.mrw", "log.jsonl"):
        assert (folder / "out" / name).exists(), name


def test_log_has_the_promised_keys(folder):
    lines = tiny.log_lines(tiny.model())
    steps = [line for line in lines if "loss" in line]
    assert [line["iter"] for line in steps] == sorted({line["iter"] for line in steps})
    assert all({"iter", "loss", "lr", "grad_norm", "ms", "tokens_per_s"} <= set(line) for line in steps)
    evaluations = [line for line in lines if "val_loss" in line]
    assert evaluations and all({"iter", "train_loss", "val_loss"} <= set(line) for line in evaluations)


def test_the_loss_falls(folder):
    losses = [line["val_loss"] for line in tiny.log_lines(tiny.model()) if "val_loss" in line]
    assert losses[-1] < losses[0] - 0.3, losses


def test_json_is_one_object_a_line(folder):
    result = tiny.train(folder / "out", "--json").expect(0)
    assert any("val_loss" in line for line in result.json()) and any("grad_norm" in line for line in result.json())


def test_profile_names_kernels(folder):
    tiny.train(folder / "out", "--profile", iterations=2).expect(0, err=r"(?s)kernel +calls.*rms_norm_forward +\d+")


def test_learning_rate_warms_up_and_falls(folder):
    tiny.train(folder / "out", "warmup_iters=4", "learning_rate=1e-2", "min_lr=1e-3", iterations=12).expect(0)
    rates = [line["lr"] for line in tiny.log_lines(folder / "out") if "lr" in line]
    assert rates[:5] == sorted(rates[:5]) and abs(max(rates) - 1e-2) < 1e-3
    assert rates[5:] == sorted(rates[5:], reverse=True) and rates[-1] < 2e-3


def test_eval_only_writes_no_checkpoint(folder):
    tiny.train(folder / "out", f"init_from={tiny.model() / 'ckpt.mrw'}", "eval_only=True").expect(0, err="val loss")
    assert not (folder / "out" / "ckpt.mrw").exists()


def test_published_style_of_arguments(folder):
    tiny.train(folder / "out", "--max_iters=2", "--weight_decay=1e-1", "--decay_lr=False").expect(0)
    rates = {line["lr"] for line in tiny.log_lines(folder / "out") if "lr" in line}
    assert rates <= {1e-2, 1e-2 / 3, 2e-2 / 3} or len(rates) <= 3, rates


def test_configuration_files_are_read(folder):
    (folder / "c.py").write_text("# a comment\nimport time\nwandb_log = False\nwandb_run_name = 'x' + str(time.time())\n"
                                 f"out_dir = '{folder}/out' # here\ndataset = '{tiny.data()}'\nbatch_size = 1 * 2 + 1\n"
                                 "compile = False\ndtype = 'float32'\nmax_iters = 2\nn_layer = 1\nn_head = 2\nn_embd = 16\n"
                                 "block_size = 16\neval_iters = 1\nexpert_dim = 8\n")
    run("train", folder / "c.py", "n_layer=2").expect(0, err="wandb_log|compile")
    config = run("info", folder / "out").expect(0).json()[0]["config"]
    assert config["n_layer"] == 2 and config["n_embd"] == 16


def test_shipped_configurations_are_accepted(folder):
    from harness import SOURCE
    for path in sorted((SOURCE / "data" / "config").glob("*")):
        start = [f"init_from={tiny.model()}"] if path.stem.startswith("eval_") else ["n_layer=1", "n_embd=16", "n_head=2"]
        run("train", path, f"dataset={tiny.data()}", f"out_dir={folder / path.stem}", "max_iters=1", "eval_iters=1",
            "block_size=16", "batch_size=2", "gradient_accumulation_steps=1", *start).expect(0)


def test_unknown_keys_name_the_nearest(folder):
    refuse(folder, 2, "n_layers.*n_layer", "n_layers=3")
    (folder / "c.conf").write_text("learning_rat = 1\n")
    run("train", folder / "c.conf").expect(2, err=r"c\.conf.*learning_rat\b.*learning_rate")


def test_values_that_mean_nothing_are_refused(folder):
    refuse(folder, 2, "n_layer", "n_layer=many")
    refuse(folder, 2, "max_iters", "max_iters=1e400")
    (folder / "c.conf").write_text("seed = 1\nbatch_size = open('x')\n")
    run("train", folder / "c.conf").expect(2, err=r"c\.conf.*2")


def test_heads_must_divide_the_width(folder):
    refuse(folder, 2, "n_embd.*n_head", "n_head=3")


def test_sizes_must_be_positive(folder):
    for key in ("n_layer", "n_embd", "block_size", "batch_size"):
        refuse(folder, 2, key, f"{key}=0")
        refuse(folder, 2, key, f"{key}=-4")


def test_choices_must_fit_each_other(folder):
    refuse(folder, 2, "aux", "moe=topk", "aux=diversity")
    refuse(folder, 2, "mode", "mode=casual")


def test_rates_and_clips_below_zero_are_refused(folder):
    for key in ("learning_rate", "min_lr", "weight_decay", "grad_clip", "warmup_iters", "lr_decay_iters",
                "aux_weight", "dropout", "keep_checkpoints"):
        refuse(folder, 2, f"{key} is -1", f"{key}=-1")


def test_seeds_up_to_two_to_the_64_are_taken(folder):
    digests = set()
    for seed in (2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1):
        out = folder / str(seed)
        tiny.train(out, f"seed={seed}", iterations=1).expect(0)
        digests.add(tiny.digest(out / "ckpt.mrw"))
    assert len(digests) == 4
    (folder / "c.conf").write_text(f"seed = {2**64 - 1} # the last one\n")
    run("train", folder / "c.conf", f"dataset={tiny.data()}", f"out_dir={folder / 'file'}", *tiny.MODEL, *tiny.TRAINING[:-1],
        "max_iters=1", "lr_decay_iters=1").expect(0)
    assert tiny.digest(folder / "file" / "ckpt.mrw") == tiny.digest(folder / str(2**64 - 1) / "ckpt.mrw")
    run("train", f"out_dir={folder / 'file'}", "init_from=resume", "max_iters=3").expect(0)
    refuse(folder, 2, "seed must be a whole number from 0 to 2\\^64-1", f"seed={2**64}")
    refuse(folder, 2, "seed must be", "seed=-1")


def test_help_lists_every_key_with_its_default(folder):
    text = run("train", "--help").expect(0).text()
    lines = dict(line.split(None, 1) for line in text.splitlines() if line.startswith("  ") and "=" in line.split()[0])
    for key in ("out_dir=out", "seed=1337", "learning_rate=0.0006", "decay_lr=True", "device=None", "overwrite=False",
                "n_layer=8", "moe=dense", "block_size=1024"):
        assert len(lines[key]) > 3, key
    config = run("info", tiny.model()).expect(0).json()[0]["config"]
    assert set(config) <= {key.split("=")[0] for key in lines}
    assert len(lines) == len({key.split("=")[0] for key in lines})


def test_missing_configuration_is_named(folder):
    run("train", folder / "none.conf").expect(1, err=r"none\.conf")


def test_missing_data_is_named(folder):
    refuse(folder, 1, "nowhere", f"dataset={folder / 'nowhere'}")


def test_too_short_data_is_refused(folder):
    (folder / "a.txt").write_text("Short, but not empty.")
    run("prepare", folder / "a.txt", "--tokenizer", "byte", "--out", folder / "data").expect(0)
    refuse(folder, 1, "short|fewer|block_size", f"dataset={folder / 'data'}", "block_size=64")


def test_data_of_another_tokenizer_is_refused(folder):
    refuse(folder, 1, "tokenizer", f"init_from={tiny.model()}", f"dataset={tiny.data('byte')}")


def test_memory_that_no_device_has_is_refused_before_training(folder):
    # over 2 TiB in tensors of at most 128 MiB, so that no largest allocation refuses it first
    refuse(folder, 1, "GiB are needed", "n_embd=2880", "n_layer=900", "n_head=45")


def test_small_largest_allocations_change_no_bit(folder):
    tiny.train(folder / "whole", "n_embd=192", iterations=2).expect(0)
    tiny.train(folder / "parts", "n_embd=192", iterations=2, environment={"MICRORWKV_LIMITS": "alloc=1M"}).expect(0)
    assert tiny.digest(folder / "whole" / "ckpt.mrw") == tiny.digest(folder / "parts" / "ckpt.mrw")


def test_unwritable_folder_is_named(folder):
    (folder / "file").write_text("")
    tiny.train(folder / "file" / "out").expect(1, err="file")


def test_unknown_device_is_refused_and_names_what_there_is(folder):
    tiny.train(folder / "out", "--device", "abacus").expect(77, err="abacus")


def test_nan_names_iteration_and_tensor(folder):
    result = tiny.train(folder / "out", "learning_rate=1e30", "grad_clip=0", "warmup_iters=0", "decay_lr=False", iterations=60)
    result.expect(1, err=r"iteration \d+.*transformer\.")


def test_init_from_a_model_keeps_its_weights(folder):
    tiny.train(folder / "out", f"init_from={tiny.model() / 'best.mrw'}", "eval_only=True").expect(0)
    tiny.train(folder / "a", f"init_from={tiny.model()}", "learning_rate=0", "min_lr=0", iterations=1).expect(0)
    before, after = folder / "before.safetensors", folder / "after.safetensors"
    for model, out in ((tiny.model() / "best.mrw", before), (folder / "a" / "ckpt.mrw", after)):
        run("logits", model, "--tokens", "1,2,3,4,5", "--out", out).expect(0)
    assert before.read_bytes() == after.read_bytes()


main()
