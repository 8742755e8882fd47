/* SPDX-License-Identifier: GPL-3.0-or-later
 * The kinds of files that models are written to. */
#include <string.h>

#include "formats/export.h"

static const struct {
    const char *name, *ending;
} targets[MR_TARGETS] = {
    [MR_TARGET_MRW] = {"mrw", ".mrw"},
    [MR_TARGET_SAFETENSORS] = {"safetensors", ".safetensors"},
    [MR_TARGET_HF] = {"hf", ""},
    [MR_TARGET_RWKV] = {"rwkv", ".pth"},
    [MR_TARGET_NANOGPT] = {"nanogpt", ".pt"},
    [MR_TARGET_BIN] = {"bin", ".bin"},
    [MR_TARGET_ST] = {"st", ".st"},
    [MR_TARGET_GGUF] = {"gguf", ".gguf"},
    [MR_TARGET_FLA] = {"fla", ""},
};

const char *mr_target_name(int target)
{
    return targets[target].name;
}

bool mr_target_is_folder(int target)
{
    return target == MR_TARGET_HF || target == MR_TARGET_FLA;
}

int mr_target_by_name(const char *name)
{
    for (int i = 0; i < MR_TARGETS; i++)
        if (strcmp(name, targets[i].name) == 0)
            return i;
    return mr_fail(MR_EINVAL,
                   "there is no layout '%s': it is one of mrw, safetensors, hf, rwkv, nanogpt, bin, st, gguf, fla",
                   name);
}

int mr_target_by_path(const char *path)
{
    size_t size = strlen(path);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *dot = strrchr(name, '.');
    if (size && path[size - 1] == '/')
        return MR_TARGET_HF;
    for (int i = 0; dot && i < MR_TARGETS; i++)
        if (strcmp(dot, targets[i].ending) == 0)
            return i;
    /* "out/v1.5" is a folder too; "model.onnx" would be none that anyone wants. */
    if (!dot || dot == name || (dot[1] >= '0' && dot[1] <= '9'))
        return MR_TARGET_HF;
    return mr_fail(
        MR_EINVAL,
        "unknown file extension %s of %s: use .mrw, .safetensors, .pth, .pt, .bin, .st, .gguf, none for a folder, or "
        "--to LAYOUT",
        dot, path);
}

bool mr_target_holds(int target, enum mr_dtype dtype)
{
    bool quantised = mr_dtype_block(dtype) > 1;
    switch (target) {
    case MR_TARGET_MRW:
        return true;
    case MR_TARGET_GGUF:
        return quantised || dtype == MR_DTYPE_F32 || dtype == MR_DTYPE_F16 || dtype == MR_DTYPE_BF16;
    case MR_TARGET_BIN:
        return (quantised && mr_dtype_writes(dtype)) || dtype == MR_DTYPE_F32 || dtype == MR_DTYPE_F16;
    default:
        return dtype == MR_DTYPE_F32 || dtype == MR_DTYPE_F16 || dtype == MR_DTYPE_BF16 || dtype == MR_DTYPE_F64;
    }
}
