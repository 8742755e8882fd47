/* SPDX-License-Identifier: GPL-3.0-or-later
 * A model of random weights as a file. */
#ifndef MR_MODEL_TEST_H
#define MR_MODEL_TEST_H

#include "config_test.h"

#include "formats/random_file.h"
#include "io/safetensors.h"

/* Of a size's name, with configuration keys as JSON; what it is stands in the metadata. */
static inline const char *test_write_model(const char *name, const char *config, uint64_t seed)
{
    const char *path = test_path("model.safetensors");
    struct mr_config cfg = test_config(name, config);
    struct mr_naming naming;
    mr_tensor_file *file;
    mr_tensor_writer *writer;
    json_t *metadata = json_pack("{ss so}", "family", mr_family_name(cfg.family), "config", mr_config_to_json(&cfg));
    assert_ok(mr_random_open(&file, &cfg, seed, &naming));
    assert_ok(mr_safetensors_begin(&writer, path, file->tensors, file->count, metadata));
    for (size_t i = 0; i < file->count; i++)
        assert_ok(mr_tensor_writer_copy(writer, file, i));
    assert_ok(mr_tensor_writer_finish(writer));
    mr_tensor_file_close(file);
    json_decref(metadata);
    return path;
}

#endif
