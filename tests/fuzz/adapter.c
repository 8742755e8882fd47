/* SPDX-License-Identifier: GPL-3.0-or-later
 * An adapter of Hugging Face PEFT over a small model: adapter_config.json, then adapter_model.safetensors. */
#include "fuzz.h"

#include "formats/adapter.h"
#include "io/safetensors.h"

static int open_base(mr_tensor_file **base, struct mr_naming *naming)
{
    static const float numbers[24] = {1, 2, 3};
    struct mr_file_tensor list[] = {
        {.name = "emb.weight", .dtype = MR_DTYPE_F32, .ndim = 2, .shape = {4, 6}, .shares = -1},
        {.name = "blocks.0.att.key.weight", .dtype = MR_DTYPE_F32, .ndim = 2, .shape = {6, 4}, .shares = -1},
    };
    const char *path = fuzz_path("base.safetensors");
    mr_tensor_writer *writer;
    fuzz_must(!mr_safetensors_begin(&writer, path, list, 2, NULL));
    for (int i = 0; i < 2; i++)
        fuzz_must(!mr_tensor_writer_append_f32(writer, numbers, 24));
    fuzz_must(!mr_tensor_writer_finish(writer));
    fuzz_must(!mr_safetensors_open(base, path));
    return mr_naming_of(*base, naming);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[2];
    mr_tensor_file *base = NULL;
    struct mr_naming naming;
    fuzz_parts(data, size, parts, 2);
    fuzz_part_file("adapter_config.json", &parts[0]);
    fuzz_part_file("adapter_model.safetensors", &parts[1]);
    fuzz_must(!open_base(&base, &naming));
    int err = mr_adapters_merge(&base, &naming, (const char *const[]){fuzz_folder(), NULL});
    if (!err)
        return fuzz_read_tensors(base);
    mr_tensor_file_close(base);
    return err;
}
