/* SPDX-License-Identifier: GPL-3.0-or-later
 * GGUF files: the container, with every second tensor shifted. */
#include "fuzz.h"

#include "io/gguf.h"

int fuzz_one(const uint8_t *data, size_t size)
{
    mr_tensor_file *file = NULL;
    int err = mr_gguf_open(&file, fuzz_file("a.gguf", data, size));
    for (size_t i = 0; !err && i < file->count; i += 2)
        err = mr_gguf_shift(file, i, (int)(i % 9) - 4);
    return err ? err : fuzz_read_tensors(file);
}
