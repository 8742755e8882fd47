# SPDX-License-Identifier: GPL-3.0-or-later
"""microrwkv prepare: what it reads, what it writes, what it refuses."""
import array
import gzip
import json

from harness import main, run

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


main()
