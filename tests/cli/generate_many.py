# SPDX-License-Identifier: GPL-3.0-or-later
"""microrwkv generate with several texts at once: each is what it would be alone."""
import functools
import json

import tiny
from harness import main, run

PROMPTS = ["The cat", "T", "One day the mat was gone! The dog", "The dog saw", "mat", "The cat ran. One", "a", "gone!",
           "The cat sat on the mat. The dog saw the cat, and the cat ran.", "was"]
GREEDY = ("--temperature", 0)


@functools.lru_cache(maxsize=None)
def random_model(name):
    """A model of random weights that speaks bytes."""
    out = tiny.FOLDER / f"{name}.mrw"
    sizes = {"gpt2": ["n_head=2", "n_embd=16", "block_size=24"], "rwkv4-169m": ["n_embd=32"],
             "rwkv7-0b1": ["n_head=1", "n_embd=64"]}[name]
    run("new", name, "n_layer=2", "vocab_size=257", *sizes, "--tokenizer", "byte", "--out", out).expect(0)
    return out


def models():
    return [tiny.model(), random_model("gpt2"), random_model("rwkv4-169m"), random_model("rwkv7-0b1")]


def generate(model, *arguments, **options):
    return run("generate", model, "--max-tokens", 30, *arguments, **options).expect(0)


def alone(model, *arguments):
    return generate(model, *arguments).out


def test_samples_are_what_they_are_alone(folder):
    for model in models():
        for temperature in (0, 1):
            how = ("--prompt", "The cat", "--temperature", temperature)
            out = generate(model, *how, "--num-samples", 5, "--seed", 11, "--batch", 3).out
            assert out == b"".join(alone(model, *how, "--seed", 11 + i) for i in range(5)), model


def test_prompts_are_what_they_are_alone(folder):
    (folder / "prompts").write_text("\n".join(PROMPTS) + "\n")
    for model in models():
        for how in (GREEDY, ("--seed", 5)):
            out = generate(model, "--prompts", folder / "prompts", "--batch", 4, *how).out
            assert out == b"".join(alone(model, "--prompt", p, *how) for p in PROMPTS), model


def test_the_number_at_a_time_changes_nothing(folder):
    (folder / "prompts").write_text("\n".join(PROMPTS))
    outs = {generate(tiny.model(), "--prompts", folder / "prompts", "--batch", batch).out for batch in (1, 3, 8, 100)}
    assert len(outs) == 1


def test_each_text_ends_for_itself(folder):
    (folder / "prompts").write_text("\n".join(PROMPTS))
    whole = [alone(tiny.model(), "--prompt", p).decode() for p in PROMPTS]
    stop = whole[0][12:15]
    how = ("--stop", stop)
    out = generate(tiny.model(), "--prompts", folder / "prompts", "--batch", 3, *how).text()
    texts = [alone(tiny.model(), "--prompt", p, *how).decode() for p in PROMPTS]
    assert out == "".join(texts) and len({len(t) - len(p) for t, p in zip(texts, PROMPTS)}) > 1


def test_json_gives_a_line_a_text_in_order(folder):
    (folder / "prompts.jsonl").write_text("".join(json.dumps({key: p}) + "\n" for key, p in
                                                  zip(["prompt", "text"] * 5, PROMPTS)))
    lines = generate(tiny.model(), "--prompts", folder / "prompts.jsonl", "--json", "--batch", 3).json()
    assert [set(line) for line in lines] == [{"text", "tokens", "first_token_ms", "total_s"}] * len(PROMPTS)
    assert [line["text"] + "\n" for line in lines] == [alone(tiny.model(), "--prompt", p).decode() for p in PROMPTS]
    assert all(len(line["tokens"]) == 30 and 0 < line["first_token_ms"] <= 1000 * line["total_s"] for line in lines)


def test_json_samples(folder):
    lines = generate(tiny.model(), "--prompt", "The", "--num-samples", 3, "--json").json()
    assert len({line["text"] for line in lines}) == 3


