/* SPDX-License-Identifier: GPL-3.0-or-later
 * The training state in files: the project's own (adamw.m.NAME, adamw.v.NAME, "training"), or those
 * of training scripts for torch, which number the parameters (optimizer.state.N.exp_avg, "iter_num"). */
#ifndef MR_FORMATS_TRAINING_H
#define MR_FORMATS_TRAINING_H

#include "base/settings.h"
#include "formats/names.h"

enum mr_moments_kind { MR_MOMENTS_NONE, MR_MOMENTS_OWN, MR_MOMENTS_TORCH };

struct mr_moments {
    int kind;
    int *numbers; /* torch: the number of each parameter, in the order of mr_params */
    int decayed;  /* torch: parameters of the first group */
    bool unknown; /* there is an optimizer's state, but which number is which parameter is unknown */
};

/* Which moments the file has of the parameters. */
int mr_moments_open(struct mr_moments *moments, mr_tensor_file *source, const struct mr_naming *naming,
                    const struct mr_params *params);
void mr_moments_free(struct mr_moments *moments);
/* The tensor of parameter `index`'s first (which = 0) or second moment; -1: none. */
int64_t mr_moments_find(const struct mr_moments *moments, mr_tensor_file *source, const struct mr_params *params,
                        int index, int which);

/* The numbers that training scripts for torch give the parameters: those with decay first, in the order of the list.
 * The caller frees them. NULL: out of memory. *decayed as above. */
int *mr_torch_numbers(const struct mr_params *params, int *decayed);

/* The state of a training run, beside weights and moments. */
struct mr_training {
    int64_t iter, optimizer_steps;
    uint64_t micro_step, seed;
    double best_val_loss;
    int64_t best_iter;        /* where it was */
    char gemm_table[24];      /* the hash of the table that its products were made with; "": not said */
    int64_t ranks;            /* that trained together */
    bool weights_only;        /* without the optimizer's state */
    char *base;               /* of a run that trains an adapter: its model; or NULL */
    struct mr_settings given; /* the settings that were given */
};

void mr_training_free(struct mr_training *training); /* {0} is fine */
/* What the file says of it; *found false: nothing. MR_EFILE names what is wrong. */
int mr_training_read(mr_tensor_file *source, struct mr_training *training, bool *found);

/* The same as the JSON of a .mrw has it: the project's own as it stands there, unchecked. *json NULL: nothing is said.
 */
int mr_training_json_of(mr_tensor_file *source, json_t **json);
json_t *mr_training_to_json(const struct mr_training *training);

#endif
