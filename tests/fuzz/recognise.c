/* SPDX-License-Identifier: GPL-3.0-or-later
 * Which model a list of tensors is. Parts: a line per tensor, its name and shape; what the file says of
 * itself, as JSON; the config.json beside it; configuration keys that are laid over it. The format is "bin"
 * where the first line begins with "bin". */
#include "fuzz.h"

#include "base/json.h"
#include "model/model.h"
#include "formats/names.h"
#include "formats/config_json.h"
#include "formats/training.h"

static int read_zeros(mr_tensor_file *file, size_t i, uint64_t offset, size_t size, void *to)
{
    (void)file, (void)i, (void)offset;
    memset(to, 0, size);
    return 0;
}

static const struct mr_tensor_file_format formats[] = {{"list", read_zeros, NULL}, {"bin", read_zeros, NULL}};

static int add_line(mr_tensor_file *file, char *line)
{
    int64_t shape[MR_MOST_DIMS] = {0};
    int ndim = 0;
    char *rest, *name = strtok_r(line, " ", &rest);
    for (char *word; (word = strtok_r(NULL, " ", &rest));)
        if (ndim++ < MR_MOST_DIMS)
            shape[ndim - 1] = strtoll(word, NULL, 10);
    return name ? mr_tensor_file_add(file, name, strlen(name), MR_DTYPE_F32, ndim, shape, 0) : 0;
}

static int add_lines(mr_tensor_file *file, char *text)
{
    int err = 0;
    char *rest;
    for (char *line = strtok_r(text, "\n", &rest); line && !err; line = strtok_r(NULL, "\n", &rest))
        err = add_line(file, line);
    return err;
}

/* Without a value where the part is none. */
static json_t *object_of(const struct fuzz_part *part)
{
    json_t *json = part->size ? json_loadb((const char *)part->bytes, part->size, 0, NULL) : NULL;
    if (json_is_object(json))
        return json;
    json_decref(json);
    return NULL;
}

static int check_moments(mr_tensor_file *file, const struct mr_naming *naming, const struct mr_params *params)
{
    struct mr_moments moments = {0};
    int err = mr_moments_open(&moments, file, naming, params);
    for (int i = 0; i < params->count && !err; i++)
        for (int which = 0; which < 2; which++)
            fuzz_must(mr_moments_find(&moments, file, params, i, which) < (int64_t)file->count);
    mr_moments_free(&moments);
    return err;
}

static int recognise(mr_tensor_file *file, const struct mr_settings *overrides)
{
    struct mr_config cfg;
    struct mr_naming naming;
    struct mr_params params = {0};
    struct mr_training training;
    bool found;
    MR_TRY(mr_recognise(file, overrides, &cfg, &naming));
    MR_TRY(mr_config_set_all(&cfg, overrides));
    MR_TRY(mr_config_check(&cfg));
    json_t *json = mr_config_to_json(&cfg);
    fuzz_must(json);
    json_decref(json);
    int err = mr_model_declare(&params, &cfg);
    if (!err)
        err = mr_check_names(file, &naming, &params, &cfg);
    if (!err)
        err = check_moments(file, &naming, &params);
    mr_params_free(&params);
    MR_TRY(err);
    err = mr_training_read(file, &training, &found);
    mr_training_free(&training);
    return err;
}

int fuzz_one(const uint8_t *data, size_t size)
{
    struct fuzz_part parts[4];
    mr_tensor_file *file = NULL;
    fuzz_parts(data, size, parts, 4);
    char *lines = fuzz_text(parts[0].bytes, parts[0].size);
    json_t *said = object_of(&parts[1]), *laid_over = object_of(&parts[3]);
    struct mr_settings overrides = {0};
    fuzz_must(!mr_settings_from_json(&overrides, laid_over));
    fuzz_must(!mr_tensor_file_create(&file, sizeof *file, &formats[strncmp(lines, "bin", 3) == 0], "a list"));
    file->config = object_of(&parts[2]);
    if (said) {
        json_decref(file->metadata);
        file->metadata = said;
    }
    int err = add_lines(file, lines);
    if (!err)
        err = recognise(file, &overrides);
    mr_settings_free(&overrides);
    json_decref(laid_over);
    mr_tensor_file_close(file);
    free(lines);
    return err;
}
