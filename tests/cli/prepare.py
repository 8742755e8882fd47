# SPDX-License-Identifier: GPL-3.0-or-later
"""microrwkv prepare: what it reads, what it writes, what it refuses."""
import array
import gzip
import json
import lzma
import os
import shutil
import struct

from harness import PROGRAM, execute, main, run, run_within

TEXT = b"It rained.\nThe frog was glad; the hen was not.\n" * 40


def tokens(folder, split):
    return list(array.array("H", (folder / f"{split}.bin").read_bytes()))


def both(folder):
    return tokens(folder, "train") + tokens(folder, "val")


def prepare(source, out, *arguments, tokenizer="byte", **options):
    run("prepare", source, "--tokenizer", tokenizer, "--out", out, *arguments, **options).expect(0)
    return out


def test_bytes_of_a_file_in_both_splits(folder):
    (folder / "a.txt").write_bytes(TEXT)
    out = prepare(folder / "a.txt", folder / "out")
    assert bytes(both(out)[:len(TEXT)]) == TEXT


def test_share_of_validation(folder):
    (folder / "a.txt").write_bytes(TEXT)
    for share in (0.1, 0.25):
        out = prepare(folder / "a.txt", folder / f"out{share}", "--val-fraction", share)
        assert abs(len(tokens(out, "val")) - share * len(TEXT)) <= 4, len(tokens(out, "val"))


def test_meta_names_the_tokenizer(folder):
    (folder / "a.txt").write_bytes(TEXT)
    meta = json.loads((prepare(folder / "a.txt", folder / "out") / "meta.json").read_text())
    assert "byte" in json.dumps(meta["tokenizer"]), meta


def test_standard_input_is_the_same(folder):
    (folder / "a.txt").write_bytes(TEXT)
    a = prepare(folder / "a.txt", folder / "a")
    b = prepare("-", folder / "b", stdin=TEXT)
    assert both(a) == both(b)


def test_gzipped_input_is_the_same(folder):
    (folder / "a.txt").write_bytes(TEXT)
    (folder / "a.txt.gz").write_bytes(gzip.compress(TEXT))
    a = prepare(folder / "a.txt", folder / "a")
    b = prepare(folder / "a.txt.gz", folder / "b")
    assert both(a) == both(b)