def test_a_saved_state_is_continued_by_each(folder):
    generate(tiny.model(), "--prompt", "The cat", "--state-out", folder / "s")
    how = ("--state-in", folder / "s", "--prompt", " ran")
    out = generate(tiny.model(), *how, "--num-samples", 3, "--seed", 2).out
    assert out == b"".join(alone(tiny.model(), *how, "--seed", 2 + i) for i in range(3))
    (folder / "prompts").write_text("a\nT\n")
    how = ("--state-in", folder / "s")
    out = generate(tiny.model(), *how, "--prompts", folder / "prompts").out
    assert out == b"".join(alone(tiny.model(), *how, "--prompt", p) for p in "aT")


def test_no_tokens_prints_the_prompts(folder):
    out = run("generate", tiny.model(), "--prompts", "-", "--max-tokens", 0, stdin=b"a\r\nT").expect(0)
    assert out.text() == "a\nT\n"


def test_wrong_prompts_are_named(folder):
    for name, content, status, err in (("p", "a\n\nb\n", 1, "line 2.*empty"), ("p", "", 1, "no prompt"),
                                       ("p", "a\nThe ☃\n", 1, "line 2"), ("p.jsonl", '{"prompt": "a"}\n{"x": 1}\n', 1, "line 2.*prompt"),
                                       ("p.jsonl", '{"prompt": "a"}\n{"prompt"\n', 1, "line 2")):
        (folder / name).write_text(content)
        run("generate", tiny.model(), "--prompts", folder / name, "--max-tokens", 2).expect(status, err=err)
    run("generate", tiny.model(), "--prompts", folder / "none").expect(1, err="none")


def test_texts_before_a_wrong_prompt_are_printed(folder):
    (folder / "p").write_text("The cat\nThe ☃\n")
    out = run("generate", tiny.model(), "--prompts", folder / "p", "--batch", 1, "--max-tokens", 30).expect(1, err="line 2")
    assert out.out == alone(tiny.model(), "--prompt", "The cat")


def test_wrong_combinations_are_refused(folder):
    for arguments in (("--num-samples", 0), ("--batch", 0), ("--num-samples", 2, "--prompts", "p"),
                      ("--num-samples", 2, "--state-out", "s")):
        run("generate", tiny.model(), "--prompt", "a", *arguments).expect(2, out=r"\A\Z", err=arguments[0])


def test_sampling_options_hold_for_each_alone(folder):
    (folder / "prompts").write_text("\n".join(PROMPTS))
    how = ("--presence-penalty", 0.4, "--frequency-penalty", 0.3, "--penalty-decay", 0.9, "--min-p", 0.02, "--logit-bias", "3=-inf",
           "--logit-bias", "5=1", "--stop-token", 7, "--repetition-penalty", 1.1, "--temperature", 1)
    for model in (tiny.model(), random_model("rwkv4-169m")):
        out = generate(model, "--prompts", folder / "prompts", "--batch", 3, *how).out
        assert out == b"".join(alone(model, "--prompt", p, *how) for p in PROMPTS), model
        out = generate(model, "--prompt", "The", "--num-samples", 4, "--batch", 3, *how).out
        assert out == b"".join(alone(model, "--prompt", "The", "--seed", 1337 + i, *how) for i in range(4)), model


def test_logprobs_and_echo_are_those_of_each_alone(folder):
    (folder / "prompts").write_text("\n".join(PROMPTS[:4]))
    how = ("--logprobs", 2, "--echo", "--json")
    keys = ("tokens", "logprobs", "prompt_tokens", "prompt_logprobs")
    for model in (tiny.model(), random_model("gpt2")):
        lines = generate(model, "--prompts", folder / "prompts", "--batch", 3, *how).json()
        single = [generate(model, "--prompt", p, *how).json()[0] for p in PROMPTS[:4]]
        assert [[line[key] for key in keys] for line in lines] == [[line[key] for key in keys] for line in single]
        lines = generate(model, "--prompt", PROMPTS[0], "--num-samples", 2, *how).json()
        assert all(line["prompt_logprobs"] == single[0]["prompt_logprobs"] for line in lines)
        assert lines[0]["logprobs"] == single[0]["logprobs"] != lines[1]["logprobs"]


main()
