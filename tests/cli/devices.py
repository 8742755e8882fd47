# SPDX-License-Identifier: GPL-3.0-or-later
"""microrwkv devices, and the choice of a device."""
import re

from harness import SOURCE, Skip, main, run


def devices(**environment):
    """The list with these environment variables (others of ours unset)."""
    unset = dict.fromkeys(("MICRORWKV_LIMITS", "MICRORWKV_LANES", "MICRORWKV_VEC", "MICRORWKV_DEVICE", "MICRORWKV_GEMM"))
    return run("devices", "--json", environment={**unset, **environment})


def test_list_for_people_names_every_device(folder):
    text = run("devices").expect(0).text()
    for device in devices().expect(0).json():
        assert f"{device['index']}: {device['name']}" in text, text


def test_json_has_every_limit(folder):
    for number, device in enumerate(devices().expect(0).json()):
        assert device["index"] == number
        for key in ("platform", "name", "vendor", "driver", "version"):
            assert isinstance(device[key], str), key
        for key in ("compute_units", "memory", "max_alloc", "local_memory", "max_group", "lanes", "vec"):
            assert device[key] > 0, key
        assert device["type"] in ("cpu", "gpu", "accelerator")
        for key in ("fp16", "subgroups", "shares_host_memory"):
            assert isinstance(device[key], bool), key


def test_json_names_the_gemm_provider(folder):
    for device in devices().expect(0).json():
        assert device["gemm"] in ("own", "clblast") and "gemm_table" in device
    for provider in ("own", "clblast"):
        for device in devices(MICRORWKV_GEMM=provider).expect(0).json():
            assert device["gemm"] == provider


def test_limits_lower_what_is_believed(folder):
    limits = (("local", "local_memory"), ("group", "max_group"), ("alloc", "max_alloc"))
    half = {name: min(device[key] for device in devices().expect(0).json()) // 2 for name, key in limits}
    for device in devices(MICRORWKV_LIMITS=",".join(f"{k}={v}" for k, v in half.items())).expect(0).json():
        assert {name: device[key] for name, key in limits} == half


def test_limits_beyond_the_device_exit_77(folder):
    devices(MICRORWKV_LIMITS="local=64G").expect(77, err="MICRORWKV_LIMITS")
    devices(MICRORWKV_LIMITS="group=1000000000").expect(77, err="MICRORWKV_LIMITS")


def test_unreadable_limits_exit_77(folder):
    devices(MICRORWKV_LIMITS="colour=blue").expect(77, err="MICRORWKV_LIMITS")


def test_impossible_limits_exit_77(folder):
    devices(MICRORWKV_LIMITS="local=1").expect(77, err="MICRORWKV_LIMITS|local")


def test_lanes_are_obeyed(folder):
    for lanes in (1, 32):
        for device in devices(MICRORWKV_LANES=lanes).expect(0).json():
            assert device["lanes"] == lanes


def test_impossible_lanes_exit_77(folder):
    devices(MICRORWKV_LANES="1000000").expect(77, err="MICRORWKV_LANES")


def test_vector_width_is_obeyed(folder):
    for lanes in (1, 8):
        for vec in (4, 8, 16):
            for device in devices(MICRORWKV_LANES=lanes, MICRORWKV_VEC=vec).expect(0).json():
                assert (device["lanes"], device["vec"]) == (lanes, vec)


def test_impossible_vector_width_exits_77(folder):
    for vec in (1, 2, 12, 32, "wide"):
        devices(MICRORWKV_VEC=vec).expect(77, err="MICRORWKV_VEC")


def test_unknown_gemm_provider_exits_77(folder):
    devices(MICRORWKV_GEMM="abacus").expect(77, err="MICRORWKV_GEMM")


def test_no_platform_exits_77(folder):
    devices(OCL_ICD_VENDORS=folder).expect(77, out=r"\A\Z", err="(?i)opencl")


def test_verify_launches_every_kernel(folder):
    kernels = {name for file in (SOURCE / "cl").glob("*.cl") for name in re.findall(r"^kernel void (\w+)\(", file.read_text(), re.M)}
    lines = run("devices", "--verify", "--json", environment={"MICRORWKV_LANES": "1"}, timeout=800).expect(0).json()
    verdicts = [line for line in lines if "family" in line]
    assert verdicts and all(line["good"] for line in verdicts), verdicts
    launched = [set(line["launched"]) for line in lines if "launched" in line]
    assert launched and all(names == kernels for names in launched), [kernels ^ names for names in launched]


def test_a_word_too_many_is_refused(folder):
    run("devices", "all").expect(2, err="all")


def test_a_home_that_cannot_be_written_hides_no_device(folder):
    names = [device["name"] for device in devices().expect(0).json()]
    homeless = {"HOME": "/proc/none", "XDG_CACHE_HOME": None, "POCL_CACHE_DIR": None}
    for place in ({"MICRORWKV_CACHE_DIR": folder / "cache"}, {"MICRORWKV_CACHE_DIR": None, "TMPDIR": folder},
                  {"MICRORWKV_CACHE_DIR": "/proc/none", "TMPDIR": folder}):
        found = devices(**homeless, **place).expect(0).json()
        assert [device["name"] for device in found] == names


def test_pocl_without_any_folder_is_told_the_cause(folder):
    if not any("Portable" in device["platform"] for device in devices().expect(0).json()):
        raise Skip("no PoCL device")
    nowhere = {"HOME": "/proc/none", "XDG_CACHE_HOME": None, "POCL_CACHE_DIR": None, "MICRORWKV_CACHE_DIR": None, "TMPDIR": "/proc"}
    result = devices(**nowhere)
    assert b"/proc/none/.cache is not writable: set POCL_CACHE_DIR" in result.err, result.err


main()
