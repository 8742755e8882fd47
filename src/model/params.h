/* SPDX-License-Identifier: GPL-3.0-or-later
 * The parameters of a model: names, shapes, initial values, and where they lie on the device. */
#ifndef MR_MODEL_PARAMS_H
#define MR_MODEL_PARAMS_H

#include "model/config.h"
#include "rt/plan.h"

#define MR_NAME 120 /* longest parameter name, with its NUL */

/* Of a matrix W: y = W x + scale B (A drop(x)). */
struct mr_lora {
    struct mr_param *a, *b; /* [rank,in], [out,rank]; NULL: none */
    float scale, dropout;
};

struct mr_param {
    char name[MR_NAME];
    int ndim;
    size_t shape[4], count;
    int index;              /* its place in mr_params.list */
    enum mr_element format; /* of the weights on the device: MR_F32 unless the model's opener chose another */
    bool matrix;            /* the matrix of a linear layer, an embedding or a head: may have another format */
    bool linear;  /* meets its input only in mr_linear_run and mr_linear_backward, so that it takes an adapter */
    bool adapter; /* A or B of another one: in no model's file */
    struct mr_lora lora;
    bool decay;  /* takes part in AdamW's weight decay */
    bool frozen; /* is not trained: it has no gradient and no moments */
    int rate;    /* its learning rate is so many times the others'; 0: once */
    /* Its initial values: what init() writes where that is set; orthogonal where gain > 0 (the rows or the columns,
     * whichever are fewer, at right angles, each `gain` long); normal(0, std) where std > 0; uniform in [-range, range)
     * where range > 0; else `fill`. */
    double gain, std, range, fill;
    void (*init)(const struct mr_config *cfg, int block, float *out, size_t count);
    int block;
    mr_tensor value;
};

struct mr_params {
    struct mr_param **list; /* in the order of declaration, which is the order of files */
    int count, capacity;
    int error; /* of the last mr_declare that gave NULL */
    struct {
        int index;
        uint64_t seed;
        float *values; /* NULL: none */
    } whole;           /* see mr_param_draw */
};

/* Memory holds the parameters group by group, each in the order of declaration: with weight decay, without, and then by
 * rate; the frozen ones come last. The optimizer takes a group's part of a segment at a time. */
enum { MR_PARAM_TRAINED_GROUPS = 4, MR_PARAM_GROUPS };
int mr_param_group(const struct mr_param *p);

/* Number of elements of those that are not frozen. */
size_t mr_params_trained(const struct mr_params *params);

void mr_params_free(struct mr_params *params);

/* The parameter prefix + name; declared again (two layers share it) it is the same one. The shape ends with 0.
 * NULL when memory is out or the shapes disagree: the error is in params->error, its text set. */
struct mr_param *mr_declare(struct mr_params *params, const char *prefix, const char *name, const size_t *shape);
#define mr_shape(...) ((const size_t[]){__VA_ARGS__, 0})

/* The parameter of that name, or NULL without an error. */
struct mr_param *mr_param_find(const struct mr_params *params, const char *prefix, const char *name);

/* To be called before mr_param_init of that parameter: draws what is made as a whole, an orthogonal matrix. One at a
 * time is kept. */
int mr_param_draw(struct mr_params *params, int index, uint64_t seed);
/* Initial values, philox(seed; init, index of the parameter, element): count floats from
 * `offset` on into out. */
int mr_param_init(const struct mr_params *params, int index, const struct mr_config *cfg, uint64_t seed, size_t offset,
                  size_t count, float *out);

/* Number of elements of all parameters. */
size_t mr_params_elements(const struct mr_params *params);

#endif
