# SPDX-License-Identifier: GPL-3.0-or-later
"""bench and tune: keys and consistency of their results; never the times themselves."""
import json
import os
import pathlib
import re
import signal
import subprocess
import time

import tiny
from harness import PROGRAM, Skip, execute, main, run

SMALL = "n_layer=2:n_embd=32:vocab_size=40:n_head=2"
RNN, GPT2, MICRO = f"rwkv4-169m:{SMALL[:-9]}", f"gpt2:{SMALL}", f"microrwkv:{SMALL}:expert_dim=8:groups=2:window=8"
TOKEN = {"model", "parameters", "device", "precision", "token", "wall_ms", "device_ms", "device_bytes", "resident_bytes"}
SUMMARY = {"model", "parameters", "device", "precision", "first_token_ms", "median_ms", "p99_ms", "slope_ms_per_1000", "total_s",
           "peak_device_bytes", "resident_bytes"}


def latency(*arguments, **options):
    """The token lines and the summaries."""
    lines = run("bench", "latency", *arguments, **options).expect(0).json()
    return [line for line in lines if not line.get("summary")], [line for line in lines if line.get("summary")]


def test_limits(folder):
    lines = run("bench", "limits", "--seconds", "0.02", "--json").expect(0).json()
    assert len(lines) == 1 and {"device", "gflops", "gb_per_s"} <= set(lines[0])
    best = [max(part[key] for part in (lines[0]["opencl"], lines[0]["plain_c"] or lines[0]["opencl"])) for key in ("gflops", "gb_per_s")]
    assert best == [lines[0]["gflops"], lines[0]["gb_per_s"]] and min(best) > 0.1


def test_devices_are_chosen(folder):
    devices = run("devices", "--json").expect(0).json()
    lines = run("bench", "limits", "--seconds", "0", "--devices", "all").expect(0).json()
    assert [line["device"] for line in lines] == [device["name"] for device in devices]
    lines = run("bench", "limits", "--seconds", "0", "--devices", f"{devices[0]['index']},{devices[0]['name']}").expect(0).json()
    assert lines[0]["device"] == devices[0]["name"]
    run("bench", "limits", "--devices", "no-such-device").expect(77, err="no-such-device")


def test_latency_of_every_token(folder):
    tokens, summaries = latency("--models", f"{GPT2},{MICRO}", "--tokens", 20, "--precision", "f32")
    assert len(tokens) == 40 and len(summaries) == 2
    for summary in summaries:
        own = [line for line in tokens if line["model"] == summary["model"]]
        assert [line["token"] for line in own] == list(range(1, 21)) and all(TOKEN <= set(line) for line in own)
        assert SUMMARY <= set(summary) and summary["first_token_ms"] == own[0]["wall_ms"]
        assert abs(summary["total_s"] - sum(line["wall_ms"] for line in own) / 1e3) < 1e-9
        assert min(line["wall_ms"] for line in own) <= summary["median_ms"] <= summary["p99_ms"]
        assert all(0 <= line["device_ms"] <= line["wall_ms"] for line in own)
        assert len({line["device_bytes"] for line in own}) == 1 and own[0]["device_bytes"] <= summary["peak_device_bytes"]
        assert own[0]["resident_bytes"] > 1 << 20 and own[0]["precision"] == "f32"


def test_positions_as_if_the_text_had_come_that_far(folder):
    tokens, (summary,) = latency("--models", GPT2, "--at", "1,50,5000")
    assert [line["token"] for line in tokens] == [first + i for first in (1, 50, 5000) for i in range(16)]
    assert summary["config"]["block_size"] == 5015
    names = ["nanorwkv", "rwkv4-169m", "rwkv5-0b1", "rwkv6-1b6", "rwkv7-0b1"]
    sizes = [":head_size=8" if name[:5] in ("rwkv5", "rwkv6", "rwkv7") else "" for name in names]
    models = [f"{name}:{SMALL.replace(':n_head=2', '') if name != 'nanorwkv' else SMALL}{size}" for name, size in zip(names, sizes)]
    tokens, summaries = latency("--models", ",".join(models + [f"{MICRO}:mode=reference", f"{MICRO}:moe=topk"]), "--at", "1000")
    assert len(summaries) == 7 and len(tokens) == 7 * 16 and not any("reason" in line for line in summaries)


