/* SPDX-License-Identifier: GPL-3.0-or-later
 * .bin files of ggml's RWKV programs. */
#include "fuzz.h"

#include "io/ggml_bin.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    mr_tensor_file *file = NULL;
    int err = mr_ggml_bin_open(&file, fuzz_file("a.bin", data, size));
    return err ? err : fuzz_read_tensors(file);
}
