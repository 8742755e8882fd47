/* SPDX-License-Identifier: GPL-3.0-or-later
 * Memory is planned, then allocated once: everyone says what it needs, the plan can be shown (also without a
 * device), then arenas are allocated in segments and the tensors carved from them as views. */
#ifndef MR_RT_PLAN_H
#define MR_RT_PLAN_H

#include "rt/rt.h"

typedef struct mr_plan mr_plan;

enum mr_memory {
    MR_PARAMETERS,
    MR_GRADIENTS,
    MR_MOMENTS,        /* the optimizer's: means of gradients */
    MR_SECOND_MOMENTS, /* and of their squares */
    MR_ACTIVATIONS,    /* kept from forward to backward */
    MR_RECOMPUTED,     /* kept within one block, whose forward runs again before its backward: blocks share the space */
    MR_SCRATCH,        /* valid within one call of one layer: the space is shared between layers */
    MR_STATE,          /* what a decoder carries from token to token */
    MR_BUFFERS,        /* inputs, logits, scalars, a library's own */
    MR_MEMORY_KINDS,
};

/* info may be NULL: a plan without a device (alignment 256 bytes, no limits). */
int mr_plan_create(mr_plan **plan, const struct mr_device_info *info);
void mr_plan_free(mr_plan *plan); /* not the memory */

/* Asks for `count` elements; *where (which must stay where it is) becomes a view at mr_plan_allocate. Tensors
 * of one kind lie in the order asked for, each at a multiple of the alignment, in segments of at most 2^30
 * elements. Sizes are checked here: a tensor larger than a segment fails. */
int mr_plan_add(mr_plan *plan, enum mr_memory kind, mr_tensor *where, enum mr_element dtype, size_t count);

/* What is asked for of this kind after this call overlays what was asked for before it. */
void mr_plan_overlay(mr_plan *plan, enum mr_memory kind);

/* Counts bytes that somebody else allocates (a library's scratch) among those of a kind. */
void mr_plan_count(mr_plan *plan, enum mr_memory kind, size_t bytes);

/* Bytes of one kind, padding included. */
size_t mr_plan_bytes(const mr_plan *plan, enum mr_memory kind);
const char *mr_memory_name(enum mr_memory kind);

typedef struct mr_arena mr_arena; /* the allocated memory of one plan */

/* Checks the plan against the device (own memory: a shortfall fails unless force; shared with the host:
 * compared with what the host has left), allocates memory, zeroed except parameters, which are all written by who asked
 * for them, fills in all tensors. */
int mr_plan_allocate(mr_plan *plan, mr_runtime *rt, bool force, mr_arena **arena);
/* Frees the memory and zeroes the tensors. NULL is fine. */
void mr_arena_free(mr_runtime *rt, mr_arena *arena);

/* The segments of one kind, for what works on all of it (optimizer, copies of states); count in *n. */
const mr_tensor *mr_arena_segments(const mr_arena *arena, enum mr_memory kind, int *n);
/* Where a planned tensor lies: segment number and element offset within it. */
int mr_arena_place(const mr_arena *arena, const mr_tensor *t, int *segment, size_t *offset);

#endif
