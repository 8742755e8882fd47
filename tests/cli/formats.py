# SPDX-License-Identifier: GPL-3.0-or-later
"""Every layout of files, every family and every number format: written, read again and converted back.

docs/formats.md is made of what is found here and of docs/peers.json (tools/peers.py): to write it:
    MICRORWKV_TEST_SOURCE=$PWD MICRORWKV_TEST_BUILD=$PWD/build python3 tests/cli/formats.py --write
"""
import json
import random
import re
import sys

import tiny
from harness import SOURCE, main, run

PAGE = SOURCE / "docs" / "formats.md"
PEERS = SOURCE / "docs" / "peers.json"
RWKV = ["n_layer=2", "n_embd=64", "head_size=32", "vocab_size=96"]
FAMILIES = {
    "microrwkv": ["microrwkv", "n_layer=2", "n_embd=64", "n_head=2", "vocab_size=96", "block_size=64"],
    "nanorwkv": ["nanorwkv", "n_layer=2", "n_embd=64", "n_head=2", "vocab_size=96", "block_size=64"],
    "gpt2": ["gpt2", "n_layer=2", "n_embd=64", "n_head=2", "vocab_size=96", "block_size=64"],
    "opt": ["opt", "n_layer=2", "n_embd=64", "n_head=2", "vocab_size=96", "block_size=64"],
    "gptneo": ["gptneo", "n_layer=2", "n_embd=64", "n_head=2", "vocab_size=96", "block_size=64", "window=5"],
    "gptneox": ["gptneox", "n_layer=2", "n_embd=64", "n_head=2", "vocab_size=96", "block_size=64"],
    "rwkv4": ["rwkv4", "n_layer=2", "n_embd=64", "vocab_size=96"],
    "rwkv5 (5.1)": ["rwkv5", *RWKV, "rwkv51=True"],
    "rwkv5 (5.2)": ["rwkv5", *RWKV],
    "rwkv6": ["rwkv6", *RWKV],
    "rwkv7": ["rwkv7", *RWKV],
}
ENDINGS = {"mrw": ".mrw", "safetensors": ".safetensors", "hf": "-hf", "rwkv": ".pth", "nanogpt": ".pt", "bin": ".bin", "st": ".st",
           "gguf": ".gguf", "fla": "-fla"}
DTYPES = ["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"]
NONE = "—"


def listed(text, start):
    """What the program lists behind `start`."""
    return re.search(re.escape(start) + r" ([\w, -]+)", text)[1].split(", ")


def layouts():
    return listed(run("convert", "a", "b", "--to", "x").expect(2).err.decode(), "it is one of")


def families():
    return listed(run("train", "family=x").expect(2).err.decode(), "it must be one of")


def make(folder, family):
    """Random weights of which every part is seen in the logits."""
    path = folder / (re.sub(r"\W+", "", family) + ".safetensors")
    run("new", *FAMILIES[family], "--seed", 5, "--out", path).expect(0)
    noise = random.Random(1)
    tensors = {n: ("F32", s, [v + 0.05 * noise.gauss(0, 1) for v in x]) for n, (s, x) in sorted(tiny.read_safetensors(path).items())}
    config = run("info", path).expect(0).json()[0]["config"]
    tiny.write_safetensors(path, tensors)
    return path, [word for key, value in config.items() for word in ("--config", f"{key}={value}")]


def convert(source, out, *arguments):
    """Whether the layout is one for the model."""
    result = run("convert", source, out, *arguments)
    if result.status == 2 and re.search(b"has no names for|cannot hold", result.err):
        return False
    result.expect(0)
    return True


def difference(a, b):
    """The largest difference of tensors, relative to the largest number of their tensor; those that block 0 of RWKV-7 does
    not use are left out."""
    first, second = (tiny.read_safetensors(path) for path in (a, b))
    largest = 0
    for name, (shape, numbers) in first.items():
        if re.search(r"blocks\.0\.att\.v[012]$", name):
            continue
        assert second[name][0] == shape, name
        if second[name][1] != numbers:
            largest = max(largest, tiny.largest_difference(second[name][1], numbers))
    assert first.keys() == second.keys() or {n for n in first.keys() ^ second.keys()} <= {f"blocks.0.att.v{i}" for i in range(3)}
    return largest


def cell(folder, source, options, layout):
    """(difference of logits after writing and reading, difference of the weights after converting back) or None"""
    out = folder / f"{source.stem}{ENDINGS[layout]}"
    if not convert(source, out, "--to", layout, "--dtype", "f32", *options):
        return None
    there = run("compare", source, out, "--json", "--tolerance", 1, *options).expect(0).json()[0]["relative"]
    convert(out, folder / "back.safetensors")
    return there, difference(source, folder / "back.safetensors")


