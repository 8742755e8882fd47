# SPDX-License-Identifier: GPL-3.0-or-later
"""Training of a part of a model."""
import fnmatch

import tiny
from harness import main, run

ONCE = ["batch_size=3", "block_size=16", "eval_iters=1", "eval_interval=100", "seed=7", "max_iters=1", "decay_lr=False",
        "learning_rate=1e-2", "gradient_accumulation_steps=1", "grad_clip=0", "dropout=0"]
HARD = ["gradient_accumulation_steps=2", "dropout=0.1", "checkpoint_interval=3"]


def once(out, *arguments):
    return run("train", f"dataset={tiny.data()}", f"out_dir={out}", "n_layer=2", *ONCE, *arguments)


def tensors(out):
    """The weights of a run by name."""
    run("convert", out / "ckpt.mrw", out / "all.safetensors").expect(0)
    return {name: values for name, (_, values) in tiny.read_safetensors(out / "all.safetensors").items()}


def same_as_whole(folder, family, patterns, *arguments):
    """What is trained becomes what training everything makes of it, to the bit; the rest stays."""
    start, whole, part = folder / "start", folder / "whole", folder / "part"
    given = [f"family={family}", *tiny.FAMILIES[family], *arguments, "overwrite=True"]
    once(start, *given, "learning_rate=0").expect(0)
    once(whole, *given).expect(0)
    once(part, *given, f"train_only={patterns}").expect(0, err="M of them are trained")
    before, all_of_it, some = tensors(start), tensors(whole), tensors(part)
    trained = {n for n in some if any(fnmatch.fnmatchcase(n, p) for p in patterns.split(","))}
    assert trained and trained != set(some), trained
    for name in some:
        assert some[name] == (all_of_it if name in trained else before)[name], name
    assert any(before[n] != all_of_it[n] for n in trained), "nothing was learned"


def test_the_tied_embedding_alone(folder):
    same_as_whole(folder, "nanorwkv", "transformer.wte.*")


def test_everything_but_the_embedding(folder):
    same_as_whole(folder, "gpt2", "transformer.h.*,transformer.ln_f.*")


def test_biases_alone(folder):
    same_as_whole(folder, "gpt2", "*.bias")


def test_positions_alone(folder):
    same_as_whole(folder, "gpt2", "*.wpe.*")


def test_upper_block_alone(folder):
    for family in ("microrwkv", "nanorwkv"):
        same_as_whole(folder, family, "transformer.h.1.*")


def test_parts_that_two_branches_share(folder):
    same_as_whole(folder, "microrwkv", "*.tmix.*")
    same_as_whole(folder, "microrwkv", "*.tmix.key.weight,*.tmix.time_decay")


def test_some_experts_of_a_mixture(folder):
    for mixture in (["moe=dense"], ["moe=topk", "num_experts=3", "num_active_experts=2", "aux=balance"]):
        same_as_whole(folder, "microrwkv", "*.experts.0.*", *mixture)
        same_as_whole(folder, "microrwkv", "*.experts.1.bias", *mixture)


def test_time_mixing_of_rwkv4(folder):
    same_as_whole(folder, "rwkv4", "*.att.*")


def test_time_mixing_of_rwkv5(folder):
    same_as_whole(folder, "rwkv5", "*.att.*")


def test_time_mixing_of_rwkv6(folder):
    same_as_whole(folder, "rwkv6", "*.att.*")


def test_vectors_of_rwkv4_to_6(folder):
    same_as_whole(folder, "rwkv4", "*.time_first,*.ffn.time_mix_k,emb.weight")
    same_as_whole(folder, "rwkv5", "*.time_mix_g,*.ln_x.bias,emb.weight")
    same_as_whole(folder, "rwkv6", "*.time_faaaa,*.time_maa_x,*.time_decay_w1,emb.weight")


def test_time_mixing_of_rwkv7(folder):
    same_as_whole(folder, "rwkv7", "*.att.*")


def test_head_of_rwkv7(folder):
    same_as_whole(folder, "rwkv7", "head.weight")


def test_vectors_of_rwkv7(folder):
    same_as_whole(folder, "rwkv7", "*.x_k,*.r_k,*.k_a,*.w0,*.w1,*.ln_x.bias,emb.weight,blocks.0.ln0.*")


def test_resume_gives_the_same_bits(folder):
    tune = [f"init_from={tiny.model() / 'best.mrw'}", "train_only=*.tmix.*,*.ln_f.*"]
    tiny.train(folder / "whole", *HARD, *tune, iterations=9).expect(0)
    tiny.train(folder / "out", *HARD, *tune, "lr_decay_iters=9", iterations=5).expect(0)
    run("train", f"out_dir={folder / 'out'}", "init_from=resume", "max_iters=9").expect(0, err="of them are trained")
    assert tiny.digest(folder / "out" / "ckpt.mrw") == tiny.digest(folder / "whole" / "ckpt.mrw")


def test_checkpoints_hold_moments_of_what_is_trained(folder):
    tiny.train(folder / "out", "train_only=*.ln_f.*").expect(0)
    names = [t["name"] for t in run("info", folder / "out" / "ckpt.mrw", "--tensors").expect(0).json()[0]["tensors"]]
    moments = [n for n in names if n.startswith("adamw.")]
    assert moments and all(".ln_f." in n for n in moments), moments
    assert "transformer.wte.weight" in names


def test_rollback_works_on_a_part(folder):
    out = folder / "out"
    tiny.train(out, "train_only=*.tmix.*", iterations=5).expect(0)
    run("train", f"out_dir={out}", "init_from=resume", "learning_rate=1e30", "decay_lr=False", "max_iters=50",
        "on_nan=rollback", "eval_interval=1000").expect(1, err="back to iteration 5")


def test_the_plan_shows_what_is_saved(folder):
    def plan(*arguments):
        return run("info", "gpt2", "--plan", *arguments).expect(0).json()[0]["plan"]["training"]
    whole, part = plan(), plan("--train-only", "*.ln_*")
    assert part["gradients"] < whole["gradients"] / 100 and part["moments"] < whole["moments"] / 100
    assert part["parameters"] == whole["parameters"]
    run("info", "gpt2", "--plan", "--train-only", "nothing").expect(2, err='fits "nothing"')


def test_patterns_that_fit_nothing_are_refused(folder):
    tiny.train(folder / "out", "train_only=*.tmix.*,*.attn.*").expect(2, err=r'no parameter.*"\*\.attn\.\*"')
    tiny.train(folder / "out", "train_only=").expect(2, err="train_only")


main()
