# SPDX-License-Identifier: GPL-3.0-or-later
"""The installed library: headers, symbols, pkg-config, and the examples built against it."""
import os
import re
import sys

import tiny
from harness import BUILD, SOURCE, Skip, execute, main, run


def install(folder):
    """Installs below the folder of the first check that asks; (root, environment for pkg-config and the loader)."""
    root = folder / "somewhere else"
    execute(["meson", "install", "-C", BUILD, "--no-rebuild", "--destdir", root]).expect(0)
    packages = next(root.rglob("microrwkv.pc")).parent
    libraries = next(root.rglob("libmicrorwkv.so")).parent
    return root, {"PKG_CONFIG_PATH": packages, "LD_LIBRARY_PATH": libraries}


def declared():
    """The functions that the public headers declare."""
    text = "".join(p.read_text() for p in (SOURCE / "include" / "microrwkv").glob("*.h"))
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    return set(re.findall(r"^[\w\s*]*?\b(mr_\w+)\([^;{]*\);", text, re.M))


def test_install_brings_headers_libraries_and_program(folder):
    root, _ = install(folder)
    for name in ("microrwkv.h", "error.h", "libmicrorwkv.so", "libmicrorwkv.so.0", "microrwkv.pc", "bin/microrwkv"):
        assert list(root.rglob(name)), name


def test_only_public_functions_are_visible(folder):
    root, _ = install(folder)
    table = execute(["nm", "-D", "--defined-only", next(root.rglob("libmicrorwkv.so"))]).expect(0).text()
    visible = {line.split()[-1].split("@")[0] for line in table.splitlines()}
    assert visible == declared(), visible ^ declared()


def test_every_public_function_is_documented(folder):
    for header in (SOURCE / "include" / "microrwkv").glob("*.h"):
        blocks = re.split(r"\n\s*\n", header.read_text())
        for block in blocks:
            for name in re.findall(r"^\w[\w\s*]*?\b(mr_\w+)\([^;{]*\);", re.sub(r"/\*.*?\*/", "", block, flags=re.S), re.M):
                assert "/*" in block, f"{header.name}: {name}"


def test_headers_serve_cpp(folder):
    (folder / "a.cc").write_text("#include <microrwkv/microrwkv.h>\nint main() { return mr_version() == nullptr; }\n")
    if execute(["sh", "-c", "command -v c++"]).status:
        raise Skip("no C++ compiler")
    execute(["c++", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I", SOURCE / "include", folder / "a.cc"]).expect(0)


def build_example(folder, name):
    """The example, built as its first lines say; environment to run it."""
    root, environment = install(folder)
    flags = execute(["pkg-config", "--cflags", "--libs", "microrwkv"], environment=environment).expect(0).text().strip()
    execute(["sh", "-c", f"{os.environ.get('CC', 'cc')} -std=c11 -Wall -Wextra -Werror '{SOURCE}/examples/{name}.c' {flags} -o {name}"],
            folder=folder).expect(0)
    return environment


def test_example_tells_what_generate_tells(folder):
    environment = build_example(folder, "tell")
    execute([folder / "tell", "no-such-model.mrw"], environment=environment).expect(1, err="tell: .*no-such-model.mrw")
    out = execute([folder / "tell", tiny.model(), "The cat"], environment=environment).expect(0).out
    assert out == run("generate", tiny.model(), "--prompt", "The cat", "--max-tokens", 300).expect(0).out


def test_example_in_python_tells_the_same(folder):
    _, environment = install(folder)
    example = [sys.executable, SOURCE / "examples" / "tell.py"]
    execute([*example, "no-such-model.mrw"], environment=environment).expect(1, err="tell.py: .*no-such-model.mrw")
    out = execute([*example, tiny.model(), "The cat"], environment=environment).expect(0).out
    assert out == run("generate", tiny.model(), "--prompt", "The cat", "--max-tokens", 300).expect(0).out


def test_example_continues_many_at_once(folder):
    environment = build_example(folder, "many")
    model = folder / "model.mrw"
    run("new", "rwkv4-169m", "n_layer=2", "n_embd=32", "vocab_size=257", "--tokenizer", "byte", "--out", model).expect(0)
    out = execute([folder / "many", model], environment=environment).expect(0).out
    prompts = re.findall(r'"([^"\n]+)"', (SOURCE / "examples" / "many.c").read_text().split("prompts[TEXTS] =")[1].split(";")[0])
    (folder / "prompts").write_text("\n".join(prompts))
    assert len(prompts) == 8
    assert out == run("generate", model, "--prompts", folder / "prompts", "--max-tokens", 100).expect(0).out


def test_example_learns_and_tells(folder):
    environment = build_example(folder, "learn")
    (folder / "book.txt").write_text(tiny.TEXT)
    few = ["max_iters=4", "eval_interval=2", "eval_iters=1", "batch_size=2", *tiny.MODEL]
    out = execute([folder / "learn", "book.txt", "learned", *few], folder=folder, environment=environment)
    out.expect(0, out=r"\AThe cat ", err=r"^iteration 4: train loss \d")
    assert len(out.text()) == len("The cat ") + 200 + 1 and (folder / "learned" / "run" / "ckpt.mrw").exists()
    execute([folder / "learn", "none.txt", "learned2"], folder=folder, environment=environment).expect(1, err="learn: .*none.txt")


main()