def test_several_texts_at_once(folder):
    tokens, summaries = latency("--models", MICRO, "--texts", "1,3", "--tokens", 4, "--wall-only")
    assert [(line["texts"], line["token"]) for line in tokens] == [(n, i) for n in (1, 3) for i in range(1, 5)]
    assert [line["texts"] for line in summaries] == [1, 3] and all(line["device_ms"] is None for line in tokens)


def test_files_and_precisions(folder):
    run("new", "gpt2", *SMALL.split(":"), "--out", folder / "m.mrw").expect(0)
    for precision in ("f16", "q8_0"):
        tokens, (summary,) = latency("--models", folder / "m.mrw", "--tokens", 2, "--precision", precision)
        assert summary["precision"] == precision and summary["model"] == str(folder / "m.mrw")
        named = latency("--models", GPT2, "--tokens", 2, "--precision", precision)[1][0]
        assert named["parameters"] == summary["parameters"] and named["peak_device_bytes"] == summary["peak_device_bytes"]


def test_what_does_not_fit_is_a_point_with_a_reason(folder):
    lines = run("bench", "latency", "--models", f"gpt2,{GPT2}", "--tokens", 2, environment={"MICRORWKV_LIMITS": "alloc=1M"}).expect(0).json()
    assert lines[0]["summary"] and lines[0]["median_ms"] is None and "exceeds" in lines[0]["reason"]
    assert [line["model"] for line in lines[1:]] == [GPT2] * 3


def test_a_device_that_hangs_ends_as_a_line(folder):
    result = run("bench", "latency", "--models", RNN, "--tokens", 100000000, "--timeout", "0.01").expect(1)
    assert "the process was ended" in result.json()[-1]["reason"] and result.json()[-1]["model"] == RNN


def children(pid):
    return [int(entry.name) for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit()
            and re.search(rf"\) \w {pid} ", (entry / "stat").read_text(errors="replace") if (entry / "stat").exists() else "")]


def start(*arguments):
    """A long measurement, as soon as it has written a line; and the process that measures."""
    process = subprocess.Popen([PROGRAM, "bench", "latency", *arguments, "--tokens", "100000000"], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, bufsize=0)
    first = process.stdout.readline()
    return process, first, children(process.pid)[0]