def test_json_lines_are_documents(folder):
    lines = "".join(json.dumps({"text": f"Story {i}: äöü \"quoted\".", "id": i}) + "\n" for i in range(50))
    (folder / "a.jsonl").write_text(lines)
    (folder / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    a = prepare(folder / "a.jsonl", folder / "a")
    b = prepare(folder / "b.jsonl.gz", folder / "b")
    assert both(a) == both(b)
    text = bytes(t for t in both(a) if t < 256).decode()
    assert 'Story 7: äöü "quoted".' in text and "id" not in text


def test_lone_surrogates_and_invalid_bytes_are_replaced_and_counted(folder):
    line = b'{"text": "a\\ud83dz", "n": 1}\n{"text": "\\uDE00\xff\\ud83d\\ude00"}\n{"text": "\xe2\x82"}\n'
    (folder / "a.jsonl").write_bytes(line)
    result = run("prepare", folder / "a.jsonl", "--tokenizer", "byte", "--val-fraction", 0, "--out", folder / "out",
                 "--json").expect(0).json()[0]
    assert bytes(tokens(folder / "out", "train")).decode() == "a\ufffdz\ufffd\ufffd\U0001f600\ufffd"
    assert result["replaced_characters"] == 4 and result["documents"] == 3, result


def test_fields_that_are_not_read_may_hold_anything(folder):
    deep = "[" * 3000 + "]" * 3000
    others = ['"hash": 123456789012345678901234567890', '"x": 1e999', '"y": [NaN, -Infinity]', f'"deep": {deep}',
              '"s": "\\ud800"', '"text ": 1', '"o": {"text": 7}', '"raw": "a\tb"']
    lines = "".join(f'{{{other}, "text": "one."}}\n{{"text": "two.", {other}}}\n' for other in others)
    (folder / "a.jsonl").write_text(lines)
    out = prepare(folder / "a.jsonl", folder / "out", "--val-fraction", 0)
    assert bytes(tokens(out, "train")).decode() == "one.two." * len(others)


def test_the_last_of_two_fields_of_one_name_counts(folder):
    (folder / "a.jsonl").write_text('{"text": "no", "te\\u0078t": "yes"}\n')
    assert bytes(tokens(prepare(folder / "a.jsonl", folder / "out", "--val-fraction", 0), "train")) == b"yes"


def test_byte_order_marks_are_no_text(folder):
    mark = b"\xef\xbb\xbf"
    (folder / "a.txt").write_bytes(mark + b"Hello")
    (folder / "b.jsonl").write_bytes(mark + b'{"text": "one"}\n' + mark + b'{"text": "two"}\n')
    (folder / "c.txt.gz").write_bytes(gzip.compress(mark + b"<|endoftext|>\nHi"))
    for name, text in (("a.txt", b"Hello"), ("b.jsonl", b"onetwo"), ("c.txt.gz", b"<|endoftext|>\nHi")):
        out = prepare(folder / name, folder / f"{name}.out", "--val-fraction", 0)
        assert bytes(tokens(out, "train")) == text, name


def test_bad_lines_are_skipped_and_counted(folder):
    good = '{"text": "good"}\n'
    bad = ["{\"text\": 7}", "{\"other\": \"x\"}", "{\"text\": \"cut", "null", "[1]", "{\"text\": \"a\"} b", "01",
           "{\"text\": \"a\",}", "\0\0\0", "{\"text\": tru}", "{\"text\": \"\\x\"}"]
    (folder / "a.jsonl").write_text("".join(good + line + "\n" for line in bad) + good)
    run("prepare", folder / "a.jsonl", "--tokenizer", "byte", "--out", folder / "no").expect(
        1, err=r"a\.jsonl, line 2: the field \"text\" is not a string")
    result = run("prepare", folder / "a.jsonl", "--tokenizer", "byte", "--val-fraction", 0, "--out", folder / "out",
                 "--skip-bad-lines", "--json").expect(0, err=r"line 4: there is no field").json()[0]
    assert bytes(tokens(folder / "out", "train")) == b"good" * (len(bad) + 1)
    assert result["skipped_lines"] == len(bad), result


def test_text_of_several_fields(folder):
    (folder / "a.jsonl").write_text('{"completion": " C.", "prompt": "P:", "text": "no"}\n')
    out = prepare(folder / "a.jsonl", folder / "out", "--val-fraction", 0, "--jsonl-fields", "prompt,completion")
    assert bytes(tokens(out, "train")) == b"P: C."


def test_a_record_larger_than_memory_is_streamed(folder):
    size = 64 << 20
    with open(folder / "a.jsonl", "wb") as f:
        f.write(b'{"text": "small"}\n{"meta": "')
        for _ in range(size >> 20):
            f.write(b"m" * (1 << 20))
        f.write(b'", "text": "')
        for _ in range(size >> 20):
            f.write(b"text text \\n" * 87381)
        f.write(b'"}\n{"text": "last"}\n')
    out = folder / "out"
    arguments = ["prepare", folder / "a.jsonl", "--tokenizer", "byte", "--val-fraction", "0", "--out", out]
    run_within(48, *arguments).expect(0)
    assert (out / "train.bin").stat().st_size == 2 * (5 + (size >> 20) * 87381 * 11 + 4)
    run(*arguments, "--max-record-bytes", 1 << 20).expect(1, err=r"line 2: the record is larger than 1048576 bytes")


def test_an_option_given_twice_is_said(folder):
    (folder / "a.txt").write_bytes(TEXT)
    result = run("prepare", folder / "a.txt", "--tokenizer", "char", "--tokenizer", "byte", "--out", folder / "out",
                 "--json").expect(0, err=r"prepare: --tokenizer is given more than once: only the last one counts")
    assert result.json()[0]["tokenizer"] == "byte"


def test_suggested_commands_quote_paths(folder):
    (folder / "a.txt").write_bytes(TEXT)
    run("prepare", folder / "a.txt", "--train-bpe", 260, "--out", folder / "my data").expect(
        0, err=r"--tokenizer 'bpe:.*/my data/tokenizer\.json'")


def test_json_of_paths_that_are_no_utf8(folder):
    (folder / "a.txt").write_bytes(TEXT)
    out = os.fsencode(folder) + b"/caf\xe9"
    done = execute([PROGRAM, "prepare", folder / "a.txt", "--tokenizer", "byte", "--json", "--out", os.fsdecode(out)]).expect(0)
    assert done.json()[0]["out"].endswith("/caf\ufffd")


def test_files_that_are_no_text_are_named(folder):
    files = {"a.parquet": (b"PAR1....", "Parquet"), "a.txt": (b"PK\3\4....", "zip"), "b.txt": (b"GGUF\3\0\0\0", "GGUF"),
             "c.txt": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
             "d.txt": (b"\xff\xfeH\0i\0", "UTF-16.*iconv"), "e.txt": (b"\n<!DOCTYPE HTML><html>", "HTML page"),
             "f.jsonl": (b"<html></html>", "HTML page"), "g.txt": (b"%PDF-1.7", "PDF"),
             "h.npy": (b"\x93NUMPY\1\0", "NumPy"), "i.bin": (b"\x88\xd8\x34\1\1\0\0\0", r"llm\.c.*header"),
             "j.tar": (b"a" * 257 + b"ustar\0", "tar archive"), "k.bz2": (b"BZh91AY&SY..", "bzip2"),
             "l.st": (b"\x40\0\0\0\0\0\0\0{}", "safetensors"), "m.txt.gz": (gzip.compress(b"PAR1...."), "Parquet"),
             "n.txt": (b"<?xml version='1.0'?><Error><Code>AccessDenied", "XML error from a server")}
    for name, (content, kind) in files.items():
        (folder / name).write_bytes(content)
        run("prepare", folder / name, "--tokenizer", "byte", "--val-fraction", 0, "--out", folder / "out").expect(
            1, err=f"{name}.*{kind}")
    (folder / "page.html").write_bytes(b"<html>page</html>")
    assert bytes(tokens(prepare(folder / "page.html", folder / "html", "--val-fraction", 0), "train")).startswith(b"<")


def test_a_folder_is_one_input_of_all_its_files(folder):
    (folder / "in").mkdir()
    more = b"Another text, with other words. " * 30
    (folder / "in" / "a.txt").write_bytes(TEXT)
    (folder / "in" / "b.txt").write_bytes(more)
    out = prepare(folder / "in", folder / "out")
    assert bytes(both(out)) == TEXT + more
    assert abs(len(tokens(out, "val")) - 0.1 * len(TEXT + more)) <= 1, len(tokens(out, "val"))


def test_each_of_several_inputs_gives_its_last_part_to_val(folder):
    (folder / "a.txt").write_bytes(b"a" * 1000)
    (folder / "b.txt").write_bytes(b"b" * 500)
    run("prepare", folder / "a.txt", folder / "b.txt", "--tokenizer", "byte", "--out", folder / "out").expect(0)
    assert bytes(tokens(folder / "out", "train")) == b"a" * 900 + b"b" * 450
    assert bytes(tokens(folder / "out", "val")) == b"a" * 100 + b"b" * 50


def test_characters_are_numbered_from_the_input(folder):
    (folder / "a.txt").write_text("grün und blau und grün " * 20)
    out = prepare(folder / "a.txt", folder / "out", tokenizer="char")
    assert max(both(out)) < 12 + 2 and len(both(out)) == 23 * 20


def test_byte_keeps_invalid_utf8(folder):
    (folder / "a.txt").write_bytes(b"\xff\xfe\x80 broken \xc3" * 50)
    assert bytes(both(prepare(folder / "a.txt", folder / "out"))).startswith(b"\xff\xfe\x80 broken \xc3\xff")


def test_char_refuses_invalid_utf8_and_says_where(folder):
    (folder / "a.txt").write_bytes(b"fine \xff not" * 50)
    run("prepare", folder / "a.txt", "--tokenizer", "char", "--out", folder / "out").expect(1, err=r"\b5\b")
    assert not (folder / "out" / "meta.json").exists()


def test_stories_are_the_same_for_the_same_seed(folder):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        run("prepare", "--stories", 200, "--seed", seed, "--tokenizer", "byte", "--out", folder / name).expect(0)
    assert both(folder / "a") == both(folder / "b") != both(folder / "c")


def test_stories_are_many_and_different(folder):
    run("prepare", "--stories", 300, "--seed", 1, "--tokenizer", "byte", "--out", folder / "a").expect(0)
    text = bytes(t if t < 256 else 0 for t in both(folder / "a"))
    stories = [s for s in text.replace(b"<|endoftext|>", b"\0").split(b"\0") if s.strip()]
    assert len(stories) >= 300 and len(set(stories)) > 0.98 * len(stories), len(set(stories))


def test_empty_text_is_refused(folder):
    (folder / "a.txt").write_bytes(b"")
    run("prepare", folder / "a.txt", "--tokenizer", "byte", "--out", folder / "out").expect(1, err="empty|no text|nothing")


def test_missing_input_is_named(folder):
    run("prepare", folder / "none.txt", "--tokenizer", "byte", "--out", folder / "out").expect(1, err=r"none\.txt")


def test_missing_arguments_are_named(folder):
    (folder / "a.txt").write_bytes(TEXT)
    run("prepare", folder / "a.txt", "--tokenizer", "byte").expect(2, err="--out")
    run("prepare", "--tokenizer", "byte", "--out", folder / "out").expect(2)


def test_unknown_tokenizer_is_refused(folder):
    (folder / "a.txt").write_bytes(TEXT)
    run("prepare", folder / "a.txt", "--tokenizer", "runes", "--out", folder / "out").expect(2, err="runes")


def test_unwritable_folder_is_named(folder):
    (folder / "a.txt").write_bytes(TEXT)
    run("prepare", folder / "a.txt", "--tokenizer", "byte", "--out", folder / "a.txt" / "out").expect(1, err=r"a\.txt")


def test_broken_gzip_is_refused(folder):
    (folder / "a.txt.gz").write_bytes(gzip.compress(TEXT)[:-20])
    run("prepare", folder / "a.txt.gz", "--tokenizer", "byte", "--out", folder / "out").expect(1, err=r"a\.txt\.gz")


def test_broken_json_line_is_named(folder):
    (folder / "a.jsonl").write_text('{"text": "one"}\n{"text": \n{"text": "three"}\n')
    run("prepare", folder / "a.jsonl", "--tokenizer", "byte", "--out", folder / "out").expect(1, err=r"a\.jsonl.*2")


# ---- packed text, and token files of other programs ----


def test_xz_and_zstd(folder):
    text = "".join(f"{i} cats sat on the mat.\n" for i in range(20000)).encode()
    (folder / "t.txt").write_bytes(text)
    run("prepare", folder / "t.txt", "--tokenizer", "byte", "--out", folder / "plain").expect(0)
    packers = {"xz": lzma.compress}
    if shutil.which("zstd"):
        packers["zst"] = lambda b: execute(["zstd", "-qc"], stdin=b).expect(0).out
    for ending, pack in packers.items():
        packed, half = folder / f"t.txt.{ending}", len(text) // 2
        packed.write_bytes(pack(text[:half]) + pack(text[half:]))
        result = run("prepare", packed, "--tokenizer", "byte", "--out", folder / ending)
        if result.status == 77:
            result.expect(77, err=r"was built without lib(lzma|zstd)")
            continue
        result.expect(0)
        for name in ("train.bin", "val.bin"):
            assert (folder / ending / name).read_bytes() == (folder / "plain" / name).read_bytes()
        packed.write_bytes(pack(text)[:-9])
        run("prepare", packed, "--tokenizer", "byte", "--out", folder / "x").expect(1, err=f"t.txt.{ending} cannot be unpacked")
        lines = folder / f"l.jsonl.{ending}"
        lines.write_bytes(pack(b'{"text": "one two"}\n{"text": "three"}\n'))
        got = run("prepare", lines, "--tokenizer", "byte", "--val-fraction", 0, "--out", folder / "l", "--json").expect(0).json()[0]
        assert got["documents"] == 2, got


def llm_c(ids, width=2):
    magic, version = (20240520, 1) if width == 2 else (20240801, 7)
    return struct.pack("<256i", magic, version, len(ids), *[0] * 253) + struct.pack(f"<{len(ids)}{'H' if width == 2 else 'I'}", *ids)


def test_token_files_are_taken_under_any_name(folder):
    ids = list(b"The cat sat on the mat. " * 5)
    for width in (2, 4):
        (folder / "fineweb_train_000001.bin").write_bytes(llm_c(ids, width))
        got = run("prepare", folder / "fineweb_train_000001.bin", "--tokenizer", "byte", "--out", folder / "d", "--json").expect(0).json()[0]
        assert (got["train"], got["val"]) == ({"tokens": 108, "bytes": 108}, {"tokens": 12, "bytes": 12}), got
        data = (folder / "d/train.bin").read_bytes() + (folder / "d/val.bin").read_bytes()
        assert data == struct.pack("<120H", *ids)
    (folder / "mini.bin").write_bytes(struct.pack("<120H", *ids))
    (folder / "mini.idx").write_bytes(b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, 1, 2) + struct.pack("<iqqq", 120, 0, 0, 1))
    for name in ("mini.bin", "mini.idx"):
        run("prepare", folder / name, "--tokenizer", "byte", "--out", folder / "m").expect(0)
        assert (folder / "m/train.bin").read_bytes() + (folder / "m/val.bin").read_bytes() == struct.pack("<120H", *ids)
    (folder / "large.bin").write_bytes(llm_c([1, 2, 300, 4]))
    run("prepare", folder / "large.bin", "--tokenizer", "byte", "--out", folder / "x").expect(1, err="token 2 is 300, outside")
    (folder / "cut.bin").write_bytes(llm_c([1, 2, 3, 4])[:-2])
    run("prepare", folder / "cut.bin", "--tokenizer", "byte", "--out", folder / "x").expect(1, err="says 4 tokens")
    run("prepare", folder / "mini.bin", "--tokenizer", "char", "--out", folder / "x").expect(2, err="name the tokenizer")


