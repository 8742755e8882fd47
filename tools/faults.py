#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training and generating under faults: calls on files, of memory and of OpenCL that fail at the n-th time or from then
on, full disks, kills, signals, two runs at once, a clock that jumps, damaged caches, folders that cannot be written.

usage: faults.py [--program build/microrwkv] [--seconds 120] [--seed N] [--only files|calls|signals|places]

After each fault the run must have ended with 0, 1 or 130 and a message, and the last checkpoint must open and resume to
the bits of a run without faults; a text must be the right one, as far as it got. What AddressSanitizer reports counts as
lost, leaks included, where the program is built with it. Prints counts; exit status 1 when anything was lost."""
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
         "link": errno.EPERM, "mkdir": errno.EACCES, "create": errno.ENOSPC, "open": errno.EMFILE,
         "pread": errno.EIO, "mmap": errno.ENOMEM}
OUT_OF_RESOURCES, NO_MEMORY, SANITIZER = -5, -4, 86
OPENCL = ["clGetPlatformIDs", "clGetPlatformInfo", "clGetDeviceIDs", "clGetDeviceInfo", "clGetMemObjectInfo",
          "clGetProgramInfo", "clGetProgramBuildInfo", "clGetKernelInfo", "clGetKernelWorkGroupInfo", "clBuildProgram",
          "clSetKernelArg", "clWaitForEvents", "clFlush", "clFinish", "clEnqueueNDRangeKernel", "clEnqueueReadBuffer",
          "clEnqueueWriteBuffer", "clEnqueueCopyBuffer", "clEnqueueFillBuffer", "clEnqueueUnmapMemObject",
          "clEnqueueMapBuffer", "clCreateContext", "clCreateCommandQueue", "clCreateBuffer", "clCreateSubBuffer",
          "clCreateProgramWithSource", "clCreateProgramWithBinary", "clCreateKernel"]
# (function or group, its error): with calls of their own counted
HOST = [(name, errno.ENOMEM) for name in ("malloc", "calloc", "realloc", "memory")] + [("pthread_create", errno.EAGAIN)]
DEVICE = [(name, NO_MEMORY if name.startswith("clCreate") else OUT_OF_RESOURCES) for name in OPENCL + ["opencl"]]


class Campaign:
    def __init__(self, program, seconds, seed):
        self.program, self.end, self.random = program, time.monotonic() + seconds, random.Random(seed)
        self.keep = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.keep.name).resolve()
        self.shim, self.mark = self.folder / "fail_calls.so", self.folder / "mark"
        self.counts, self.statuses, self.lost, self.number = collections.Counter(), collections.Counter(), [], 0
        self.messages = collections.Counter()
        subprocess.run(["cc", "-O1", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", self.shim,
                        *sorted((ROOT / "tools").glob("fail_*.c")), "-ldl"], check=True)
        (self.folder / "text.txt").write_text("The cat sat on the mat, and the dog saw it. One day the mat was gone!\n" * 60)
        self.run("prepare", self.folder / "text.txt", "--tokenizer", "char", "--out", self.folder / "data")
        self.train(self.folder / "whole")
        self.want = self.digest(self.folder / "whole")
        self.train(self.folder / "begun", 4)
        self.text = self.generate().stdout
        # of a run at its end, and of one that goes on from where "begun" is
        self.ends = {False: self.state(self.folder / "whole"), True: None}
        shutil.copytree(self.folder / "begun", self.folder / "resumed")
        self.run(*self.train_on(self.folder / "resumed"))
        self.ends[True] = self.state(self.folder / "resumed")

    def run(self, *arguments, **environment):
        return subprocess.run([str(a) for a in (self.program, *arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=120, env={**os.environ, "MICRORWKV_CACHE_WAIT": "1", **environment})

    def command(self, out, last, *more):
        return ["train", f"dataset={self.folder / 'data'}", f"out_dir={out}", *KEYS, f"max_iters={last}", *more]

    def train(self, out, last=LAST, *more, **environment):
        return self.run(*self.command(out, last, *more), **environment)

    def digest(self, out):
        info = self.run("info", out / "ckpt.mrw")
        return json.loads(info.stdout)["digest"] if info.returncode == 0 else info.stderr.strip()

    def generate(self, **environment):
        return self.run("generate", self.folder / "begun", "--prompt", "The cat", "--max-tokens", 12, "--seed", 3,
                        **environment)

    @staticmethod
    def state(out):
        """What ckpt.mrw and the log say, apart from places and times."""
        if not (out / "ckpt.mrw").exists():
            return None
        content = (out / "ckpt.mrw").read_bytes()
        header = json.loads(content[16:16 + int.from_bytes(content[12:16], "little")])
        header["metadata"]["training"].pop("given", None)
        log = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
        return header, [{key: value for key, value in line.items() if key not in ("ms", "tokens_per_s")} for line in log]

    def out(self):
        self.number += 1
        return self.folder / f"out{self.number}"

    def complain(self, kind, text):
        self.lost.append(f"{kind}: {text}")
        print("   " + self.lost[-1], flush=True)

    def check_message(self, kind, status, errors):
        if status in (1, 77) and "microrwkv: " not in errors:
            self.complain(kind, f"no message: {errors[-300:]}")

    def check(self, kind, out, status, errors, had_checkpoint):
        """What must be true after a fault."""
        self.counts[kind] += 1
        self.statuses[status] += 1
        if status not in (0, 1, 130, -signal.SIGKILL):
            self.complain(kind, f"exit status {status}: {errors[-300:]}")
        self.check_message(kind, status, errors)
        if status == 0 and self.state(out) != self.ends[bool(had_checkpoint)]:
            self.complain(kind, f"exit status 0, but the state is not the one expected: {errors[-300:]}")
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
        out = self.out()
        shutil.copytree(self.folder / "begun", out)
        below = self.folder if name in ("mmap", "open", "pread") else out  # of the data set too
        fault = {**self.preload(name, CALLS[name], nth), "FAULT_BELOW": str(below), **({"FAULT_ON": "1"} if on else {})}
        result = self.train(out, LAST, "init_from=resume", "log_interval=1", **fault)
        if self.mark.exists():
            self.check(f"{name} fails{' from then on' if on else ''}", out, result.returncode, result.stderr, True)
        return self.mark.exists()

    def count(self, command, name):
        """How often a command calls a function."""
        path = self.folder / "count"
        path.unlink(missing_ok=True)
        out = self.out()
        shutil.copytree(self.folder / "begun", out)
        self.run(*command(out), **self.preload(name, 0, 0), FAULT_COUNT=str(path))
        shutil.rmtree(out)
        return int(path.read_text()) if path.exists() else 0

    def preload(self, name, number, nth):
        self.mark.unlink(missing_ok=True)
        return {"LD_PRELOAD": str(self.shim), "FAULT_NAME": name, "FAULT_ERRNO": str(number), "FAULT_NTH": str(nth),
                "FAULT_MARK": str(self.mark),
                "ASAN_OPTIONS": f"verify_asan_link_order=0:exitcode={SANITIZER}:" + os.environ.get("ASAN_OPTIONS", "")}

    def train_on(self, out):
        return self.command(out, LAST, "init_from=resume", "log_interval=1")

    def speak(self, out):
        return ["generate", out, "--prompt", "The cat", "--max-tokens", 12, "--seed", 3]

    def fail_nth(self, name, number, command, nth, on):
        """One call of memory or OpenCL fails, or all from it on."""
        out = self.out()
        shutil.copytree(self.folder / "begun", out)
        fault = {**self.preload(name, number, nth), **({"FAULT_ON": "1"} if on else {})}
        result = self.run(*command(out), **fault)
        if not self.mark.exists() or "LeakSanitizer has encountered a fatal error" in result.stderr:
            return
        kind = f"{command.__name__}: {name} fails{' from then on' if on else ''}"
        before = len(self.lost)
        if command == self.train_on:
            self.check(kind, out, result.returncode, result.stderr, True)
        else:
            self.counts[kind] += 1
            self.statuses[result.returncode] += 1
            self.check_message(kind, result.returncode, result.stderr)
            if result.returncode not in (0, 1, 77):
                self.complain(kind, f"exit status {result.returncode}: {result.stderr[-1500:]}")
            elif result.stdout != self.text if result.returncode == 0 else not self.text.startswith(result.stdout.rstrip("\n")):
                self.complain(kind, f"exit status {result.returncode} and another text: {result.stdout}")
        if "Sanitizer: " in result.stderr or len(self.lost) > before:
            self.complain(kind, f"at call {nth}: {result.stderr[:3000] if 'Sanitizer' in result.stderr else ''}")
        self.messages[f"{name} {result.returncode}: {self.last_line(result.stderr)}"] += 1
        shutil.rmtree(out)

    @staticmethod
    def last_line(errors):
        lines = [line for line in errors.splitlines() if line.startswith("microrwkv: ")]
        return lines[-1] if lines else ""

    def fail_some(self, counted):
        """A random one of the functions, at a random one of its calls."""
        command = self.random.choice((self.train_on, self.speak))
        name, number = self.random.choice(HOST + DEVICE)
        if (command, name) not in counted:
            counted[command, name] = self.count(command, name)
        if counted[command, name]:
            self.fail_nth(name, number, command, self.random.randint(1, counted[command, name]), self.random.random() < 0.3)

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


    # ---- a clock that jumps, caches and folders

    def cached(self):
        """A cache folder of its own, filled by one run."""
        cache = self.folder / "cache"
        if not cache.exists():
            cache.mkdir()
            self.train(self.out(), 1, MICRORWKV_CACHE_DIR=str(cache))
        return cache

    def train_in(self, kind, may_fail=False, **environment):
        """A whole run in another environment: its bits are the same."""
        out = self.out()
        result = self.train(out, LAST, **environment)
        if result.returncode and not may_fail:
            self.complain(kind, f"exit status {result.returncode}: {result.stderr[-300:]}")
        self.check(kind, out, result.returncode, result.stderr, False)

    def damaged_cache(self):
        cache = self.cached()
        for entry in cache.rglob("*.bin"):
            content = bytearray(entry.read_bytes())
            if self.random.random() < 0.5 and len(content) > 100:
                content[self.random.randrange(len(content))] ^= 1 << self.random.randrange(8)
            else:
                del content[self.random.randrange(len(content)):]
            entry.write_bytes(content)
        self.train_in("damaged cache", MICRORWKV_CACHE_DIR=str(cache))

    def unwritable(self, name):
        """Everything below a folder fails as on a file system that is mounted read-only."""
        cache, out = self.cached(), self.out()
        below = cache if name.endswith("cache") else out
        for call in ("create", "mkdir"):
            fault = {**self.preload(call, errno.EROFS, 1), "FAULT_ON": "1", "FAULT_BELOW": str(below)}
            self.train_in(name, below == out, MICRORWKV_CACHE_DIR=str(cache), **fault)

    def places(self):
        self.damaged_cache()
        self.unwritable("read-only cache")
        self.unwritable("read-only out_dir")
        for how in ("jump", "stand"):
            self.train_in(f"clocks that {how}", FAULT_CLOCK=how, **self.preload("", 0, 0))
        self.train_in("no home", HOME="", XDG_CACHE_HOME="", MICRORWKV_CACHE_DIR="")
        self.train_in("a home that is no folder", HOME="/dev/null", XDG_CACHE_HOME="", MICRORWKV_CACHE_DIR="/dev/null/x")


def run(campaign, only):
    """Until the time is over, in turn: each kind of fault."""
    open_ended = [(name, on) for name in CALLS for on in (False, True)]
    nth, counted = 1, {}
    wanted = [only] if only else ["places", "files", "signals", "calls"]
    while campaign.time_left():
        if "places" in wanted and nth % 8 == 1:
            campaign.places()
        if "files" in wanted and open_ended:
            open_ended = [(name, on) for name, on in open_ended
                          if campaign.time_left() and campaign.fail_call(name, nth, on)]
        for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            if "signals" in wanted and campaign.time_left():
                campaign.signal(number, campaign.random.uniform(0, 0.05))
        if "signals" in wanted and campaign.time_left():
            campaign.two_at_once()
        for _ in range(20):
            if "calls" in wanted and campaign.time_left():
                campaign.fail_some(counted)
        nth += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--program", default=str(PROGRAM))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=("files", "calls", "signals", "places"))
    parser.add_argument("--messages", action="store_true", help="also print what was said")
    options = parser.parse_args()
    campaign = Campaign(options.program, options.seconds, options.seed)
    run(campaign, options.only)
    for text, count in sorted(campaign.messages.items() if options.messages else ()):
        print(f"{count:5} {text}")
    for kind, count in sorted(campaign.counts.items()):
        print(f"{count:5} {kind}")
    print("exit statuses: " + ", ".join(f"{status} {count} times" for status, count in sorted(campaign.statuses.items())))
    print(f"{sum(campaign.counts.values())} faults, {len(campaign.lost)} that lost something or said the wrong thing")
    return 1 if campaign.lost else 0


if __name__ == "__main__":
    sys.exit(main())