def matrix(folder):
    cells = {}
    for family in FAMILIES:
        source, options = make(folder, family)
        for layout in layouts():
            cells[family, layout] = cell(folder, source, options, layout)
    return cells


def number_formats(folder):
    cells = {}
    for layout in layouts():
        source, options = make(folder, next(f for f in ("rwkv6", "rwkv7", "gpt2") if (f, layout) not in REFUSED))
        for dtype in DTYPES:
            out = folder / f"n{ENDINGS[layout]}"
            held = convert(source, out, "--to", layout, "--dtype", dtype, *options)
            cells[layout, dtype] = held and run("compare", source, out, "--json", "--tolerance", 9, *options).expect(0).json()[0]["relative"]
    return cells


REFUSED = {("rwkv6", "nanogpt"), ("rwkv7", "nanogpt"), ("rwkv6", "fla")}


def shown(x):
    return "exact" if x == 0 else f"{x:.0e}".replace("e-0", "e-")


def table(heads, rows):
    return "\n".join("| " + " | ".join(row) + " |" for row in [heads, ["---"] * len(heads), *rows])


def shown_cell(found):
    if not found:
        return NONE
    return "exact" if found == (0, 0) else f"{shown(found[0])}, {shown(found[1])}"


def tables(folder):
    cells, numbers, columns = matrix(folder), number_formats(folder), layouts()
    return (table(["family", *columns], [[f, *(shown_cell(cells[f, c]) for c in columns)] for f in FAMILIES]),
            table(["layout", *DTYPES], [[c, *(shown(numbers[c, d]) if numbers[c, d] is not False else NONE for d in DTYPES)]
                                        for c in columns]))


def peers_table():
    peers = json.loads(PEERS.read_text())
    return table(["layout", "family", "direction", "peer", "compared", "largest difference"],
                 [[p["layout"], p["family"], p["direction"], p["peer"], p["compared"], shown(p["difference"])] for p in peers])


def write(folder):
    first, second = tables(folder)
    text = PAGE.read_text()
    for name, content in (("families", first), ("numbers", second), ("peers", peers_table())):
        text = re.sub(rf"(<!-- {name} -->\n).*?(<!-- end -->)", lambda m: f"{m[1]}{content}\n{m[2]}", text, flags=re.S)
    PAGE.write_text(text)


def read_tables():
    """{name: {(row, column): cell}} of the page."""
    found = {}
    for name, body in re.findall(r"<!-- (\w+) -->\n(.*?)\n<!-- end -->", PAGE.read_text(), re.S):
        rows = [[c.strip() for c in line.strip("|").split("|")] for line in body.splitlines()]
        found[name] = {(row[0], head): c for row in rows[2:] for head, c in zip(rows[0][1:], row[1:])}
    return found


def agrees(measured, said, least=0):
    """The same refusals and exact copies; other differences at most three times those of the page, or `least`."""
    numbers = lambda text: [0 if t == "exact" else float(t) for t in text.split(", ")]
    if NONE in (measured, said):
        return measured == said
    wanted, got = numbers(said), numbers(measured)
    return all(g <= max(3 * w, least) for g, w in zip(got * 2 if len(got) == 1 else got, wanted * 2 if len(wanted) == 1 else wanted))


def test_the_page_names_every_layout_and_family(folder):
    cells = read_tables()["families"]
    assert {column for _, column in cells} == set(layouts()) == set(ENDINGS)
    assert {row for row, _ in cells} == set(FAMILIES) and {row.split()[0] for row, _ in cells} == set(families())
    numbers = read_tables()["numbers"]
    assert {row for row, _ in numbers} == set(layouts()) and {column for _, column in numbers} == set(DTYPES)


def test_conversions_lose_what_the_page_says(folder):
    said = read_tables()["families"]
    least = {"bin": 3e-6}  # exponentials and logarithms differ between C libraries
    wrong = {k: (shown_cell(c), said[k]) for k, c in matrix(folder).items() if not agrees(shown_cell(c), said[k], least.get(k[1], 0))}
    assert not wrong, wrong


def test_number_formats_lose_what_the_page_says(folder):
    said = read_tables()["numbers"]
    wrong = {k: (x, said[k]) for k, x in number_formats(folder).items() if not agrees(NONE if x is False else shown(x), said[k])}
    assert not wrong, wrong


def test_the_page_holds_what_peers_said(folder):
    assert peers_table() in PAGE.read_text(), "run tests/cli/formats.py --write"


if sys.argv[1:] == ["--write"]:
    import pathlib
    import tempfile
    with tempfile.TemporaryDirectory() as name:
        write(pathlib.Path(name))
else:
    main()
