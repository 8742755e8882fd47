# SPDX-License-Identifier: GPL-3.0-or-later
"""All tokenizers on the command line: tokenize, detokenize, prepare, train."""
import array
import json
import pickle
import random
import resource
import time

from harness import data, main, run, run_within

MERGES = ["a b", "Ġ a", "ab ab", "< |"]
HARD = b"ab <|endoftext|> abab\n\xc3\xa9\xff\xf0\x9f e\xcc\x81 \xe2\x80\x83 12 it's  \x00" + bytes(range(256))
TINY = ["family=microrwkv", "n_layer=1", "n_head=1", "n_embd=16", "block_size=16", "batch_size=2", "max_iters=2", "eval_interval=2",
        "eval_iters=1", "expert_dim=16", "device=cpu"]


def spelling():
    """Byte-level BPE's character for every byte."""
    own = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in own]
    return {**{b: chr(b) for b in own}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def vocabulary():
    spelled = spelling()
    tokens = [spelled[b] for b in range(256)] + [m.replace(" ", "") for m in MERGES] + ["<|endoftext|>"]
    return {token: i for i, token in enumerate(tokens)}


def gpt2(folder, vocab="encoder.json", merges="vocab.bpe"):
    folder.mkdir(exist_ok=True)
    (folder / vocab).write_text(json.dumps(vocabulary()))
    (folder / merges).write_text("#version: 0.2\n" + "\n".join(MERGES) + "\n")
    return f"gpt2:{folder}"


def tokenizer_json(path, **changes):
    parts = {"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
             "added_tokens": [{"id": 260, "content": "<|endoftext|>", "special": True}],
             "model": {"type": "BPE", "vocab": vocabulary(), "merges": MERGES}}
    path.write_text(json.dumps({**parts, **changes}))
    return f"json:{path}"


def world(path):
    tokens = [bytes([b]) for b in range(256)] + [b"ab", b" ab", b"<|end", "é".encode()]
    lines = [f"{i + 1} {text(t)!r} {len(t)}" for i, t in enumerate(tokens)]
    path.write_text("\n".join(lines) + "\n")
    return f"world:{path}"


def text(token):
    try:
        return token.decode()
    except UnicodeDecodeError:
        return token


def trained(folder):
    (folder / "text").write_bytes(HARD * 20)
    run("prepare", folder / "text", "--train-bpe", 290, "--out", folder / "trained").expect(0, err="bpe:.*tokenizer.json")
    return f"bpe:{folder / 'trained' / 'tokenizer.json'}"


def exact(folder):
    """The tokenizers that keep any bytes."""
    return ["byte", gpt2(folder / "gpt2"), world(folder / "world.txt"), trained(folder)]


def ids(spec, source, *more):
    return [int(i) for i in run("tokenize", "--tokenizer", spec, *more, stdin=source).expect(0).out.split()]


def back(spec, tokens):
    return run("detokenize", "--tokenizer", spec, stdin="\n".join(map(str, tokens)).encode()).expect(0).out


def tokens(folder, split, kind="H"):
    return list(array.array(kind, (folder / f"{split}.bin").read_bytes()))


def ids(tokenizer, text, *arguments):
    return [int(i) for i in run("tokenize", "--tokenizer", tokenizer, *arguments, stdin=text).expect(0).text().split()]


def test_added_tokens_of_every_file_beside_a_vocabulary(folder):
    files = {"added_tokens.json": {"<|user|>": 300},
             "tokenizer_config.json": {"model_max_length": 10**30,
                                       "added_tokens_decoder": {"300": {"content": "<|user|>", "special": True}}},
             "tokenizer.json": {"added_tokens": [{"id": 300, "content": "<|user|>", "special": True}]}}
    plain = ids(gpt2(folder / "plain"), b"ab<|user|>")
    for name, content in files.items():
        spec = gpt2(folder / name, "vocab.json", "merges.txt")
        (folder / name / name).write_bytes(b"\xef\xbb\xbf" + json.dumps(content).encode())
        assert run("detokenize", "--tokenizer", spec, stdin=b"300").expect(0).out == b"<|user|>", name
        assert ids(spec, b"ab<|user|>", "--special")[-1] == 300, name
        assert ids(spec, b"ab<|user|>") == plain, name


def test_added_tokens_that_are_not_special_are_always_found(folder):
    spec = gpt2(folder / "a", "vocab.json", "merges.txt")
    (folder / "a" / "added_tokens.json").write_text(json.dumps({"tool_call": 261}))
    assert ids(spec, b"ab tool_call ab") == [*ids(spec, b"ab "), 261, *ids(spec, b" ab")]
    (folder / "a" / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": ["tool_call"]}))
    assert 261 not in ids(spec, b"ab tool_call ab") and 261 in ids(spec, b"ab tool_call ab", "--special")


def test_special_tokens_of_the_vocabulary_by_their_map(folder):
    spec = gpt2(folder / "a", "vocab.json", "merges.txt")
    vocab = {**vocabulary(), "<|pad|>": 261}
    (folder / "a" / "vocab.json").write_text(json.dumps(vocab))
    assert 261 not in ids(spec, b"<|pad|>", "--special")
    (folder / "a" / "special_tokens_map.json").write_text(
        json.dumps({"pad_token": {"content": "<|pad|>", "lstrip": False}, "bos_token": "<|unknown|>"}))
    assert ids(spec, b"<|pad|>", "--special") == [261] and 261 not in ids(spec, b"<|pad|>")


def test_usual_folders_stay_what_they_were(folder):
    first = gpt2(folder / "a", "vocab.json", "merges.txt")
    second = gpt2(folder / "b", "vocab.json", "merges.txt")
    tokenizer_json(folder / "b" / "tokenizer.json")
    (folder / "b" / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|endoftext|>"}))
    for spec in (first, second):
        assert run("tokenize", "--tokenizer", spec, "--json", stdin=b"ab").expect(0).json()[0]["tokenizer"] == "gpt2"


def test_a_template_puts_its_tokens_before_a_prompt(folder):
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "</s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "</s>", "type_id": 0}}], "special_tokens": {"</s>": {"id": "</s>", "ids": [261], "tokens": ["</s>"]}}}
    added = [{"id": 260, "content": "<|endoftext|>", "special": True}, {"id": 261, "content": "</s>", "special": True}]
    plain = tokenizer_json(folder / "plain.json", added_tokens=added)
    with_one = tokenizer_json(folder / "one.json", added_tokens=added, post_processor=template)
    inside = tokenizer_json(folder / "two.json", added_tokens=added, post_processor={"type": "Sequence", "processors": [template]})
    opt = gpt2(folder / "opt", "vocab.json", "merges.txt")
    (folder / "opt" / "vocab.json").write_text(json.dumps({**vocabulary(), "</s>": 261}))
    (folder / "opt" / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": True, "bos_token": {"content": "</s>"}}))
    run("new", "rwkv4", "n_layer=1", "n_embd=32", "vocab_size=262", "--out", folder / "m.mrw").expect(0)

    def prompt(model, *arguments):
        line = run("generate", model, "--prompt", "ab a", "--max-tokens", 1, "--echo", "--json", *arguments).expect(0).json()[0]
        return line["prompt_tokens"]

    assert prompt(folder / "m.mrw", "--tokenizer", plain) == [256, 257]
    for spec in (with_one, inside, opt):
        assert prompt(folder / "m.mrw", "--tokenizer", spec) == [261, 256, 257], spec
        assert ids(spec, b"ab a") == [256, 257]
        run("convert", folder / "m.mrw", folder / "hf", "--tokenizer", spec).expect(0)
        assert prompt(folder / "hf") == [261, 256, 257], spec
    template["special_tokens"]["</s>"]["ids"] = [300]
    run("tokenize", "--tokenizer", tokenizer_json(folder / "b.json", post_processor=template), stdin=b"a").expect(1, err="token 300 is not in the vocabulary")


def test_long_added_tokens_take_no_time(folder):
    added = [{"id": 300 + i, "content": "a" * 20000 + str(i), "special": bool(i % 2)} for i in range(200)]
    spec = tokenizer_json(folder / "t.json", added_tokens=added)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    assert len(ids(spec, b"a" * 300000, "--special")) == 300000
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert used < 3, used


def test_a_word_larger_than_memory_is_cut(folder):
    split = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\\s?\\p{L}+"}, "behavior": "Isolated"},
        {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]}
    specs = [gpt2(folder / "gpt2"), tokenizer_json(folder / "a.json"), tokenizer_json(folder / "b.json", pre_tokenizer=split)]
    (folder / "in").write_bytes(b"ab" * 6000000)
    for spec in specs:
        run_within(80, "prepare", folder / "in", "--tokenizer", spec, "--out", folder / "out", "--val-fraction", 0).expect(0)
        some = array.array("H", (folder / "out" / "train.bin").read_bytes())
        assert set(some[:3000000]) == {258} and len(some) in (3000000, 3000001), (spec, len(some))


def test_vocabularies_that_are_something_else_are_named(folder):
    for name in ("vocab.json", "merges.txt"):
        spec = gpt2(folder / name, "vocab.json", "merges.txt")
        (folder / name / name).write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
        run("tokenize", "--tokenizer", spec, stdin=b"a").expect(1, err=f"{name}.*Git LFS pointer")


def test_any_bytes_come_back(folder):
    rng = random.Random(1)
    for spec in exact(folder):
        for source in (HARD, b"", b"\xff", rng.randbytes(20000)):
            assert back(spec, ids(spec, source)) == source, spec


def test_ids_of_small_vocabularies(folder):
    g, w = gpt2(folder / "g"), world(folder / "w.txt")
    assert ids(g, b"abab a") == [258, 257] and ids(w, b"abab ab") == [257, 257, 258]
    assert gpt2(folder / "h", "vocab.json", "merges.txt") and ids(f"gpt2:{folder / 'h'}", b"abab a") == [258, 257]


def test_json_comes_back_normalised(folder):
    spec = tokenizer_json(folder / "t.json")
    assert back(spec, ids(spec, "ab e\u0301 \u212b".encode())) == "ab é Å".encode()


def test_end_of_text_only_on_request(folder):
    for spec in exact(folder)[1:] + [tokenizer_json(folder / "t.json")]:
        plain, special = ids(spec, b"a<|endoftext|>a"), ids(spec, b"a<|endoftext|>a", "--special")
        assert len(special) == 3 < len(plain) and back(spec, plain) == b"a<|endoftext|>a", spec


def test_prepared_data_carries_its_tokenizer(folder):
    (folder / "in").write_bytes(b"ab abab. e\xc3\xa9\n" * 50)
    for number, spec in enumerate(exact(folder) + [tokenizer_json(folder / "t.json")]):
        out = folder / f"out{number}"
        run("prepare", folder / "in", "--tokenizer", spec, "--out", out).expect(0)
        meta = json.loads((out / "meta.json").read_text())
        every = tokens(out, "train") + tokens(out, "val")
        assert meta["vocab_size"] > max(every) and meta["train"]["bytes"] + meta["val"]["bytes"] == 650, meta
        text = [t for t in every if t != (every[-1] if spec != "byte" else -1)]
        assert back(out, text) == b"ab abab. e\xc3\xa9\n" * 50, spec


def test_each_document_ends_with_the_end_token(folder):
    (folder / "a.jsonl").write_text('{"text": "ab"}\n{"text": "a"}\n')
    (folder / "b.txt").write_text("ab\n<|endoftext|>\nab <|endoftext|> a\n")
    spec = gpt2(folder / "g")
    run("prepare", folder / "a.jsonl", "--tokenizer", spec, "--out", folder / "a", "--val-fraction", 0).expect(0)
    assert tokens(folder / "a", "train") == [256, 260, 97, 260]
    run("prepare", folder / "b.txt", "--tokenizer", spec, "--out", folder / "b", "--val-fraction", 0).expect(0)
    assert tokens(folder / "b", "train")[:4] == [256, 10, 260, 256] and tokens(folder / "b", "train").count(260) == 2
    run("prepare", folder / "b.txt", "--tokenizer", spec, "--out", folder / "c", "--val-fraction", 0, "--special").expect(0)
    assert tokens(folder / "c", "train").count(260) == 3


def test_large_vocabularies_take_four_bytes(folder):
    (folder / "w.txt").write_text("1 'a' 1\n70000 'b' 1\n")
    run("prepare", "-", "--tokenizer", f"world:{folder / 'w.txt'}", "--out", folder / "out", stdin=b"ab" * 100).expect(0)
    assert tokens(folder / "out", "train", "I")[:4] == [1, 70000] * 2


def test_training_a_tokenizer(folder):
    (folder / "a.txt").write_text("the cat and the hat and the bat\n" * 200)
    for name in ("x", "y"):
        result = run("prepare", folder / "a.txt", "--train-bpe", 270, "--out", folder / name, "--json").expect(0).json()[0]
        assert result["vocab_size"] == 270 and result["tokenizer_file"].endswith("tokenizer.json"), result
    assert (folder / "x" / "tokenizer.json").read_bytes() == (folder / "y" / "tokenizer.json").read_bytes()
    run("prepare", folder / "a.txt", "--tokenizer", f"bpe:{folder / 'x' / 'tokenizer.json'}", "--out", folder / "z").expect(0)
    assert tokens(folder / "z", "train") == tokens(folder / "x", "train")
    assert len(tokens(folder / "x", "train")) < 0.9 * 6400 * 0.5


def test_training_sizes(folder):
    (folder / "a.txt").write_text("abcabc abc")
    run("prepare", folder / "a.txt", "--train-bpe", 100, "--out", folder / "x").expect(2, err="257")
    run("prepare", folder / "a.txt", "--train-bpe", 300, "--tokenizer", "byte", "--out", folder / "x").expect(2, err="exclude")
    run("prepare", folder / "a.txt", "--train-bpe", 9000, "--out", folder / "x", "--val-fraction", 0).expect(0, err="only 25")


def test_bits_per_byte_of_longer_tokens(folder):
    (folder / "a.txt").write_text("the cat and the hat and the bat\n" * 100)
    run("prepare", folder / "a.txt", "--train-bpe", 280, "--out", folder / "d").expect(0)
    run("train", *TINY, f"dataset={folder / 'd'}", f"out_dir={folder / 'o'}").expect(0)
    result = run("eval", folder / "o", "--data", folder / "d", "--json").expect(0).json()[0]
    meta = json.loads((folder / "d" / "meta.json").read_text())["val"]
    want = result["loss"] / 0.6931471805599453 * meta["tokens"] / meta["bytes"]
    assert abs(result["bits_per_byte"] - want) < 1e-4 * want and meta["bytes"] > 1.5 * meta["tokens"], (result, meta)
    shown = run("generate", folder / "o", "--prompt", "the cat", "--max-tokens", 3).expect(0).out
    assert shown.startswith(b"the cat")


def nanogpt(folder, characters, text, **meta):
    folder.mkdir()
    numbers = {c: i for i, c in enumerate(characters)}
    all_ids = array.array("H", [numbers[c] for c in text])
    (folder / "train.bin").write_bytes(all_ids[:-200].tobytes())
    (folder / "val.bin").write_bytes(all_ids[-200:].tobytes())
    if meta:
        (folder / "meta.pkl").write_bytes(pickle.dumps(meta))
    return folder


def test_data_of_nanogpt_with_its_characters(folder):
    text = "Übermut tut selten gut. " * 60
    for number, characters in enumerate((sorted(set(text)), sorted(set(text), reverse=True))):
        made = nanogpt(folder / f"n{number}", characters, text, vocab_size=len(characters), itos=dict(enumerate(characters)),
                       stoi={c: i for i, c in enumerate(characters)})
        out = folder / f"o{number}"
        run("train", *TINY, f"dataset={made}", f"out_dir={out}").expect(0)
        assert run("generate", out, "--prompt", "Übermut", "--max-tokens", 3).expect(0).out.startswith("Übermut".encode())
        result = run("eval", out, "--data", made, "--json").expect(0).json()[0]
        want = result["loss"] / 0.6931471805599453 * 200 / len(text[-200:].encode())
        assert abs(result["bits_per_byte"] - want) < 1e-4 * want, result


def test_data_of_nanogpt_without_characters(folder):
    text = "abcd" * 300
    plain = nanogpt(folder / "plain", "abcd", text)
    run("train", *TINY, "vocab_size=64", f"dataset={plain}", f"out_dir={folder / 'o'}").expect(0)
    result = run("eval", folder / "o", "--data", plain, "--json").expect(0).json()[0]
    assert result["bits_per_byte"] is None and result["tokens"] == 199, result
    run("train", *TINY, "vocab_size=3", f"dataset={plain}", f"out_dir={folder / 'p'}").expect(1, err="outside the vocabulary of 3")
    sized = nanogpt(folder / "sized", "abcd", text, vocab_size=4)
    run("train", *TINY, f"dataset={sized}", f"out_dir={folder / 'q'}").expect(0)
    assert run("info", folder / "q", "--json").expect(0).json()[0]["config"]["vocab_size"] == 4


def test_broken_meta_of_nanogpt_is_named(folder):
    broken = nanogpt(folder / "n", "abcd", "abcd" * 300, vocab_size=4)
    good = (broken / "meta.pkl").read_bytes()
    for content in (good[:-5], b"", pickle.dumps({"vocab_size": "four"}), pickle.dumps([1]), b"cos\nsystem\n(S'true'\ntR."):
        (broken / "meta.pkl").write_bytes(content)
        run("train", *TINY, f"dataset={broken}", f"out_dir={folder / 'o'}").expect(1, err=r"meta\.pkl")


def test_missing_and_broken_files_are_named(folder):
    (folder / "bad").write_bytes(b"{\"a\": ")
    for kind in ("json", "world", "bpe"):
        run("tokenize", "--tokenizer", f"{kind}:{folder / 'none'}", stdin=b"a").expect(1, err="none")
        run("tokenize", "--tokenizer", f"{kind}:{folder / 'bad'}", stdin=b"a").expect(1, err="bad.*line 1")
        run("tokenize", "--tokenizer", kind, stdin=b"a").expect(2, err=f"{kind}:FILE")
    run("tokenize", "--tokenizer", f"gpt2:{folder}", stdin=b"a").expect(1, err="encoder.json")
    spec = tokenizer_json(folder / "t.json", normalizer={"type": "StripAccents"})
    run("tokenize", "--tokenizer", spec, stdin=b"a").expect(1, err="StripAccents.*not supported")


def test_bytes_without_a_token_are_named(folder):
    (folder / "w.txt").write_text("1 'a' 1\n2 'b' 1\n")
    run("tokenize", "--tokenizer", f"world:{folder / 'w.txt'}", stdin=b"abba c").expect(1, err="0x20, found at offset 4")


def test_long_lines_take_linear_time(folder):
    sources = {"a": b"a" * 3_000_000, "ab": b"ab" * 1_500_000, "spaces": b" " * 3_000_000, "marks": "\u0301\u0316".encode() * 700_000,
               "invalid": b"\xff" * 3_000_000, "random": random.Random(2).randbytes(3_000_000)}
    for spec in (gpt2(folder / "g"), world(folder / "w.txt"), tokenizer_json(folder / "t.json")):
        for name, source in sources.items():
            start = time.monotonic()
            run("prepare", "-", "--tokenizer", spec, "--out", folder / "out", stdin=source).expect(0)
            assert time.monotonic() - start < 30, f"{spec}, {name}: {time.monotonic() - start:.1f} s"


def test_published_vocabularies(folder):
    golden = json.loads(data("golden/tokenizers.json").read_text())
    (folder / "gpt2").mkdir()
    for name in ("encoder.json", "vocab.bpe"):
        (folder / "gpt2" / name).symlink_to(data(f"data/gpt2-{name}"))
    specs = {"gpt2": f"gpt2:{folder / 'gpt2'}", "neox20b": f"json:{data('data/neox-20b-tokenizer.json')}",
             "world": f"world:{data('data/rwkv_vocab_v20230424.txt')}"}
    for name, spec in specs.items():
        for case in golden[name][:6]:
            assert ids(spec, case["text"].encode()) == case["ids"], (name, case)
        assert back(spec, golden[name][4]["ids"]).decode() == golden[name][4]["text"]


main()
