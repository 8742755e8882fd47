# SPDX-License-Identifier: GPL-3.0-or-later
"""microrwkv tokenize and detokenize."""
from harness import main, run


def ids(text, tokenizer="byte"):
    return run("tokenize", "--tokenizer", tokenizer, stdin=text).expect(0).out


def test_bytes_one_a_line(folder):
    assert ids(b"Hi!\n") == b"72\n105\n33\n10\n"


def test_any_bytes_come_back(folder):
    every = bytes(range(256)) * 3 + b"\xff\xc3\x28 end"
    assert run("detokenize", "--tokenizer", "byte", stdin=ids(every)).expect(0).out == every


def test_empty_text_is_no_ids(folder):
    assert ids(b"") == b""


def test_end_of_text_is_ordinary_text(folder):
    assert ids(b"<|endoftext|>").count(b"\n") == 13


def test_ids_that_do_not_exist_are_named(folder):
    run("detokenize", "--tokenizer", "byte", stdin=b"65\n70000\n").expect(1, err="70000")


def test_words_that_are_no_ids_are_named(folder):
    run("detokenize", "--tokenizer", "byte", stdin=b"65\nsix\n").expect(1, err="six|2")


def test_tokenizer_must_be_given(folder):
    run("tokenize", stdin=b"a").expect(2, err="--tokenizer")


main()
