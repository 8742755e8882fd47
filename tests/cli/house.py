# SPDX-License-Identifier: GPL-3.0-or-later
"""The project's folders: what tools/check.py looks at, ./run, the README's commands."""
import re
import sys

from harness import SOURCE, Skip, execute, main

sys.path.insert(0, str(SOURCE / "tools"))
import check  # noqa: E402 (needs the path above)


def no_complaints(checker):
    complaints = list(checker())
    assert not complaints, "\n".join(complaints)


def need_git():
    if execute(["git", "rev-parse"], folder=SOURCE).status:
        raise Skip("not a git working tree")


def test_every_source_names_its_licence(folder):
    need_git()
    no_complaints(check.check_licence_lines)


def test_includes_follow_the_arrows(folder):
    need_git()
    no_complaints(check.check_arrows)


def test_files_and_functions_are_short(folder):
    need_git()
    no_complaints(check.check_lengths)


def test_functions_with_many_parameters_take_a_struct(folder):
    need_git()
    no_complaints(check.check_parameters)


def test_parameters_are_counted(folder):
    text = "int f(int a, void (*g)(int, int), int c);\nstatic void h(void)\n{\n"
    assert list(check.parameters(text)) == [("f", 3), ("h", 1)]


def test_kernels_have_ops_references_and_tests(folder):
    need_git()
    no_complaints(check.check_namesakes)


def test_headers_compile_alone(folder):
    need_git()
    no_complaints(check.check_headers)


def test_run_without_a_command_explains_itself(folder):
    execute([SOURCE / "run"]).expect(2, err=r"^usage: \./run")
    execute([SOURCE / "run", "--help"]).expect(0, out=r"^usage: \./run")


def test_run_refuses_unknown_commands(folder):
    execute([SOURCE / "run", "biuld"]).expect(2, err=r"^usage: \./run")


def test_run_is_short(folder):
    assert len((SOURCE / "run").read_text().splitlines()) < 150


def test_run_tells_others_than_root_the_one_command(folder):
    """With a package manager, but without any of the programs, and not as root."""
    tools = {"apt-get": "exit 9", "id": "echo 1000", "python3": "exit 1", "pkg-config": "exit 1", "cc": "exit 1"}
    for name, body in tools.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    for name in ("sh", "dirname", "tr", "cat", "printf"):
        (folder / name).symlink_to(execute(["sh", "-c", f"command -v {name}"]).text().strip())
    result = execute([SOURCE / "run", "build"], environment={"PATH": folder, "MICRORWKV_BUILD": folder / "build"})
    result.expect(1, out=r"^    sudo apt-get update -q && sudo apt-get install -y --no-install-recommends gcc .*pocl-opencl-icd")
    assert not (folder / "build").exists()


def test_readme_shows_the_two_commands_first(folder):
    first_screen = "\n".join((SOURCE / "README.md").read_text().splitlines()[:40])
    for piece in ("./run demo", "./run test", "docs/loss.svg"):
        assert piece in first_screen, piece


def test_readme_links_lead_somewhere(folder):
    for target in re.findall(r"\]\(([^)#:]+)\)", (SOURCE / "README.md").read_text()):
        assert (SOURCE / target).exists(), target


main()
