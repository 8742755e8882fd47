# SPDX-License-Identifier: GPL-3.0-or-later
"""microrwkv generate: text, sampling, states, stop texts, errors."""
import json
import signal
import subprocess
import time

import tiny
from harness import PROGRAM, execute, main, run


def text(*arguments, prompt="The cat", **options):
    """What it printed, without the newline at the end."""
    out = run("generate", tiny.model(), "--prompt", prompt, *arguments, **options).expect(0).text()
    assert out.endswith("\n")
    return out[:-1]


def test_prints_prompt_text_and_newline(folder):
    out = text("--max-tokens", 20)
    assert out.startswith("The cat") and len(out) == len("The cat") + 20


def test_same_seed_same_text(folder):
    first = text("--seed", 3, "--max-tokens", 60)
    assert text("--seed", 3, "--max-tokens", 60) == first
    assert any(text("--seed", seed, "--max-tokens", 60) != first for seed in (4, 5))


def test_temperature_zero_takes_the_largest(folder):
    first = text("--temperature", 0, "--seed", 1)
    assert first == text("--temperature", 0, "--seed", 2) == text("--temperature", 1, "--top-k", 1, "--seed", 3)


def test_no_tokens_prints_the_prompt(folder):
    assert text("--max-tokens", 0) == "The cat"


def test_prompt_from_standard_input(folder):
    out = run("generate", tiny.model(), "--prompt", "-", "--max-tokens", 5, "--temperature", 0, stdin=b"The cat").expect(0)
    assert out.text() == text("--max-tokens", 5, "--temperature", 0) + "\n"


def test_stop_text_ends_before_it(folder):
    whole = text("--temperature", 0, "--max-tokens", 100)
    stop = whole[20:23]
    out = text("--temperature", 0, "--max-tokens", 100, "--stop", stop)
    assert out == whole[:whole.index(stop, len("The cat"))]


def test_state_goes_on_where_it_ended(folder):
    whole = text("--temperature", 0, "--max-tokens", 40)
    first = text("--temperature", 0, "--max-tokens", 15, "--state-out", folder / "s")
    rest = text("--temperature", 0, "--max-tokens", 25, "--state-in", folder / "s", prompt="")
    assert first + rest == whole


def test_sampled_state_goes_on_with_the_same_draws(folder):
    whole = text("--seed", 9, "--max-tokens", 40)
    first = text("--seed", 9, "--max-tokens", 15, "--state-out", folder / "s")
    rest = text("--seed", 9, "--max-tokens", 25, "--state-in", folder / "s", prompt="")
    assert first + rest == whole


def test_repetition_penalty_repeats_less(folder):
    plain = text("--temperature", 0, "--max-tokens", 100)
    penal = text("--temperature", 0, "--max-tokens", 100, "--repetition-penalty", 3)
    assert len(set(penal)) > len(set(plain))


def test_tiny_top_p_is_greedy(folder):
    assert text("--top-p", 1e-6, "--seed", 5) == text("--temperature", 0)


def test_json_has_the_promised_keys(folder):
    lines = run("generate", tiny.model(), "--prompt", "The", "--max-tokens", 7, "--json").expect(0).json()
    assert len(lines) == 1 and {"text", "tokens", "first_token_ms", "total_s"} <= set(lines[0])
    assert lines[0]["text"].startswith("The") and lines[0]["first_token_ms"] > 0


def test_last_line_of_stderr_gives_length_and_time(folder):
    err = run("generate", tiny.model(), "--prompt", "The", "--max-tokens", 7).expect(0).err.decode()
    last = err.strip().splitlines()[-1]
    assert "7" in last or "10" in last, last
    assert " s" in last or "time" in last, last


def test_published_flags(folder):
    (folder / "out").mkdir()
    (folder / "out" / "ckpt-500.mrw").write_bytes((tiny.model() / "ckpt.mrw").read_bytes())
    out = run("generate", "--prompt=One day", "--max_num_tokens=5", "--model_name=ckpt-500", folder=folder).expect(0)
    assert out.text().startswith("One day") and len(out.text()) == len("One day") + 5 + 1
    run("generate", "--prompt=One day", "--model_name=ckpt-501", folder=folder).expect(1, err="ckpt-501")


