# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of README.md, run as they stand there, but with few iterations."""
import re
import shlex

from harness import BUILD, PROGRAM, SOURCE, execute, main

FEW = "max_iters={} eval_iters=1 eval_interval=2 batch_size=2"


def commands():
    """The lines of the blocks marked sh, comments removed."""
    blocks = re.findall(r"^```sh\n(.*?)^```", (SOURCE / "README.md").read_text(), re.S | re.M)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]


def quick(line):
    """The line with fewer iterations, in the same order of size; with small models and few tokens."""
    line = re.sub(r"--models \S+", "--models gpt2:n_layer=1:n_head=2:n_embd=32:vocab_size=50", line)
    line = re.sub(r"--tokens \d+ --out", "--tokens 40 --out", line)
    return re.sub(r"max_iters=(\d+)", lambda m: FEW.format(int(m[1]) // 1000), line)


def test_every_line_is_a_command_that_is_checked(folder):
    for line in commands():
        assert re.match(r"\./run |build/microrwkv |(echo|head) .*\| build/microrwkv |cc examples/tell\.c |\./tell |python3 examples/tell\.py ", line), line


def test_run_knows_the_commands_for_it(folder):
    usage = execute([SOURCE / "run", "--help"]).expect(0).text()
    for line in commands():
        if line.startswith("./run"):
            assert re.search(rf"^  {shlex.split(line)[1]}\b", usage, re.M), line


def test_program_lines_work_one_after_the_other(folder):
    (folder / "build").mkdir()
    (folder / "build" / "microrwkv").symlink_to(PROGRAM)
    (folder / "data").mkdir()
    (folder / "data" / "config").symlink_to(SOURCE / "data" / "config")
    (folder / "book.txt").write_text("Once upon a time there was a book with few words in it.\n" * 200)
    ran = 0
    for line in commands():
        if "build/microrwkv" in line:
            execute(["sh", "-c", quick(line)], folder=folder).expect(0)
            ran += 1
    assert ran >= 8


def test_plain_meson_line_configures(folder):
    assert "meson setup build && ninja -C build" in (SOURCE / "README.md").read_text()
    execute(["meson", "setup", folder / "build", SOURCE, "-Dtests=false"]).expect(0)
    assert BUILD.exists()


main()
