/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "formats/initial_state.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "io/tensor_source.h"
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

/* One layer's matrices: files have [head, value, key], the recurrences [head, key, value]. */
static int read_layer(mr_tensor_file *source, const char *name, const struct mr_config *cfg, float *to)
{
    int64_t at = mr_tensor_file_find(source, name), N = cfg->head_size, H = cfg->n_embd / N;
    if (at < 0)
        return mr_fail(MR_EFILE, "%s: %s is missing", source->path, name);
    const struct mr_file_tensor *t = &source->tensors[at];
    if (t->ndim != 3 || t->shape[0] != H || t->shape[1] != N || t->shape[2] != N)
        return mr_fail(MR_EFILE, "%s: %s is not of shape (%lld,%lld,%lld), as this model's heads need it", source->path,
                       name, (long long)H, (long long)N, (long long)N);
    MR_TRY(mr_tensor_file_read_f32(source, (size_t)at, 0, (size_t)(H * N * N), to));
    for (int64_t h = 0; h < H; h++)
        for (int64_t i = 0; i < N; i++)
            for (int64_t j = 0; j < i; j++) {
                float *a = &to[(h * N + i) * N + j], *b = &to[(h * N + j) * N + i], x = *a;
                *a = *b;
                *b = x;
            }
    return 0;
}

static int read_layers(mr_tensor_file *source, const char *prefix, const struct mr_config *cfg,
                       const struct mr_node *nodes, int count, float *at)
{
    for (int i = 0; i < count; i++) {
        size_t sizes[MR_LAYER_STATES];
        int n = nodes[i].layer->states ? nodes[i].layer->states(cfg, sizes) : 0;
        size_t matrices = (size_t)cfg->n_embd * (size_t)cfg->head_size, from = strlen(nodes[i].prefix);
        bool time_mix = from > 5 && !strcmp(nodes[i].prefix + from - 5, ".att.");
        for (int k = 0; k < n; at += sizes[k++]) {
            char name[MR_NAME + 96];
            snprintf(name, sizeof name, "%s%stime_state", prefix, nodes[i].prefix);
            if (time_mix && k == 1 && sizes[k] == matrices)
                MR_TRY(read_layer(source, name, cfg, at));
        }
    }
    return 0;
}

/* Floats of all state tensors. */
static size_t size_of(const struct mr_config *cfg, const struct mr_node *nodes, int count)
{
    size_t all = 0, sizes[MR_LAYER_STATES];
    for (int i = 0; i < count; i++) {
        int n = nodes[i].layer->states ? nodes[i].layer->states(cfg, sizes) : 0;
        for (int k = 0; k < n; k++)
            all += sizes[k];
    }
    return all;
}

int mr_initial_state_read(mr_tensor_file *source, const char *prefix, const struct mr_config *cfg, float **state)
{
    struct mr_node *nodes = NULL;
    int count = 0;
    *state = NULL;
    if (!has_any(source, strlen(prefix)))
        return 0;
    if (mr_family(cfg)->rwkv < 5)
        return mr_fail(MR_EFILE, "%s holds the state of an RWKV-5, 6 or 7, and the model is a %s", source->path,
                       mr_family_name(cfg->family));
    MR_TRY(mr_nodes_build(&nodes, &count, cfg));
    int err = MR_ENOMEM;
    if ((*state = mr_alloc(size_of(cfg, nodes, count), sizeof **state)))
        err = read_layers(source, prefix, cfg, nodes, count, *state);
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
    MR_TRY(mr_tensor_source_open(&source, path));
    int err = mr_initial_state_read(source, "", cfg, state);
    if (!err && !*state)
        err = mr_fail(MR_EFILE, "%s holds no state: no tensor is named blocks.N.att.time_state", path);
    mr_tensor_file_close(source);
    return err;
}
