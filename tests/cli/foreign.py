# SPDX-License-Identifier: GPL-3.0-or-later
"""Files as other programs write them: read as what they are, or named."""
import collections
import datetime
import decimal
import io
import json
import os
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import tiny
from harness import PROGRAM, execute, main, run

TOKENS = "1,2,3,39,5,0"
RWKV = ["n_layer=2", "n_embd=64", "vocab_size=40", "head_size=16"]


def make(out, name, *arguments):
    run("new", name, *arguments, "--seed", 5, "--out", out).expect(0)
    return out


def gpt2(out, *arguments):
    return make(out, "gpt2", "n_layer=2", "n_embd=32", "n_head=4", "vocab_size=40", "block_size=24", *arguments)


def logits(model, folder, *arguments):
    run("logits", model, "--tokens", TOKENS, "--out", folder / "l.safetensors", *arguments).expect(0)
    return tiny.read_safetensors(folder / "l.safetensors")["logits"][1]


def read(path):
    """{name: [shape, numbers]} of any model, as f32."""
    run("convert", path, path.parent / "read.safetensors", "--dtype", "f32").expect(0)
    return {n: [list(s), x] for n, (s, x) in tiny.read_safetensors(path.parent / "read.safetensors").items()}


def write(path, tensors):
    path.parent.mkdir(exist_ok=True)
    tiny.write_safetensors(path, {n: ("F32", *t) for n, t in tensors.items()})
    return path


def transposed(shape, numbers):
    """The last two dimensions swapped."""
    rows, columns = shape[-2:]
    size = rows * columns
    out = [numbers[m + r * columns + c] for m in range(0, len(numbers), size) for c in range(columns) for r in range(rows)]
    return [*shape[:-2], columns, rows], out


def converted_to_st(tensors):
    """What the converters of .pth to .st do."""
    flipped = ("time_mix_w1", "time_mix_w2", "time_decay_w1", "time_decay_w2", ".w1", ".w2", ".a1", ".a2", ".g1", ".g2",
               ".v1", ".v2")
    out = {}
    for name, tensor in tensors.items():
        name = name.replace("time_faaaa", "time_first").replace("time_maa", "time_mix").lower()
        out[name] = transposed(*tensor) if any(name.endswith(f) for f in flipped) else tensor
    return out


def test_st_files_give_the_logits_of_the_pth(folder):
    for name in ("rwkv4", "rwkv5", "rwkv6", "rwkv7"):
        model = make(folder / f"{name}.pth", name, *(RWKV if name != "rwkv4" else RWKV[:3]))
        st = write(folder / f"{name}.st", converted_to_st(read(model)))
        assert logits(st, folder) == logits(model, folder), name
        info = run("info", st, "--json").expect(0).json()[0]
        assert info["family"] == name, info


def test_st_files_are_written_as_their_converters_do(folder):
    tiny.TYPES["F16"] = "H"
    for name in ("rwkv4", "rwkv5", "rwkv6", "rwkv7"):
        model = make(folder / f"{name}.pth", name, *(RWKV if name != "rwkv4" else RWKV[:3]))
        run("convert", model, folder / f"{name}.st").expect(0)
        wanted = converted_to_st(read(model))
        raw = (folder / f"{name}.st").read_bytes()
        header = json.loads(raw[8:8 + struct.unpack("<Q", raw[:8])[0]])
        assert header.pop("__metadata__") == {"format": "pt"}
        assert {n: e["shape"] for n, e in header.items()} == {n: list(t[0]) for n, t in wanted.items()}
        assert {e["dtype"] for e in header.values()} == {"F16"}
        assert tiny.largest_difference(logits(folder / f"{name}.st", folder), logits(model, folder)) < 1e-2


