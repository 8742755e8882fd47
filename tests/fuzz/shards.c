/* SPDX-License-Identifier: GPL-3.0-or-later
 * A folder in Hugging Face layout, through the one door to all formats: the index, the shards a, b and c of
 * any format, config.json. Of one part alone it is a single file of any format. */
#include "fuzz.h"

#include "io/tensor_source.h"

static const char *const names[] = {"model.safetensors.index.json", "a", "b", "c", "config.json"};
enum { NAMES = sizeof names / sizeof *names };

int fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[NAMES];
    mr_tensor_file *file = NULL;
    size_t count = fuzz_parts(data, size, parts, NAMES);
    for (size_t i = 0; i < NAMES; i++)
        fuzz_part_file(names[i], &parts[i]);
    int err = mr_tensor_source_open(&file, count > 1 ? fuzz_folder() : fuzz_path(names[0]));
    return err ? err : fuzz_read_tensors(file);
}