def test_a_driver_that_crashes_ends_as_a_line(folder):
    if not os.path.exists("/proc/self/stat"):
        raise Skip("no /proc")
    process, first, child = start("--models", RNN)
    os.kill(child, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    last = json.loads(out.splitlines()[-1])
    assert process.returncode == 1 and "signal 9" in last["reason"] and last["model"] == RNN


def test_ctrl_c_keeps_what_was_measured(folder):
    if not os.path.exists("/proc/self/stat"):
        raise Skip("no /proc")
    process, first, child = start("--models", RNN)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    last = json.loads(out.splitlines()[-1])
    assert process.returncode == 130, err
    assert last.get('summary'), (last, err)
    assert last["reason"] == "stopped", (last["reason"], err)
    assert last["tokens"] == len(out.splitlines()) == json.loads(out.splitlines()[-2])["token"]


def test_time_limit(folder):
    tokens, (summary,) = latency("--models", RNN, "--tokens", 100000000, "--seconds", "0.1")
    assert "--seconds" in summary["reason"] and summary["tokens"] == len(tokens)


def test_training_steps(folder):
    line, = run("bench", "train", *tiny.MODEL, "vocab_size=40", "batch_size=2", "--steps", 3).expect(0).json()
    assert {"family", "config", "device", "step_ms_min", "step_ms_median", "tokens_per_s", "peak_device_bytes",
            "resident_bytes"} <= set(line)
    assert line["family"] == "microrwkv" and line["config"]["n_embd"] == 16 and line["steps"] == 3
    assert 0 < line["step_ms_min"] <= line["step_ms_median"]
    assert abs(line["tokens_per_s"] - 1e3 * 2 * 16 / line["step_ms_median"]) < 1e-6 * line["tokens_per_s"]
    named, = run("bench", "train", "gpt2", "n_layer=1", "n_head=2", "n_embd=16", "vocab_size=40", "block_size=16",
                 "batch_size=2", "--steps", 1).expect(0).json()
    assert named["family"] == named["label"] == "gpt2" and named["config"]["n_layer"] == 1
    run("bench", "train", "gpt2-xxl").expect(2, err="gpt2-xl")
    run("bench", "train", "n_heads=3").expect(2, err="n_head")


def test_products_and_kernels(folder):
    lines = run("bench", "gemm", GPT2, "--rows", 16, "--seconds", 0).expect(0).json()
    assert {(line["m"], line["n"], line["k"], line["trans_a"], line["trans_b"]) for line in lines} >= {
        (16, 96, 32, False, True), (16, 32, 96, False, False), (96, 32, 16, True, False), (16, 40, 32, False, True)}
    assert all({"provider", "device", "gflops"} <= set(line) and line["gflops"] > 0 for line in lines)
    lines = run("bench", "kernels", GPT2, "--steps", 3, "--prompt", 8).expect(0).json()
    assert len({line["shape"] for line in lines}) == 2 and any("attention_step" in line["kernel"] for line in lines)
    for line in lines:
        assert {"kernel", "variant", "shape", "device", "us", "gb_per_s", "gflops", "share_of_limit"} <= set(line)
        share = max(line[key] / line["limits"][key] for key in ("gflops", "gb_per_s"))
        assert abs(share - line["share_of_limit"]) < 1e-9 * max(1, share)
        assert line["calls"] % (3 if "one token" in line["shape"] else 1) == 0


def results(folder, *factors):
    """A file of results, every time multiplied by a factor a line."""
    path = folder / f"results-{'-'.join(map(str, factors))}.jsonl"
    with path.open("w") as out:
        for factor in factors:
            base = {"device": "D", "platform": "P", "noise": 0.01}
            for line in ({"bench": "gemm", "m": 8, "n": 8, "k": 8, "trans_a": False, "trans_b": True, "provider": "own",
                          "gflops": 100 / factor},
                         {"bench": "latency", "model": "m", "precision": "f32", "texts": 1, "summary": True, "median_ms": 5 * factor},
                         {"bench": "latency", "model": "gone", "precision": "f32", "texts": 1, "summary": True, "reason": "why"}):
                print(json.dumps({**base, **line}), file=out)
    return path


def test_compare_exits_with_1_where_something_became_slower(folder):
    base = results(folder, 1)
    run("bench", "compare", base, results(folder, 1.02)).expect(0, out="^same")
    slower = run("bench", "compare", base, results(folder, 1.2), "--json").expect(1, err="2 of 2")
    assert [line["verdict"] for line in slower.json()] == ["slower"] * 2
    assert all(abs(line["worse"] - 0.2) < 1e-9 for line in slower.json())
    run("bench", "compare", results(folder, 1.2), base).expect(0, out="^faster")
    run("bench", "compare", results(folder, 0.8, 1.0, 1.3), results(folder, 1.2)).expect(0, out="^same")
    run("bench", "compare", base, results(folder, 1.2), "--tolerance", 0.3).expect(0)
    (folder / "other.jsonl").write_text('{"bench": "limits", "device": "D", "gflops": 1, "gb_per_s": 1}\n')
    run("bench", "compare", base, folder / "other.jsonl").expect(1, err="in common")
    (folder / "wrong.jsonl").write_text("{}\n{}\n")
    run("bench", "compare", base, folder / "wrong.jsonl").expect(1, err=r"wrong\.jsonl:1")


def pictures(folder):
    """Results of which all pictures can be drawn."""
    out = folder / "all.jsonl"
    run("bench", "latency", "--models", f"{GPT2},{RNN}", "--tokens", 40, "--texts", "1,2", "--out", out).expect(0)
    run("bench", "kernels", GPT2, "--steps", 2, "--prompt", 4, "--out", out).expect(0)
    return out


def test_pictures_and_report(folder):
    if execute(["sh", "-c", "command -v gnuplot"]).status:
        raise Skip("no gnuplot")
    out = pictures(folder)
    run("bench", "plot", out, "--out", folder / "p").expect(0)
    names = ("latency", "total", "memory", "first_token", "throughput", "kernels")
    assert sorted(p.name for p in (folder / "p").iterdir()) == sorted(
        f"{name}-{ground}.{kind}" for name in names for ground in ("light", "dark") for kind in ("svg", "png"))
    assert "position in the text (tokens)" in (folder / "p" / "latency-dark.svg").read_text()
    run("bench", "report", out, "--out", folder / "page.html").expect(0)
    page = (folder / "page.html").read_text()
    assert page.count("data:image/svg+xml;base64,") == 2 * len(names) and "bench latency --models" in page
    assert not re.search(r"""(src|href|srcset)=["']?(https?:)?//""", page) and "<td>gpt2:" in page


def test_without_gnuplot(folder):
    out = results(folder, 1)
    out.write_text(out.read_text() + "".join(json.dumps({"bench": "latency", "device": "D", "platform": "P", "model": "m", "precision": "f32",
                   "texts": 1, "token": t, "wall_ms": 1, "device_bytes": 1}) + "\n" for t in range(1, 5)))
    run("bench", "plot", out, "--out", folder / "p", environment={"PATH": folder}).expect(77, err="gnuplot is not installed")
    assert list((folder / "p").iterdir()) == []
    run("bench", "report", out, "--out", folder / "page.html", environment={"PATH": folder}).expect(0, err="gnuplot")
    assert "no pictures" in (folder / "page.html").read_text()


def test_tuned_tables_take_effect(folder):
    cache = {"MICRORWKV_CACHE_DIR": folder / "cache", "MICRORWKV_LANES": "32"}
    model = RNN.replace("n_layer=2", "n_layer=1")
    lines = run("tune", model, "--rows", 16, "--out", folder / "t.tune", "--json", environment=cache).expect(0).json()
    assert lines and all(line["class"] == "small" and line["gflops"] >= line["before_gflops"] > 0 for line in lines)
    assert (folder / "t.tune").read_text().startswith("# ")
    assert "data/tune" in run("devices", "--json", environment=cache).json()[0]["gemm_table"]
    run("tune", model, "--rows", 16, environment=cache).expect(0, err="follows it from now on")
    table, = (folder / "cache").glob("*.tune")
    assert "tune" in run("devices", "--json", environment=cache).json()[0]["gemm_table"].split()
    table.write_text("nonsense\n")
    assert "data/tune" in run("devices", "--json", environment=cache).expect(0, err="microrwkv tune").json()[0]["gemm_table"]


def test_wrong_arguments(folder):
    run("bench").expect(2, err="--help")
    run("bench", "latencie").expect(2, err="latency")
    run("bench", "latency", "--models", "gpt2-xxl").expect(2, err="gpt2-xl")
    run("bench", "latency", "--at", "5,1").expect(2, err="rising")
    run("bench", "latency", "--tokens", "0").expect(2, err="--tokens")
    run("bench", "latency", "--precision", "f8").expect(2, err="f8")


main()
