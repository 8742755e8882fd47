# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said, and what is left, when a call of the driver or of the memory fails (tools/faults.py tries many more)."""
import errno
import functools
import shutil

from harness import SOURCE, Skip, execute, main, run
from tiny import FOLDER, digest, log_lines, model, train

OUT_OF_RESOURCES = -5


@functools.lru_cache(maxsize=None)
def shim():
    """The library that makes calls fail."""
    library = FOLDER / "fail_calls.so"
    built = execute(["cc", "-shared", "-fPIC", "-D_GNU_SOURCE", "-o", library, *sorted((SOURCE / "tools").glob("fail_*.c")),
                     "-ldl"])
    if built.status:
        raise Skip(f"tools/fail_*.c cannot be built here: {built.err.decode(errors='replace')[:200]}")
    return library


def failing(name, number, nth=1, on=True, **more):
    """The environment in which the n-th call of a function fails, and all later ones too where `on`."""
    return {"LD_PRELOAD": shim(), "ASAN_OPTIONS": "verify_asan_link_order=0", "FAULT_NAME": name, "FAULT_NTH": nth,
            "FAULT_ERRNO": number, "FAULT_ON": "1" if on else None, **more}


def speak(**options):
    return run("generate", model(), "--prompt", "The cat", "--max-tokens", 8, "--seed", 1, **options)


def test_a_driver_that_fails_is_not_told_as_missing(folder):
    model()
    speak(environment=failing("clGetPlatformIDs", OUT_OF_RESOURCES)).expect(
        1, err="the OpenCL platforms cannot be listed: CL_OUT_OF_RESOURCES")
    speak(environment=failing("clGetDeviceIDs", OUT_OF_RESOURCES)).expect(
        1, err="no OpenCL device can be used, since the driver failed: CL_OUT_OF_RESOURCES")
    for nth in (1, 5, 20):
        speak(environment=failing("clGetDeviceInfo", OUT_OF_RESOURCES, nth)).expect(
            1, err="CL_OUT_OF_RESOURCES")
    speak(environment=failing("clGetPlatformIDs", -1001)).expect(77, err="no OpenCL platform is installed")


def test_a_kernel_that_cannot_be_taken_is_told_with_its_reason(folder):
    model()
    speak(environment=failing("clGetKernelInfo", OUT_OF_RESOURCES)).expect(
        1, err="cannot take this kernel from .*: CL_OUT_OF_RESOURCES")


def test_a_device_lost_while_generating_ends_it_with_an_error(folder):
    whole = speak().expect(0).text()
    for nth in (1, 40, 400):
        result = speak(environment=failing("clEnqueueNDRangeKernel", OUT_OF_RESOURCES, nth)).expect(
            1, err=r"cannot launch .* CL_OUT_OF_RESOURCES")
        assert whole.startswith(result.text().rstrip("\n")), result.text()


def test_a_device_lost_while_training_leaves_what_was_saved(folder):
    whole, out = folder / "whole", folder / "out"
    train(whole, iterations=8).expect(0)
    train(out, "lr_decay_iters=8").expect(0)
    shutil.copytree(out, folder / "copy")
    before = (out / "ckpt.mrw").read_bytes()
    for name, nth in (("clEnqueueNDRangeKernel", 5), ("clEnqueueReadBuffer", 5), ("clFlush", 1), ("clSetKernelArg", 500)):
        result = train(out, "init_from=resume", "lr_decay_iters=8", iterations=8,
                       environment=failing(name, OUT_OF_RESOURCES, nth)).expect(1, err="CL_OUT_OF_RESOURCES")
        assert (out / "ckpt.mrw").read_bytes() == before, result.err
    train(out, "init_from=resume", "lr_decay_iters=8", iterations=8).expect(0)
    assert digest(out / "ckpt.mrw") == digest(whole / "ckpt.mrw")


def test_training_reads_once_per_logged_iteration(folder):
    def reads(iterations):
        count = folder / f"count{iterations}"
        train(folder / f"out{iterations}", "gradient_accumulation_steps=4", "eval_interval=1000", "log_interval=10",
              iterations=iterations, environment=failing("clEnqueueReadBuffer", 0, 0, FAULT_COUNT=count)).expect(0)
        return int(count.read_text())
    assert reads(50) == reads(20) + 3


def test_no_allocation_that_fails_is_told_as_anything_else(folder):
    model()
    for nth in (10, 30, 100, 300, 600):
        result = speak(environment=failing("memory", errno.ENOMEM, nth))
        result.expect(1, err=r"microrwkv: .*(memory|MEMORY)")
        assert b"damaged" not in result.err and b"UTF-8" not in result.err, result.err


def test_a_cached_kernel_is_not_called_damaged_when_memory_runs_out(folder):
    speak(environment={"MICRORWKV_CACHE_DIR": folder}).expect(0)
    speak(environment={"MICRORWKV_CACHE_DIR": folder}).expect(0)
    count = folder / "count"
    speak(environment=failing("realloc", errno.ENOMEM, 0, FAULT_COUNT=count, MICRORWKV_CACHE_DIR=folder)).expect(0)
    for nth in range(1, int(count.read_text()) + 1, 7):
        result = speak(environment=failing("realloc", errno.ENOMEM, nth, False, MICRORWKV_CACHE_DIR=folder))
        assert result.status in (0, 1) and b"is damaged" not in result.err, result.err


def test_a_clock_that_stands_or_jumps_changes_nothing(folder):
    train(folder / "whole").expect(0)
    for how in ("stand", "jump"):
        train(folder / how, environment=failing("", 0, 0, FAULT_CLOCK=how)).expect(0)
        assert digest(folder / how / "ckpt.mrw") == digest(folder / "whole" / "ckpt.mrw")
    assert any(line.get("tokens_per_s", 0) is None for line in log_lines(folder / "stand"))


main()