def test_longer_than_the_block(folder):
    assert len(text("--max-tokens", 100)) == 107


def test_longer_than_the_block_with_learned_positions(folder):
    tiny.train(folder / "m", "positions=learned", iterations=2).expect(0)
    out = run("generate", folder / "m", "--prompt", "The cat", "--max-tokens", 40).expect(0).text()
    assert len(out) == 48


def test_reference_mode_generates(folder):
    tiny.train(folder / "m", "mode=reference", iterations=1).expect(0)
    out = run("generate", folder / "m", "--prompt", "The cat", "--max-tokens", 5).expect(0).text()
    assert len(out) == 13


def test_missing_model_is_named(folder):
    run("generate", folder / "none.mrw", "--prompt", "a").expect(1, err=r"none\.mrw")


def test_empty_folder_is_named(folder):
    run("generate", folder, "--prompt", "a").expect(1, err=str(folder))


def test_unknown_characters_are_placed(folder):
    run("generate", tiny.model(), "--prompt", "The ☃").expect(1, err=r"\b4\b")


def test_wrong_numbers_are_refused(folder):
    for arguments in (("--temperature", "-1"), ("--top-p", "0"), ("--top-p", "1.5"), ("--top-k", "-3"), ("--max-tokens", "-1"),
                      ("--repetition-penalty", "0"), ("--max-tokens", "ten"), ("--temperature", "nan")):
        run("generate", tiny.model(), "--prompt", "a", *arguments).expect(2, out=r"\A\Z", err=arguments[0])


def test_state_of_another_model_is_refused(folder):
    tiny.train(folder / "m", "n_embd=32", iterations=1).expect(0)
    run("generate", folder / "m", "--prompt", "The", "--max-tokens", 3, "--state-out", folder / "s").expect(0)
    run("generate", tiny.model(), "--prompt", "The", "--state-in", folder / "s").expect(1, err="state")


def test_broken_state_is_refused(folder):
    text("--max-tokens", 3, "--state-out", folder / "s")
    whole = (folder / "s").read_bytes()
    (folder / "t").write_bytes(whole[:-5])
    run("generate", tiny.model(), "--prompt", "The", "--state-in", folder / "t").expect(1)
    (folder / "t").write_bytes(whole[:len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1:])
    run("generate", tiny.model(), "--prompt", "The", "--state-in", folder / "t").expect(1)


def test_no_model_is_a_wrong_command_line(folder):
    run("generate", "--prompt", "a").expect(2, err="MODEL")


def shell(line, *arguments):
    """generate with what a shell does to its streams."""
    return execute(["sh", "-c", f'"$@" {line}', "sh", PROGRAM, "generate", tiny.model(), "--prompt", "The cat",
                    "--temperature", 0, "--max-tokens", 15, *arguments])


def test_a_full_disk_is_told(folder):
    for arguments in ((), ("--json",), ("--num-samples", 2)):
        shell(">/dev/full", *arguments).expect(1, err="standard output")


def test_closed_standard_output_is_told(folder):
    for arguments in ((), ("--json",), ("--num-samples", 2)):
        shell(">&-", *arguments).expect(1, err="standard output")


def test_the_state_is_saved_where_the_text_is_not(folder):
    whole = text("--temperature", 0, "--max-tokens", 40)
    for line in (">/dev/full", ">&-"):
        shell(line, "--state-out", folder / "s").expect(1, err="standard output")
        rest = text("--temperature", 0, "--max-tokens", 25, "--state-in", folder / "s", prompt="")
        assert whole.endswith(rest) and len(rest) == 25
        (folder / "s").unlink()