def test_token_files_are_written(folder):
    """llm.c's and Megatron's, by their documentation; documents end where the tokenizer's end token is."""
    (folder / "t.txt").write_text("one\n<|endoftext|>\ntwo two\n<|endoftext|>\nthree\n" * 20)
    run("prepare", folder / "t.txt", "--train-bpe", 260, "--out", folder / "d", "--also", "llm.c").expect(0)
    run("prepare", folder / "t.txt", "--train-bpe", 260, "--out", folder / "d", "--also", "megatron").expect(0)
    for split in ("train", "val"):
        raw = (folder / "d" / f"{split}.bin").read_bytes()
        ids = struct.unpack(f"<{len(raw) // 2}H", raw)
        assert (folder / "d/llm.c" / f"{split}.bin").read_bytes() == llm_c(ids)
        index = (folder / "d" / f"{split}.idx").read_bytes()
        version, kind, sequences, documents = struct.unpack_from("<QBQQ", index, 9)
        lengths = struct.unpack_from(f"<{sequences}i", index, 34)
        places = struct.unpack_from(f"<{sequences}q", index, 34 + 4 * sequences)
        starts = struct.unpack_from(f"<{documents}q", index, 34 + 12 * sequences)
        assert index[:9] == b"MMIDIDX\0\0" and (version, kind, documents) == (1, 8, sequences + 1)
        assert len(index) == 34 + 12 * sequences + 8 * documents and starts == tuple(range(documents))
        assert sum(lengths) == len(ids) and places == tuple(2 * sum(lengths[:i]) for i in range(sequences))
        meta = json.loads((folder / "d/meta.json").read_text())
        end = ids[lengths[0] - 1]
        assert sequences > 2 and all(ids[p // 2 + n - 1] == end for p, n in zip(places[:-1], lengths)), (meta["vocab_size"], end)
    (folder / "renamed").mkdir()
    for split in ("train", "val"):
        (folder / "renamed" / f"{split}.bin").write_bytes((folder / "d/llm.c" / f"{split}.bin").read_bytes())
    run("prepare", folder / "renamed/train.bin", "--tokenizer", f"bpe:{folder}/d/tokenizer.json", "--val-fraction", 0, "--out", folder / "back").expect(0)
    assert (folder / "back/train.bin").read_bytes() == (folder / "d/train.bin").read_bytes()
    run("prepare", folder / "t.txt", "--tokenizer", "byte", "--out", folder / "x", "--also", "npy").expect(2, err="llm.c or megatron")


main()