def test_hugging_face_rwkv6_as_published(folder):
    """Names, shards and config.json of the RWKV/v6-Finch models."""
    hf = folder / "hf"
    tensors = read(make(folder / "a.pth", "rwkv6", *RWKV))
    renamed = {}
    for name, tensor in tensors.items():
        for a, b in (("emb.", "rwkv.embeddings."), ("blocks.", "rwkv.blocks."), (".att.", ".attention."),
                     (".ffn.", ".feed_forward."), (".ln0.", ".pre_ln."), ("ln_out.", "rwkv.ln_out.")):
            name = name.replace(a, b)
        renamed[name] = tensor
    names, size = sorted(renamed), sum(4 * len(numbers) for _, numbers in renamed.values())
    shards = {f"model-0000{i + 1}-of-00002.safetensors": names[i::2] for i in range(2)}
    for shard, some in shards.items():
        write(hf / shard, {n: renamed[n] for n in some})
    (hf / "model.safetensors.index.json").write_text(json.dumps(
        {"metadata": {"total_size": size}, "weight_map": {n: s for s, some in shards.items() for n in some}}))
    (hf / "config.json").write_text(json.dumps({
        "architectures": ["Rwkv6ForCausalLM"], "attention_hidden_size": 64, "bos_token_id": 0, "eos_token_id": 0,
        "auto_map": {"AutoConfig": "configuration_rwkv6.Rwkv6Config"}, "head_size": 16, "head_size_divisor": 8,
        "hidden_size": 64, "intermediate_size": None, "layer_norm_epsilon": 1e-05, "model_type": "rwkv6",
        "num_attention_heads": 16, "num_hidden_layers": 2, "rescale_every": 6, "tie_word_embeddings": False,
        "transformers_version": "4.34.0", "use_cache": True, "vocab_size": 40}))
    result = run("info", hf, "--json").expect(0)
    assert b"warning" not in result.err, result.err
    assert logits(hf, folder) == logits(folder / "a.pth", folder)


def test_prefixes_of_any_program(folder):
    model = gpt2(folder / "a.safetensors")
    tensors = read(model)
    for prefix in ("_forward_module.", "_forward_module.model.", "base_model.model.", "net.0."):
        write(folder / "b.safetensors", {prefix + n: t for n, t in tensors.items()})
        assert logits(folder / "b.safetensors", folder, "--config", "n_head=4") == logits(model, folder), prefix


def test_config_json_with_the_names_of_others(folder):
    model = gpt2(folder / "a.safetensors", "gelu=tanh")
    run("convert", model, folder / "hf").expect(0)
    (folder / "hf" / "config.json").write_text(json.dumps(
        {"model_type": "gpt2", "num_attention_heads": 4, "num_hidden_layers": 2, "hidden_size": 32, "vocab_size": 40,
         "max_position_embeddings": 24, "hidden_act": "gelu_new", "layer_norm_eps": 1e-5, "rotary_dim": 8}))
    assert logits(folder / "hf", folder) == logits(model, folder)
    run("info", folder / "hf").expect(0, err="1 unknown keys are ignored: rotary_dim$")


def test_tanh_gelu_comes_back_from_nanogpt_files(folder):
    model = gpt2(folder / "a.safetensors", "gelu=tanh")
    run("convert", model, folder / "b.pt").expect(0)
    assert run("info", folder / "b.pt", "--json").expect(0).json()[0]["config"]["gelu"] == "tanh"
    assert logits(folder / "b.pt", folder) == logits(model, folder)


def fake(name, **members):
    """A class or function as the program that wrote the file had it."""
    module, _, last = name.rpartition(".")
    here = sys.modules.setdefault(module, types.ModuleType(module))
    thing = members.pop("function", None) or type(last, (members.pop("base", object),), members)
    thing.__module__, thing.__qualname__, thing.__name__ = module, last, last
    setattr(here, last, thing)
    return thing


class Tensor:
    def __init__(self, key, shape, subclass=False):
        self.key, self.shape, self.subclass = key, shape, subclass

    def __reduce__(self):
        strides = [1]
        for n in reversed(self.shape[1:]):
            strides.insert(0, strides[0] * n)
        arguments = (Storage(self.key, self.shape), 0, tuple(self.shape), tuple(strides), False, collections.OrderedDict())
        if self.subclass:
            return REBUILD_TYPE, (REBUILD, SUBCLASS, arguments, {})
        return REBUILD, arguments


