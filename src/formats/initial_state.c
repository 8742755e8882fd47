/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/initial_state.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "io/tensor_source.h"
#include "io/torch_file.h"
#include "model/layer.h"

bool mr_is_initial_state(const char *name)
{
    const char *at = name + 7;
    if (strncmp(name, "blocks.", 7) || !isdigit((unsigned char)*at))
        return false;
    at += strspn(at, "0123456789");
    return !strcmp(at, ".att.time_state");
}

static bool has_any(const mr_tensor_file *source, size_t prefix)
{
    for (size_t i = 0; i < source->count; i++)
        if (strlen(source->tensors[i].name) > prefix && mr_is_initial_state(source->tensors[i].name + prefix))
            return true;
    return false;
}

int64_t mr_initial_state_find(const mr_tensor_file *source, const struct mr_naming *naming, int block)
{
    char name[sizeof naming->prefix + 64];
    snprintf(name, sizeof name, "%s" MR_INITIAL_STATE, naming->prefix, block);
    return mr_tensor_file_find(source, name);
}

int mr_initial_state_recipe(struct mr_recipe *recipe, const mr_tensor_file *source, const struct mr_naming *naming,
                            const struct mr_config *cfg, size_t tensor)
{
    const struct mr_file_tensor *t = &source->tensors[tensor];
    int64_t N = cfg->head_size, H = cfg->n_embd / N;
    if (t->ndim != 3 || t->shape[0] != H || t->shape[1] != N || t->shape[2] != N)
        return mr_fail(MR_EFILE, "%s: %s is not of shape (%lld,%lld,%lld), as this model's heads need it", source->path,
                       t->name, (long long)H, (long long)N, (long long)N);
    *recipe = (struct mr_recipe){.tensor = tensor, .count = (size_t)(H * N * N)};
    if (naming->layout == MR_LAYOUT_ST)
        recipe->rows = recipe->columns = (size_t)N;
    return 0;
}

static int take(void *context, const void *bytes, size_t count)
{
    float **to = context;
    memcpy(*to, bytes, count * sizeof **to);
    *to += count;
    return 0;
}

/* One layer's matrices as the recurrences have them: [head, key, value]. */
static int read_layer(mr_tensor_file *source, const struct mr_naming *naming, const struct mr_config *cfg, int block,
                      float *to)
{
    struct mr_recipe recipe;
    int64_t at = mr_initial_state_find(source, naming, block);
    size_t N = (size_t)cfg->head_size;
    float *end = to;
    if (at < 0)
        return mr_fail(MR_EFILE, "%s: " MR_INITIAL_STATE " is missing", source->path, block);
    MR_TRY(mr_initial_state_recipe(&recipe, source, naming, cfg, (size_t)at));
    bool turned = recipe.rows > 0;
    recipe.rows = recipe.columns = turned ? 0 : N;
    return mr_recipe_run(source, &recipe, false, take, &end);
}

static int read_layers(mr_tensor_file *source, const struct mr_naming *naming, const struct mr_config *cfg,
                       const struct mr_node *nodes, int count, float *at)
{
    int block = 0;
    for (int i = 0; i < count; i++) {
        size_t sizes[MR_LAYER_STATES];
        int n = nodes[i].layer->states ? nodes[i].layer->states(cfg, nodes[i].block, sizes) : 0;
        size_t matrices = (size_t)cfg->n_embd * (size_t)cfg->head_size, from = strlen(nodes[i].prefix);
        bool time_mix = from > 5 && !strcmp(nodes[i].prefix + from - 5, ".att.");
        for (int k = 0; k < n; at += sizes[k++])
            if (time_mix && k == 1 && sizes[k] == matrices)
                MR_TRY(read_layer(source, naming, cfg, block++, at));
    }
    return 0;
}

/* Floats of all state tensors. */
static size_t size_of(const struct mr_config *cfg, const struct mr_node *nodes, int count)
{
    size_t all = 0, sizes[MR_LAYER_STATES];
    for (int i = 0; i < count; i++) {
        int n = nodes[i].layer->states ? nodes[i].layer->states(cfg, nodes[i].block, sizes) : 0;
        for (int k = 0; k < n; k++)
            all += sizes[k];
    }
    return all;
}

int mr_initial_state_read(mr_tensor_file *source, const struct mr_naming *naming, const struct mr_config *cfg,
                          float **state)
{
    struct mr_node *nodes = NULL;
    int count = 0;
    *state = NULL;
    if (!has_any(source, strlen(naming->prefix)))
        return 0;
    if (mr_family(cfg)->rwkv < 5)
        return mr_fail(MR_EFILE, "%s holds the state of an RWKV-5, 6 or 7, and the model is a %s", source->path,
                       mr_family_name(cfg->family));
    MR_TRY(mr_nodes_build(&nodes, &count, cfg));
    int err = MR_ENOMEM;
    if ((*state = mr_alloc(size_of(cfg, nodes, count), sizeof **state)))
        err = read_layers(source, naming, cfg, nodes, count, *state);
    if (err) {
        free(*state);
        *state = NULL;
    }
    mr_nodes_free(nodes, count);
    return err;
}

int mr_initial_state_open(const char *path, const struct mr_config *cfg, float **state)
{
    mr_tensor_file *source = NULL;
    const struct mr_naming naming = {.layout = MR_LAYOUT_OWN};
    MR_TRY(mr_tensor_source_open(&source, path));
    int err = mr_initial_state_read(source, &naming, cfg, state);
    if (!err && !*state)
        err = mr_fail(MR_EFILE, "%s holds no state: no tensor is named blocks.N.att.time_state", path);
    mr_tensor_file_close(source);
    return err;
}

/* One layer's matrices, [head, key, value], as official files have them. */
static int write_layer(mr_tensor_file *source, size_t i, mr_tensor_writer *writer)
{
    const struct mr_file_tensor *t = &source->tensors[i];
    size_t count = (size_t)mr_tensor_elements(t), N = (size_t)t->shape[2];
    float *from = mr_alloc(count, sizeof *from), *to = mr_alloc(count, sizeof *to);
    int err = from && to ? mr_tensor_file_read_f32(source, i, 0, count, from) : MR_ENOMEM;
    for (size_t k = 0; !err && k < count; k++)
        to[k / (N * N) * N * N + k % N * N + k / N % N] = from[k];
    if (!err)
        err = mr_tensor_writer_append_f32(writer, to, count);
    free(from);
    free(to);
    return err;
}

int mr_initial_state_write(const char *checkpoint, const char *path)
{
    enum { MOST = 1024 };
    mr_tensor_file *source;
    mr_tensor_writer *writer = NULL;
    struct mr_file_tensor tensors[MOST];
    char names[MOST][40], name[40];
    size_t at[MOST];
    int count = 0, err;
    MR_TRY(mr_tensor_source_open(&source, checkpoint));
    for (int64_t found = 0; count < MOST && found >= 0; count += found >= 0) {
        snprintf(name, sizeof name, "blocks.%d.att.initial_state", count);
        if ((found = mr_tensor_file_find(source, name)) < 0)
            continue;
        at[count] = (size_t)found;
        tensors[count] = source->tensors[found];
        snprintf(names[count], sizeof names[count], MR_INITIAL_STATE, count);
        tensors[count].name = names[count];
    }
    MR_GO(mr_torch_begin(&writer, path, tensors, (size_t)count, NULL));
    for (int i = 0; i < count; i++)
        MR_GO(write_layer(source, at[i], writer));
    err = mr_tensor_writer_finish(writer);
    writer = NULL;
fail:
    mr_tensor_writer_abort(writer);
    mr_tensor_file_close(source);
    return err;
}
