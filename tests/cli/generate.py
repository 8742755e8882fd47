# SPDX-License-Identifier: GPL-3.0-or-later
"""microrwkv generate: text, sampling, states, stop texts, errors."""
import json
import math
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


def bytes_model():
    """Random weights that speak bytes, with three ids beyond them."""
    out = tiny.FOLDER / "bytes.mrw"
    if not out.exists():
        run("new", "rwkv4", "n_layer=1", "n_embd=16", "vocab_size=259", "--tokenizer", "byte", "--out", out).expect(0)
    return out


def json_of(*arguments, model=None, prompt="The cat", **options):
    lines = run("generate", model or tiny.model(), "--prompt", prompt, "--json", *arguments, **options).expect(0).json()
    assert len(lines) == 1
    return lines[0]


def test_one_logit_that_is_no_number_ends_it(folder):
    """Also where only the largest of many are looked at; of either sign."""
    model, broken = folder / "m.safetensors", folder / "broken.safetensors"
    run("new", "rwkv4", "n_layer=1", "n_embd=16", "vocab_size=5000", "--out", model).expect(0)
    data = bytearray(model.read_bytes())
    size = int.from_bytes(data[:8], "little")
    start = json.loads(data[8:8 + size])["head.weight"]["data_offsets"][0] + 8 + size
    place = start + 4 * 16 * 4321
    for bits in (b"\0\0\xc0\x7f", b"\0\0\xc0\xff"):
        data[place:place + 4] = bits
        broken.write_bytes(data)
        for more in (("--top-k", 0), ("--temperature", 0), ("--top-k", 50)):
            run("generate", broken, "--tokenizer", "byte", "--prompt", "a", *more).expect(1, err=r"not finite.*head")


def test_the_first_of_several_stop_texts_ends_it(folder):
    how = ("--seed", 4, "--temperature", 1, "--max-tokens", 100)
    whole = text(*how)
    early, late = whole[40:46], whole[60:66]
    assert whole.index(early, 7) < whole.index(late, 7)
    for stops in ((late, early), (early, late), ("☃", late, early)):
        out = text(*how, *(word for stop in stops for word in ("--stop", stop)))
        assert out == whole[:whole.index(early, 7)]


def test_stop_tokens_end_it_without_being_shown(folder):
    whole = json_of("--seed", 5, "--max-tokens", 60)
    for number in (10, 30):
        stop = whole["tokens"][number]
        first = whole["tokens"].index(stop)
        out = json_of("--seed", 5, "--max-tokens", 60, "--stop-token", stop)
        assert out["tokens"] == whole["tokens"][:first] and out["text"] == whole["text"][:7 + first]
    stops = whole["tokens"][10], whole["tokens"][30]
    out = json_of("--seed", 5, "--max-tokens", 60, "--stop-token", stops[0], f"--stop-token={stops[1]}")
    assert out["tokens"] == whole["tokens"][:min(whole["tokens"].index(stop) for stop in stops)]


def test_penalties_repeat_less(folder):
    plain = json_of("--temperature", 0, "--max-tokens", 100)["tokens"]
    for name in ("--presence-penalty", "--frequency-penalty"):
        penal = json_of("--temperature", 0, "--max-tokens", 100, name, 1.5)["tokens"]
        assert len(set(penal)) > len(set(plain)), name
        assert json_of("--temperature", 0, "--max-tokens", 100, name, 0)["tokens"] == plain


def test_counts_that_fade_at_once_leave_the_last_token(folder):
    """With decay 0 only the last token counts; so nothing comes twice in a row, and all else may come back."""
    out = json_of("--temperature", 0, "--max-tokens", 60, "--frequency-penalty", 100, "--penalty-decay", 0)["tokens"]
    assert all(a != b for a, b in zip(out, out[1:])) and len(set(out)) < 30
    kept = json_of("--temperature", 0, "--max-tokens", 60, "--frequency-penalty", 100)["tokens"]
    assert len(set(kept[:20])) == 20


def test_counts_are_part_of_the_state(folder):
    how = ("--temperature", 0, "--presence-penalty", 0.7, "--frequency-penalty", 0.4, "--penalty-decay", 0.95)
    whole = text(*how, "--max-tokens", 60)
    first = text(*how, "--max-tokens", 25, "--state-out", folder / "s")
    assert first + text(*how, "--max-tokens", 35, "--state-in", folder / "s", prompt="") == whole


def test_banned_tokens_never_come(folder):
    plain = json_of("--seed", 2, "--max-tokens", 100)["tokens"]
    banned = sorted(set(plain), key=plain.count)[-3:]
    out = json_of("--seed", 2, "--max-tokens", 100, *(w for t in banned for w in ("--logit-bias", f"{t}=-inf")))["tokens"]
    assert out and not set(out) & set(banned)
    wanted = json_of("--seed", 2, "--max-tokens", 10, "--logit-bias", f"{plain[0]}=1000")["tokens"]
    assert wanted == [plain[0]] * 10


def test_min_p_of_one_is_greedy(folder):
    assert text("--min-p", 1, "--seed", 5) == text("--temperature", 0)
    assert text("--min-p", 0.001, "--seed", 5) != text("--temperature", 0)


