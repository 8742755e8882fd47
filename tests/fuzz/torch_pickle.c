/* SPDX-License-Identifier: GPL-3.0-or-later
 * The pickle of a torch archive (before the line "====") with one storage file, data/0 (behind it): what
 * views of storages a pickle may describe. */
#include "fuzz.h"

#include "io/torch_file.h"
#include "io/zip_writer.h"

static void add(struct mr_zip_writer *zip, const char *name, const struct fuzz_part *part)
{
    fuzz_must(!mr_zip_begin(zip, name, part->size));
    fuzz_must(!mr_zip_append(zip, part->bytes, part->size));
    fuzz_must(!mr_zip_end(zip));
}

int fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[2];
    struct mr_zip_writer zip = {0};
    mr_tensor_file *file = NULL;
    const char *path = fuzz_path("a.pt");
    fuzz_parts(data, size, parts, 2);
    fuzz_must(!mr_writer_open(&zip.out, path));
    add(&zip, "a/data.pkl", &parts[0]);
    add(&zip, "a/data/0", &parts[1]);
    fuzz_must(!mr_zip_finish(&zip));
    fuzz_must(!mr_writer_commit(zip.out));
    mr_zip_free(&zip);
    int err = mr_torch_open(&file, path);
    return err ? err : fuzz_read_tensors(file);
}
