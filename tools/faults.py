#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training under faults: file calls that fail at the n-th time, full disks, kills, signals, two runs at once.

usage: faults.py [--program build/microrwkv] [--seconds 120] [--seed N]

After each fault the run must have ended with 0, 1 or 130 and a message, and the last checkpoint must open and resume to
the bits of a run without faults. Prints counts; exit status 1 when anything was lost."""
import argparse
import collections
import errno
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = ROOT / os.environ.get("MICRORWKV_BUILD", "build") / "microrwkv"
SECONDS = float(os.environ.get("MICRORWKV_FAULT_SECONDS", 120))
KEYS = ["n_layer=1", "n_head=2", "n_embd=16", "block_size=16", "expert_dim=8", "window=8", "groups=2", "batch_size=2",
        "eval_iters=1", "eval_interval=4", "checkpoint_interval=2", "keep_checkpoints=2", "gradient_accumulation_steps=1",
        "warmup_iters=2", "lr_decay_iters=12", "seed=7", "dropout=0.1"]
LAST = 12
CALLS = {"write": errno.ENOSPC, "pwrite": errno.EIO, "ftruncate": errno.EIO, "fsync": errno.EIO, "rename": errno.EACCES,
         "link": errno.EPERM, "mkdir": errno.EACCES, "create": errno.ENOSPC, "open": errno.EMFILE}


class Campaign:
    def __init__(self, program, seconds, seed):
        self.program, self.end, self.random = program, time.monotonic() + seconds, random.Random(seed)
        self.keep = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.keep.name).resolve()
        self.shim = self.folder / "fail_calls.so"
        self.counts, self.statuses, self.lost, self.number = collections.Counter(), collections.Counter(), [], 0
        subprocess.run(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", self.shim, ROOT / "tools" / "fail_calls.c", "-ldl"],
                       check=True)
        (self.folder / "text.txt").write_text("The cat sat on the mat, and the dog saw it. One day the mat was gone!\n" * 60)
        self.run("prepare", self.folder / "text.txt", "--tokenizer", "char", "--out", self.folder / "data")
        self.train(self.folder / "whole")
        self.want = self.digest(self.folder / "whole")
        self.train(self.folder / "begun", 4)

    def run(self, *arguments, **environment):
        return subprocess.run([str(a) for a in (self.program, *arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=120, env={**os.environ, **environment})

    def command(self, out, last, *more):
        return ["train", f"dataset={self.folder / 'data'}", f"out_dir={out}", *KEYS, f"max_iters={last}", *more]

    def train(self, out, last=LAST, *more, **environment):
        return self.run(*self.command(out, last, *more), **environment)

    def digest(self, out):
        info = self.run("info", out / "ckpt.mrw")
        return json.loads(info.stdout)["digest"] if info.returncode == 0 else info.stderr.strip()

    def out(self):
        self.number += 1
        return self.folder / f"out{self.number}"

    def complain(self, kind, text):
        self.lost.append(f"{kind}: {text}")
        print("   " + self.lost[-1], flush=True)

    def check(self, kind, out, status, errors, had_checkpoint):
        """What must be true after a fault."""
        self.counts[kind] += 1
        self.statuses[status] += 1
        if status not in (0, 1, 130, -signal.SIGKILL):
            self.complain(kind, f"exit status {status}: {errors[-300:]}")
        if status == 1 and "microrwkv: " not in errors:
            self.complain(kind, "no message")
        exists = (out / "ckpt.mrw").exists()
        if had_checkpoint and not exists:
            self.complain(kind, "the checkpoint is gone")
        again = self.train(out, LAST, *(["init_from=resume"] if exists else []))
        if again.returncode or self.digest(out) != self.want:
            self.complain(kind, f"not the same bits after a resume: {again.stderr[-300:]}")
        if [path.name for path in out.glob("*.lock")]:
            self.complain(kind, "the lock stays")

    def time_left(self):
        return time.monotonic() < self.end

    # ---- kinds of faults

    def fail_call(self, name, nth, on):
        """False: the call did not come that often."""
        out, mark = self.out(), self.folder / "mark"
        mark.unlink(missing_ok=True)
        shutil.copytree(self.folder / "begun", out)
        fault = {"LD_PRELOAD": str(self.shim), "FAULT_NAME": name, "FAULT_BELOW": str(out), "FAULT_NTH": str(nth),
                 "FAULT_ERRNO": str(CALLS[name]), "FAULT_MARK": str(mark), **({"FAULT_ON": "1"} if on else {})}
        result = self.train(out, LAST, "init_from=resume", **fault)
        if mark.exists():
            self.check(f"{name} fails{' from then on' if on else ''}", out, result.returncode, result.stderr, True)
        return mark.exists()

    def signal(self, number, delay):
        out = self.out()
        process = subprocess.Popen([str(a) for a in (self.program, *self.command(out, 1000000))], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 60
        while not (out / "log.jsonl").exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(delay)
        had = (out / "ckpt.mrw").exists()
        process.send_signal(number)
        errors = process.communicate(timeout=60)[1]
        log = out / "log.jsonl"
        done = max([json.loads(line)["iter"] for line in log.read_text().splitlines()[:-1]], default=0) if log.exists() else 0
        if done >= LAST - 1:  # too late to compare
            self.counts["signals that came too late"] += 1
            return
        self.check(signal.Signals(number).name, out, process.returncode, errors, had)

    def two_at_once(self):
        out = self.out()
        both = [subprocess.Popen([str(a) for a in (self.program, *self.command(out, LAST))], stdout=subprocess.DEVNULL,
                                 stderr=subprocess.PIPE, text=True) for _ in range(2)]
        errors = [process.communicate(timeout=120)[1] for process in both]
        statuses = sorted(process.returncode for process in both)
        refused = any("is training in" in text or "already holds a run" in text for text in errors)
        if statuses != [0, 1] or not refused:
            self.complain("two at once", f"exit statuses {statuses}: {errors[1][-300:]}")
        self.check("two at once", out, 0, "", True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(PROGRAM))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    campaign = Campaign(options.program, options.seconds, options.seed)
    open_ended = [(name, on) for name in CALLS for on in (False, True)]
    nth = 1
    while campaign.time_left():
        if open_ended:
            open_ended = [(name, on) for name, on in open_ended
                          if campaign.time_left() and campaign.fail_call(name, nth, on)]
        nth += 1
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if campaign.time_left():
                campaign.signal(number, campaign.random.uniform(0, 0.05))
        if campaign.time_left():
            campaign.two_at_once()
    for kind, count in sorted(campaign.counts.items()):
        print(f"{count:5} {kind}")
    print("exit statuses: " + ", ".join(f"{status} {count} times" for status, count in sorted(campaign.statuses.items())))
    print(f"{sum(campaign.counts.values())} faults, {len(campaign.lost)} that lost something or said the wrong thing")
    return 1 if campaign.lost else 0


if __name__ == "__main__":
    sys.exit(main())