def test_the_text_is_printed_where_the_state_is_not_saved(folder):
    lines = run("generate", tiny.model(), "--prompt", "The", "--max-tokens", 7, "--json", "--state-out",
                folder / "none" / "s").expect(1, err="none").json()
    assert len(lines) == 1 and len(lines[0]["text"]) == 10


def test_the_first_of_two_errors_is_told(folder):
    shell(">/dev/full", "--state-out", folder / "none" / "s").expect(1, err="standard output")


def test_a_long_prompt_is_left_within_a_chunk(folder):
    prompt = folder / "prompt"
    prompt.write_text("The cat sat on the mat. " * 400000)
    for arguments in (("--prompt", "-"), ("--prompts", "-")):
        with open(prompt, "rb") as stdin:
            process = subprocess.Popen([PROGRAM, "generate", tiny.model(), *arguments], stdin=stdin, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
            process.stderr.readline()  # the device is open
            time.sleep(3)
            assert process.poll() is None, "the prompt is too short for this check"
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=30)
        assert process.returncode == 130 and out == b"" and b"stopped" in err, (process.returncode, out[:99], err)


def test_waiting_for_a_prompt_is_left_too(folder):
    process = subprocess.Popen([PROGRAM, "generate", tiny.model(), "--prompt", "-"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130


def test_special_tokens_in_a_prompt_are_tokens_with_special_alone(folder):
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]  # bytes that stand for themselves in byte-level BPE
    hidden = [b for b in range(256) if b not in shown]
    letters = {chr(b if b in shown else 256 + hidden.index(b)): b for b in range(256)}
    (folder / "t.json").write_text(json.dumps({
        "model": {"type": "BPE", "vocab": letters, "merges": []}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
        "added_tokens": [{"id": 256, "content": "<|endoftext|>", "special": True}]}))
    run("new", "rwkv4", "n_layer=1", "n_embd=16", "vocab_size=257", "--out", folder / "m.mrw").expect(0)
    plain = ("generate", folder / "m.mrw", "--tokenizer", f"json:{folder}/t.json", "--max-tokens", 0, "--state-out", folder / "s",
             "--prompt", "a<|endoftext|>")
    run(*plain).expect(0)
    assert int.from_bytes((folder / "s").read_bytes()[24:32], "little") == 14  # tokens that were read
    run(*plain, "--special").expect(0)
    assert int.from_bytes((folder / "s").read_bytes()[24:32], "little") == 2


def test_json_keeps_a_prompt_whatever_ends_within_a_character(folder):
    model = folder / "m.mrw"
    run("new", "rwkv4", "n_layer=1", "n_embd=16", "vocab_size=256", "--out", model).expect(0)
    for seed in range(4):
        line = run("generate", model, "--tokenizer", "byte", "--prompt", "\uc548\ub155", "--max-tokens", 5, "--seed", seed,
                   "--json").expect(0).json()[0]
        assert line["text"].startswith("\uc548\ub155"), line


def test_logits_that_are_not_finite_end_with_their_layer(folder):
    model, broken = folder / "m.safetensors", folder / "broken.safetensors"
    run("new", "rwkv4", "n_layer=2", "n_embd=16", "vocab_size=256", "--out", model).expect(0)
    for name, told in (("blocks.1.ffn.value.weight", r"blocks\.1\.ffn"), ("ln_out.weight", r"ln_out\.weight"),
                       ("head.weight", r"head\.weight")):
        data = bytearray(model.read_bytes())
        size = int.from_bytes(data[:8], "little")
        place = json.loads(data[8:8 + size])[name]["data_offsets"][0] + 8 + size
        data[place:place + 4] = b"\0\0\xc0\x7f"
        broken.write_bytes(data)
        for prompt in ("a", "ab"):
            for more in ((), ("--temperature", 0)):
                run("generate", broken, "--tokenizer", "byte", "--prompt", prompt, *more).expect(1, err="not finite.*" + told)
        run("logits", broken, "--tokens", "1,2", "--out", folder / "l.safetensors").expect(1, err="not finite.*" + told)


main()
