/* SPDX-License-Identifier: GPL-3.0-or-later
 * States: what a text's past has left in each layer, in slots. A slot holds one text. */
#ifndef MR_MODEL_STATES_H
#define MR_MODEL_STATES_H

#include "model/model.h"

/* One state tensor of one layer. */
struct mr_state_tensor {
    mr_tensor whole;  /* [slots, stride] floats */
    size_t size;      /* of a slot, in floats */
    size_t stride;    /* from slot to slot: the size, padded to the device's alignment */
    mr_tensor *views; /* of each slot, made when first used */
};

typedef struct mr_states {
    mr_model *model;
    uint64_t serial; /* 1, 2, ... in the order in which the model's states were made */
    int slots;
    int64_t *position; /* [slots]: tokens read; negative after a failure in the middle of a call */
    struct mr_state_tensor *list;
    int count;
    mr_arena *arena;
} mr_states;

/* Whether the family keeps a state at all (MicroRWKV's reference mode does not). */
bool mr_states_possible(const struct mr_config *cfg);

/* Plans the states; list and position are allocated (mr_states_free). */
int mr_states_plan(mr_states *states, mr_plan *plan, const struct mr_config *cfg, const struct mr_device_info *info);
/* `slots` slots as mr_states_zero leaves them. force: see mr_plan_allocate. MR_EINVAL where the family has no state. */
int mr_states_create(mr_states **states, mr_model *model, int slots, bool force);
/* NULL is fine. */
void mr_states_free(mr_states *states);

/* Empties a slot, or gives it the model's initial state: the next token stands at position 0. Also mends a slot that a
 * failed call left undefined. */
int mr_states_zero(mr_states *states, int slot);
/* One slot becomes like another. */
int mr_states_copy(mr_states *states, int from, int to);

/* A slot as bytes, the same on every device: the position (int64), then the tensors (float) in the order of the
 * layers. Written to and read from host memory of mr_states_size() bytes. */
size_t mr_states_size(const mr_states *states);
int mr_states_read(mr_states *states, int slot, void *bytes);
int mr_states_write(mr_states *states, int slot, const void *bytes, size_t size);

/* The slot's part of state tensor i. */
int mr_states_view(mr_states *states, int i, int slot, const mr_tensor **view);

#endif
