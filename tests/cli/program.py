# SPDX-License-Identifier: GPL-3.0-or-later
"""The program as a whole: help, version, and wrong command lines."""
import re

from harness import main, run


def commands():
    return re.findall(r"^  ([a-z]+) +\S", run("--help").expect(0).text().split("example:")[0], re.MULTILINE)


def test_help_lists_the_commands_with_an_example(folder):
    run("--help").expect(0, out=r"example:\n  microrwkv ")
    assert {"devices", "prepare", "train", "generate", "logits", "grad", "info", "tokenize", "detokenize"} <= set(commands())


def test_every_command_has_help_with_an_example(folder):
    for command in commands():
        run(command, "--help").expect(0, out=rf"^usage: microrwkv {command}\b[\s\S]*example:\n  .*microrwkv {command}\b",
                                      err=r"\A\Z")


def test_version(folder):
    run("--version").expect(0, out=r"\Amicrorwkv \d+\.\d+\.\d+\n\Z", err=r"\A\Z")


def test_no_command_is_an_error(folder):
    run().expect(2, out=r"\A\Z", err="--help")


def test_unknown_command_names_the_nearest(folder):
    run("trian").expect(2, out=r"\A\Z", err=r'unknown command "trian".*train')


def test_every_command_refuses_an_unknown_option(folder):
    for command in commands():
        run(command, "--no-such-option").expect(2, out=r"\A\Z", err="no-such-option")


def test_errors_are_one_line(folder):
    result = run("devices", "--jsno").expect(2, err=r"--json")
    assert result.err.decode().count("\n") == 1


def test_full_standard_output_is_an_error(folder):
    from harness import PROGRAM, execute
    execute(["sh", "-c", f"exec '{PROGRAM}' --help >/dev/full"]).expect(1, err="standard output")


main()
