/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "model/params.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/philox.h"
#include "model/orthogonal.h"

void mr_params_free(struct mr_params *params)
{
    for (int i = 0; i < params->count; i++)
        free(params->list[i]);
    free(params->list);
    free(params->whole.values);
    *params = (struct mr_params){0};
}

struct mr_param *mr_param_find(const struct mr_params *params, const char *prefix, const char *name)
{
    size_t n = strlen(prefix);
    for (int i = 0; i < params->count; i++)
        if (strncmp(params->list[i]->name, prefix, n) == 0 && strcmp(params->list[i]->name + n, name) == 0)
            return params->list[i];
    return NULL;
}

static struct mr_param *grow(struct mr_params *params)
{
    if (params->count == params->capacity) {
        int capacity = params->capacity ? 2 * params->capacity : 64;
        struct mr_param **list = mr_realloc(params->list, (size_t)capacity, sizeof *list);
        if (!list)
            return NULL;
        params->list = list;
        params->capacity = capacity;
    }
    struct mr_param *p = mr_alloc(1, sizeof *p);
    if (p)
        params->list[params->count++] = p;
    return p;
}

static struct mr_param *refused(struct mr_params *params, int error)
{
    params->error = error;
    return NULL;
}

struct mr_param *mr_declare(struct mr_params *params, const char *prefix, const char *name, const size_t *shape)
{
    struct mr_param p = {.count = 1}, *old = mr_param_find(params, prefix, name);
    if ((size_t)snprintf(p.name, sizeof p.name, "%s%s", prefix, name) >= sizeof p.name)
        return refused(params, mr_fail(MR_EINVAL, "parameter name %s%s is too long", prefix, name));
    for (; shape[p.ndim]; p.ndim++) {
        p.shape[p.ndim] = shape[p.ndim];
        if (!mr_mul(p.count, shape[p.ndim], &p.count))
            return refused(params, mr_fail(MR_EINVAL, "parameter %s is too large", p.name));
    }
    if (old) {
        if (old->ndim == p.ndim && memcmp(old->shape, p.shape, sizeof p.shape) == 0)
            return old;
        return refused(params, mr_fail(MR_EINVAL, "parameter %s is declared with two different shapes", p.name));
    }
    struct mr_param *added = grow(params);
    if (!added)
        return refused(params, MR_ENOMEM);
    p.index = params->count - 1;
    *added = p;
    return added;
}

int mr_param_group(const struct mr_param *p)
{
    if (p->frozen)
        return MR_PARAM_TRAINED_GROUPS;
    return p->rate > 1 ? p->rate : !p->decay;
}

size_t mr_params_trained(const struct mr_params *params)
{
    size_t n = 0;
    for (int i = 0; i < params->count; i++)
        n += params->list[i]->frozen ? 0 : params->list[i]->count;
    return n;
}

int mr_param_draw(struct mr_params *params, int index, uint64_t seed)
{
    const struct mr_param *p = params->list[index];
    const struct mr_philox draws = {.seed = seed, .stream = MR_STREAM_INIT, .step = (uint64_t)index};
    if (!(p->gain > 0) || (params->whole.values && params->whole.index == index && params->whole.seed == seed))
        return 0;
    free(params->whole.values);
    params->whole.values = mr_alloc(p->count, sizeof *params->whole.values);
    if (!params->whole.values)
        return MR_ENOMEM;
    params->whole.index = index;
    params->whole.seed = seed;
    return mr_orthogonal(&draws, p->shape[0], p->count / p->shape[0], p->gain, params->whole.values);
}

int mr_param_init(const struct mr_params *params, int index, const struct mr_config *cfg, uint64_t seed, size_t offset,
                  size_t count, float *out)
{
    const struct mr_param *p = params->list[index];
    const struct mr_philox draws = {.seed = seed, .stream = MR_STREAM_INIT, .step = (uint64_t)index};
    if (p->init) { /* these are vectors: all of them, then the part */
        float *all = mr_alloc(p->count, sizeof *all);
        if (!all)
            return MR_ENOMEM;
        p->init(cfg, p->block, all, p->count);
        memcpy(out, all + offset, count * sizeof *out);
        free(all);
        return 0;
    }
    if (p->gain > 0) {
        if (!params->whole.values || params->whole.index != index || params->whole.seed != seed)
            return mr_fail(MR_EINVAL, "%s was not drawn", p->name);
        memcpy(out, params->whole.values + offset, count * sizeof *out);
        return 0;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = p->std > 0     ? (float)(p->std * mr_philox_normal(&draws, offset + i))
                 : p->range > 0 ? (float)(p->range * (2.0 * (double)mr_philox_uniform(&draws, offset + i) - 1))
                                : (float)p->fill;
    return 0;
}

size_t mr_params_elements(const struct mr_params *params)
{
    size_t n = 0;
    for (int i = 0; i < params->count; i++)
        n += params->list[i]->count;
    return n;
}