class Storage:
    def __init__(self, key, shape):
        self.key, self.count = key, 1
        for n in shape:
            self.count *= n


REBUILD = fake("torch._utils._rebuild_tensor_v2", function=lambda *a: None)
REBUILD_TYPE = fake("torch._tensor._rebuild_from_type_v2", function=lambda *a: None)
SUBCLASS = fake("mylib.MyParameter")
FLOATS = fake("torch.FloatStorage")


class Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        if isinstance(thing, Storage):
            return "storage", FLOATS, thing.key, "cpu", thing.count
        return None


def save(path, tensors, wrap, subclass=False, protocol=2):
    """A file as torch.save writes it, of what wrap makes of the dictionary of tensors."""
    stream = io.BytesIO()
    state = collections.OrderedDict((n, Tensor(str(i), t[0], subclass)) for i, (n, t) in enumerate(tensors.items()))
    Pickler(stream, protocol).dump(wrap(state))
    with zipfile.ZipFile(path, "w") as z:
        z.writestr("archive/data.pkl", stream.getvalue())
        for i, (_, numbers) in enumerate(tensors.values()):
            z.writestr(f"archive/data/{i}", numbers.tobytes())
    return path


def with_members(cls, **members):
    thing = object.__new__(cls)
    thing.__dict__.update(members)
    return thing


def test_objects_beside_the_weights_do_not_stop_them(folder):
    model = make(folder / "a.safetensors", "rwkv4", *RWKV[:3])
    tensors, want = read(model), logits(model, folder)
    namespace = with_members(fake("argparse.Namespace2"), lr=0.1, nested=with_members(fake("my.Config"), n=3))
    slots = fake("my.Slots", __slots__=("a",))()
    slots.a = 1
    others = {
        "namespace": namespace, "slots": slots, "path": pathlib.PurePosixPath("/tmp/x"), "set": {1, 2},
        "frozen": frozenset("ab"), "complex": 1j, "range": range(3), "class": collections.OrderedDict,
        "function": fake("my.functions.step", function=lambda: None), "date": datetime.datetime(2020, 1, 1),
        "counter": collections.Counter("aab"), "default": collections.defaultdict(list, {"k": [1]}),
        "deque": collections.deque([1, 2]), "keys": {(1, 2): 3, b"x": 4}, "list": fake("my.List", base=list)([1, 2]),
        "bytes": b"xyz", "decimal": decimal.Decimal("1.5"), "surrogate": "a\ud800",
    }
    for protocol in (2, 3, 4, 5):
        for name, thing in others.items():
            if name == "surrogate" and protocol < 2:
                continue
            save(folder / "b.pth", tensors, lambda state: {"other": thing, "state_dict": state, "after": [thing, thing]},
                 protocol=protocol)
            assert logits(folder / "b.pth", folder) == want, (name, protocol)
    result = run("info", save(folder / "b.pth", tensors, lambda s: {"state_dict": s, "p": others["path"]}))
    result.expect(0, err=r"left out, and nothing was run: pathlib\.PurePosixPath")


def test_numpy_scalars_beside_the_weights_are_numbers(folder):
    dtype = fake("numpy.dtype", __init__=lambda self, *a: None,
                 __reduce__=lambda self: (sys.modules["numpy"].dtype, ("f8", False, True), (3, "<", None, None, None, -1, -1, 0)))
    scalar = fake("numpy.core.multiarray.scalar", function=lambda *a: None)
    number = type("Scalar", (), {"__reduce__": lambda self: (scalar, (dtype(), struct.pack("<d", 1.25)))})
    model = gpt2(folder / "a.safetensors")
    arguments = {"n_layer": 2, "n_head": 4, "n_embd": 32, "block_size": 24, "bias": True, "vocab_size": 40, "dropout": 0.0}
    for protocol in (2, 4):
        save(folder / "b.pt", read(model), lambda s: {"model": s, "model_args": arguments, "iter_num": 7, "loss": number()},
             protocol=protocol)
        assert logits(folder / "b.pt", folder) == logits(model, folder)
        run("convert", folder / "b.pt", folder / "c.mrw").expect(0)
        run("convert", folder / "c.mrw", folder / "d.pt").expect(0)
        with zipfile.ZipFile(folder / "d.pt") as z:
            name = next(n for n in z.namelist() if n.endswith("data.pkl"))
            assert struct.pack(">d", 1.25) in z.read(name)


