/* SPDX-License-Identifier: GPL-3.0-or-later
 * Single safetensors files. */
#include "fuzz.h"

#include "io/safetensors.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    mr_tensor_file *file = NULL;
    int err = mr_safetensors_open(&file, fuzz_file("a.safetensors", data, size));
    return err ? err : fuzz_read_tensors(file);
}
