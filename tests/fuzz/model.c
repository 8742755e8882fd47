/* SPDX-License-Identifier: GPL-3.0-or-later
 * Models from files of any format: recognised, and every parameter and moment read in the form that it has there, as
 * a device would get it. Checksums of the own format are of no interest here: mrw.c goes behind them. */
#include "fuzz.h"

#include "formats/load.h"
#include "model/model.h"
#include "formats/recipe.h"
#include "formats/training.h"

static int count_numbers(void *context, const void *bytes, size_t count)
{
    volatile float seen;
    for (size_t i = 0; i < count; i++)
        seen = ((const float *)bytes)[i];
    (void)seen;
    *(size_t *)context += count;
    return 0;
}

static int read_one(mr_tensor_file *source, int64_t tensor, const struct mr_place *place, const struct mr_param *p)
{
    struct mr_recipe recipe;
    size_t count = 0;
    MR_TRY(mr_recipe_of(&recipe, source, (size_t)tensor, place, p));
    MR_TRY(mr_recipe_run(source, &recipe, false, count_numbers, &count));
    fuzz_must(count == p->count);
    return 0;
}

static int read_parameters(mr_tensor_file *source, const struct mr_naming *naming, const struct mr_params *params)
{
    const struct mr_place same = {.change = MR_SAME};
    struct mr_moments moments = {0};
    int err = mr_moments_open(&moments, source, naming, params);
    for (int i = 0; i < params->count && !err; i++) {
        struct mr_place place;
        int64_t at = mr_naming_find(source, naming, params->list[i]->name, &place);
        err = at < 0 ? 0 : read_one(source, at, &place, params->list[i]);
        for (int which = 0; which < 2 && !err; which++) {
            at = mr_moments_find(&moments, source, params, i, which);
            err = at < 0 ? 0 : read_one(source, at, &same, params->list[i]);
        }
    }
    mr_moments_free(&moments);
    return err;
}

int fuzz_one(const uint8_t *data, size_t size)
{
    mr_tensor_file *source = NULL;
    struct mr_config cfg;
    struct mr_naming naming;
    struct mr_params params = {0};
    mr_stored_tokenizer *tokenizer = NULL;
    struct mr_training training = {0};
    bool found;
    int err = mr_model_open_file(&source, fuzz_file("model", data, size), NULL, &cfg, &naming);
    if (!err)
        err = mr_model_tokenizer(source, &tokenizer);
    if (!err)
        err = mr_training_read(source, &training, &found);
    if (!err)
        err = mr_model_declare(&params, &cfg);
    if (!err)
        err = mr_check_names(source, &naming, &params, &cfg);
    if (!err)
        err = read_parameters(source, &naming, &params);
    mr_params_free(&params);
    mr_training_free(&training);
    mr_stored_tokenizer_free(tokenizer);
    mr_tensor_file_close(source);
    return err;
}