def test_configurations_that_are_objects_are_read(folder):
    model = gpt2(folder / "a.safetensors")
    config = with_members(fake("model.GPTConfig"), n_layer=2, n_head=4, n_embd=32, block_size=24, bias=True, vocab_size=40,
                          dropout=0.0)
    save(folder / "b.pt", read(model), lambda s: {"model": s, "model_args": config})
    assert logits(folder / "b.pt", folder) == logits(model, folder)


def test_whole_modules_are_read(folder):
    """torch.save(model, path)"""
    model = make(folder / "a.safetensors", "rwkv4", *RWKV[:3])
    module = fake("my.model.Module")

    def tree(state):
        root = with_members(module, training=True, _parameters={}, _buffers={}, _modules={}, args=with_members(module, n=1))
        for name, tensor in state.items():
            at, *path, last = [root, *name.split(".")]
            for part in path:
                at = at._modules.setdefault(part, with_members(module, training=True, _parameters={}, _modules={}))
            at._parameters[last] = tensor
        return root

    save(folder / "b.pth", read(model), tree)
    assert logits(folder / "b.pth", folder) == logits(model, folder)


def test_tensors_of_a_subclass_are_tensors(folder):
    model = make(folder / "a.safetensors", "rwkv4", *RWKV[:3])
    save(folder / "b.pth", read(model), lambda state: state, subclass=True)
    assert logits(folder / "b.pth", folder) == logits(model, folder)


def test_attacks_are_refused(folder):
    model = make(folder / "a.safetensors", "rwkv4", *RWKV[:3])
    attack = type("Attack", (), {"__reduce__": lambda self: (os.system, ("touch /tmp/attacked",))})
    save(folder / "b.pth", read(model), lambda state: {"state_dict": state, "x": attack()})
    run("info", folder / "b.pth").expect(1, err="asks for 'posix.system', which no model needs; refused, nothing was run")


def test_files_that_are_no_models_are_named(folder):
    files = {"pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n", "Git LFS pointer"),
             "page": (b"<!DOCTYPE html><html><body>Not found</body></html>", "HTML page"),
             "parquet": (b"PAR1" + bytes(24), "Parquet"),
             "7z": (b"7z\xbc\xaf\x27\x1c" + bytes(24), "7z archive"), "gzip": (b"\x1f\x8b\x08" + bytes(24), "gzip"),
             "tar": (b"a" * 257 + b"ustar\0" + bytes(99), "tar archive"), "hdf5": (b"\x89HDF\r\n\x1a\n" + bytes(9), "HDF5"),
             "xml": (b"<?xml version='1.0'?>\n<Error><Code>AccessDenied</Code></Error>", "XML error from a server")}
    for name, (content, kind) in files.items():
        for ending in ("safetensors", "pth", "bin", "mrw"):
            path = folder / f"{name}.{ending}"
            path.write_bytes(content)
            run("info", path).expect(1, err=f"{name}.{ending}.*{kind}")


def test_pointers_in_the_place_of_shards_and_configs_are_named(folder):
    model = gpt2(folder / "a.safetensors")
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n"
    run("convert", model, folder / "hf").expect(0)
    (folder / "hf" / "config.json").write_bytes(pointer)
    run("info", folder / "hf").expect(1, err="config.json.*Git LFS pointer")
    (folder / "s").mkdir()
    (folder / "s" / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"transformer.wte.weight": "model-1.safetensors"}}))
    (folder / "s" / "model-1.safetensors").write_bytes(pointer)
    run("info", folder / "s").expect(1, err="model-1.safetensors.*Git LFS pointer")


