/* SPDX-License-Identifier: GPL-3.0-or-later
 * An adapter by itself from one kind of file to another, its numbers as they are. */
#ifndef MR_FORMATS_ADAPTER_CONVERT_H
#define MR_FORMATS_ADAPTER_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mr_adapter_layout {
    MR_ADAPTER_PEFT, /* Hugging Face: a folder with adapter_model.safetensors and adapter_config.json */
    MR_ADAPTER_PTH,  /* RWKV-PEFT: a .pth, in which alpha stands nowhere */
};

struct mr_adapter_written {
    size_t numbers;
    uint64_t bytes;
    double scale; /* alpha / rank */
    int rank;
};

/* Whether FILE[:scale] is an adapter: a folder or file of one, or a checkpoint of a run that trained one. */
int mr_is_adapter(const char *spec, bool *is);
/* The layout that a path's ending asks for, or MR_EINVAL. */
int mr_adapter_layout_of(const char *path);
/* written may be NULL. MR_EINVAL: the layout cannot hold this kind. */
int mr_adapter_convert(const char *spec, const char *out, int layout, struct mr_adapter_written *written);

#endif