def test_logprobs_are_those_of_the_logits(folder):
    out = json_of("--max-tokens", 5, "--temperature", 0, "--logprobs", 3, "--echo", model=bytes_model())
    tokens = out["prompt_tokens"] + out["tokens"]
    assert out["prompt_tokens"] == list(b"The cat") and out["prompt_logprobs"][0] is None
    run("logits", bytes_model(), "--tokens", ",".join(map(str, tokens)), "--out", folder / "l.safetensors").expect(0)
    (count, vocab), logits = tiny.read_safetensors(folder / "l.safetensors")["logits"]
    assert (count, vocab) == (12, 259)
    for i, said in enumerate((out["prompt_logprobs"] + out["logprobs"])[1:]):
        row = list(logits[i * vocab:(i + 1) * vocab])
        norm = math.log(sum(math.exp(x) for x in row))
        best = sorted(range(vocab), key=lambda v: (-row[v], v))[:3]
        assert said["id"] == tokens[i + 1] and abs(said["logprob"] - (row[said["id"]] - norm)) < 1e-4, (i, said)
        assert [t["id"] for t in said["top"]] == best
        assert all(abs(t["logprob"] - (row[t["id"]] - norm)) < 1e-4 for t in said["top"])


def test_logprobs_change_no_token(folder):
    plain = json_of("--seed", 4, "--max-tokens", 20)
    assert "logprobs" not in plain and "prompt_tokens" not in plain
    out = json_of("--seed", 4, "--max-tokens", 20, "--logprobs", 0, "--echo", "--presence-penalty", 0)
    assert out["tokens"] == plain["tokens"] == [p["id"] for p in out["logprobs"]]
    assert all(p["top"] == [] for p in out["logprobs"])


def test_echo_goes_on_from_a_state(folder):
    text("--max-tokens", 3, "--state-out", folder / "s")
    out = json_of("--max-tokens", 2, "--state-in", folder / "s", "--echo", "--logprobs", 1, prompt=" sat")
    assert len(out["prompt_tokens"]) == 4 and all(out["prompt_logprobs"])


def test_echo_without_json_says_that_it_changes_nothing(folder):
    out = run("generate", tiny.model(), "--prompt", "The cat", "--max-tokens", 5, "--echo").expect(0, err="--echo")
    assert out.text() == text("--max-tokens", 5) + "\n"


def test_json_is_valid_whatever_is_generated(folder):
    """Bytes of random weights are hardly ever UTF-8."""
    raw = run("generate", bytes_model(), "--prompt", "é", "--max-tokens", 300, "--temperature", 2).expect(0).out[:-1]
    out = json_of("--max-tokens", 300, "--temperature", 2, "--logprobs", 2, model=bytes_model(), prompt="é")
    assert out["text"] == raw.decode(errors="replace") and "\ufffd" in out["text"]
    assert raw == "é".encode() + bytes(t for t in out["tokens"] if t < 256)


def test_incomplete_characters_are_held_back(folder):
    """No character of the stream comes in two writes."""
    bias = [w for token in "☃".encode() for w in ("--logit-bias", f"{token}=1000")]
    process = subprocess.Popen([str(c) for c in (PROGRAM, "generate", bytes_model(), "--prompt", "a", "--max-tokens", 2000, "--top-k", 3,
                                                 *bias)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
    pieces = list(iter(lambda: process.stdout.read(1 << 16), b""))
    assert process.wait(timeout=60) == 0 and len(pieces) > 5
    whole = b"".join(pieces).decode(errors="replace")
    assert "☃" in whole and "".join(piece.decode(errors="replace") for piece in pieces) == whole


def test_an_id_beyond_the_tokenizer_is_named_once(folder):
    how = ("--prompt", "a", "--max-tokens", 9, "--logit-bias", "257=1000", "--logit-bias", "258=1000", "--temperature", 5)
    out = run("generate", bytes_model(), *how).expect(0, err="token 25[78] has no text.* 256 tokens.* 259 ids")
    assert out.err.decode().count("no text") == 1 and out.out == b"a\n"
    few = run("generate", bytes_model(), *how[:4], "--logit-bias", "98=1000").expect(0)
    assert b"no text" not in few.err and few.out == b"a" + 9 * b"b" + b"\n"


def test_wrong_sampling_words_are_named(folder):
    for arguments in (("--presence-penalty", "101"), ("--frequency-penalty", "-101"), ("--penalty-decay", "1.1"), ("--min-p", "-0.1"),
                      ("--min-p", "2"), ("--logit-bias", "5"), ("--logit-bias", "x=1"), ("--logit-bias", "5="), ("--logit-bias", "5=nan"),
                      ("--logit-bias", "5=1e9"), ("--logit-bias", "5=inf"), ("--logit-bias", "-1=1"), ("--logit-bias", "99999999999=1"),
                      ("--stop-token", "x"), ("--stop-token", "-1"), ("--stop-token", "100000"), ("--logit-bias", "100000=1"),
                      ("--logprobs", "1"), ("--logprobs", "100000", "--json")):
        run("generate", tiny.model(), "--prompt", "a", *arguments).expect(2, out=r"\A\Z", err=arguments[0])


main()