def test_a_folder_never_mixes_two_models(folder):
    first, second = gpt2(folder / "a.safetensors"), make(folder / "b.pth", "rwkv6", *RWKV)
    hf = folder / "hf"
    run("convert", first, hf).expect(0)
    (hf / "vocab.json").write_text("{}")
    (hf / "merges.txt").write_text("")
    (hf / "README.md").write_text("mine")
    run("convert", second, hf).expect(0)
    assert logits(hf, folder) == logits(second, folder)
    assert (hf / "README.md").read_text() == "mine" and not list(hf.glob(".tmp*"))
    (hf / "config.json").unlink()
    (hf / "config.json").mkdir()  # which cannot be replaced: as if stopped there
    run("convert", first, hf).expect(1, err="config.json cannot be moved into place")
    run("info", hf).expect(1, err="holds no model")
    rest = next(hf.glob(".tmp*"))
    assert logits(rest, folder) == logits(first, folder)


def test_a_new_tokenizer_leaves_no_files_of_an_old_one(folder):
    world = folder / "world.txt"
    world.write_text("".join(f"{i + 1} {bytes([i])!r} 1\n" for i in range(256)))
    hf = folder / "hf"
    hf.mkdir()
    for name in ("vocab.json", "merges.txt", "added_tokens.json"):
        (hf / name).write_text("{}")
    model = make(folder / "b.pth", "rwkv6", *RWKV[:2], "vocab_size=257", RWKV[3])
    run("convert", model, hf, "--tokenizer", f"world:{world}").expect(0)
    assert sorted(p.name for p in hf.iterdir()) == ["config.json", "model.safetensors", "rwkv_vocab_v20230424.txt"]


def test_an_unreadable_folder_is_not_an_empty_one(folder):
    (folder / "hf").mkdir()
    run("info", folder / "hf").expect(1, err="holds no model")
    gpt2(folder / "hf" / "model.safetensors")
    (folder / "hf").chmod(0)
    drop = ["setpriv", "--reuid=65534", "--clear-groups", "--no-new-privs"] if os.getuid() == 0 else []
    folder.chmod(0o755)
    try:
        execute([*drop, PROGRAM, "info", folder / "hf"]).expect(1, err="hf cannot be read: Permission denied")
    finally:
        (folder / "hf").chmod(0o755)


def test_what_a_pickle_asks_for_is_listed(folder):
    from harness import SOURCE
    listed = {g["name"]: (g["use"], g["count"]) for g in
              run("info", "--list-globals", SOURCE / "tests/golden/old.pt").expect(0).json()[0]["globals"]}
    assert listed["torch._utils._rebuild_tensor_v2"][0] == "tensor" and listed["argparse.Namespace"] == ("left out", 1)
    assert listed["collections.OrderedDict"][0] == "data", listed
    (folder / "bad.pkl").write_bytes(b"cposix\nsystem\n(Vtouch pwned\ntR.")
    run("info", "--list-globals", folder / "bad.pkl", "--text", folder=folder).expect(0, out=r"^refused +posix\.system$")
    assert not (folder / "pwned").exists()


def test_globals_of_what_is_no_pickle(folder):
    make(folder / "a.safetensors", "rwkv6", *RWKV)
    (folder / "page.pth").write_text("<!DOCTYPE html><html>not found</html>")
    (folder / "empty.pth").write_text("")
    for name in ("a.safetensors", "page.pth", "empty.pth"):
        run("info", "--list-globals", folder / name).expect(1, err=f"{name} is neither a torch file nor a pickle")
    run("info", "--list-globals", folder / "page.pth").expect(1, err="HTML page")
    (folder / "cut.pkl").write_bytes(b"\x80\x02}q\x00X")
    run("info", "--list-globals", folder / "cut.pkl").expect(1, err="cut.pkl.*pickle")


main()
