/* SPDX-License-Identifier: GPL-3.0-or-later
 * Plans of memory and the arenas made from them. A tensor's place is decided when it is asked for: behind the
 * one before it in the segment of its kind, or at the start of the next segment where it does not fit. */
#include "rt/plan.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rt/host_memory.h"
#include "rt/internal.h"

enum { ELEMENT = 4 /* bytes that places and limits are told in */, LEAST_ALIGNMENT = 256 };
static const size_t largest_segment = ((size_t)1 << 30) * ELEMENT; /* bytes */

/* The segments of one kind of memory, and where the next tensor goes. */
struct layout {
    size_t *bytes; /* of each segment */
    int count, capacity;
    int segment; /* where the next tensor goes, if it fits */
    size_t end;  /* of the tensor before it */
};

struct item {
    mr_tensor *where;
    size_t count, offset; /* elements; bytes */
    enum mr_element dtype;
    enum mr_memory kind;
    int segment;
};

struct mr_plan {
    size_t alignment, limit; /* bytes; limit: of a segment */
    struct layout kinds[MR_MEMORY_KINDS];
    size_t others[MR_MEMORY_KINDS]; /* bytes of mr_plan_count */
    struct item *items;
    size_t count, capacity;
};

/* A tensor of the plan, findable by its memory. */
struct placed {
    struct _cl_mem *mem;
    mr_tensor *where;
    size_t offset; /* elements */
    int segment;
};

struct mr_arena {
    mr_tensor *segments[MR_MEMORY_KINDS];
    int count[MR_MEMORY_KINDS];
    struct placed *tensors; /* sorted by mem */
    size_t tensor_count;
};

const char *mr_memory_name(enum mr_memory kind)
{
    static const char *const names[] = {
        [MR_PARAMETERS] = "parameters",   [MR_GRADIENTS] = "gradients",
        [MR_MOMENTS] = "moments",         [MR_SECOND_MOMENTS] = "second moments",
        [MR_ACTIVATIONS] = "activations", [MR_RECOMPUTED] = "recomputed",
        [MR_SCRATCH] = "scratch",         [MR_STATE] = "state",
        [MR_BUFFERS] = "buffers",
    };
    return (int)kind >= 0 && kind < MR_MEMORY_KINDS ? names[kind] : "unknown";
}

int mr_plan_create(mr_plan **out, const struct mr_device_info *info)
{
    mr_plan *plan = mr_alloc(1, sizeof *plan);
    *out = plan;
    if (!plan)
        return MR_ENOMEM;
    plan->alignment = LEAST_ALIGNMENT;
    plan->limit = largest_segment;
    if (info) {
        while (plan->alignment % info->base_align)
            plan->alignment += LEAST_ALIGNMENT;
        if (info->max_alloc < plan->limit)
            plan->limit = info->max_alloc / plan->alignment * plan->alignment;
    }
    return 0;
}

void mr_plan_free(mr_plan *plan)
{
    if (!plan)
        return;
    for (int kind = 0; kind < MR_MEMORY_KINDS; kind++)
        free(plan->kinds[kind].bytes);
    free(plan->items);
    free(plan);
}

static int add_segment(struct layout *l)
{
    if (l->count == l->capacity) {
        int capacity = l->capacity ? l->capacity * 2 : 4;
        size_t *grown = mr_realloc(l->bytes, (size_t)capacity, sizeof *grown);
        if (!grown)
            return MR_ENOMEM;
        l->bytes = grown;
        l->capacity = capacity;
    }
    l->bytes[l->count++] = 0;
    return 0;
}

/* Both sizes are at most the limit, which is a multiple of the alignment: nothing overflows. */
static int place(const mr_plan *plan, struct layout *l, struct item *item)
{
    size_t bytes = mr_element_bytes(item->dtype, item->count), start = mr_round_up(l->end, plan->alignment);
    if (start + bytes > plan->limit) {
        l->segment++;
        start = 0;
    }
    while (l->count <= l->segment)
        MR_TRY(add_segment(l));
    l->end = start + bytes;
    size_t size = mr_round_up(l->end, plan->alignment);
    if (l->bytes[l->segment] < size)
        l->bytes[l->segment] = size;
    item->segment = l->segment;
    item->offset = start;
    return 0;
}

int mr_plan_add(mr_plan *plan, enum mr_memory kind, mr_tensor *where, enum mr_element dtype, size_t count)
{
    if ((int)kind < 0 || kind >= MR_MEMORY_KINDS)
        return mr_fail(MR_EINVAL, "mr_plan_add: unknown kind of memory %d", (int)kind);
    if (where)
        *where = (mr_tensor){0};
    if (count == 0)
        return 0;
    if (count % mr_element_block(dtype))
        return mr_fail(MR_EINVAL, "mr_plan_add: %zu elements of %s are not a whole number of blocks of %zu", count,
                       mr_element_name(dtype), mr_element_block(dtype));
    if (count > largest_segment / ELEMENT || mr_element_bytes(dtype, count) > plan->limit)
        return mr_fail(
            MR_ENOMEM,
            "a tensor of %zu elements (%s) exceeds the largest segment of memory, %zu elements: choose smaller sizes",
            count, mr_memory_name(kind), plan->limit / ELEMENT);
    if (plan->count == plan->capacity) {
        size_t capacity = plan->capacity ? plan->capacity * 2 : 64;
        struct item *grown = mr_realloc(plan->items, capacity, sizeof *grown);
        if (!grown)
            return MR_ENOMEM;
        plan->items = grown;
        plan->capacity = capacity;
    }
    struct item item = {.where = where, .count = count, .dtype = dtype, .kind = kind};
    MR_TRY(place(plan, &plan->kinds[kind], &item));
    plan->items[plan->count++] = item;
    return 0;
}

void mr_plan_overlay(mr_plan *plan, enum mr_memory kind)
{
    plan->kinds[kind].segment = 0;
    plan->kinds[kind].end = 0;
}

void mr_plan_count(mr_plan *plan, enum mr_memory kind, size_t bytes)
{
    plan->others[kind] += bytes;
}

size_t mr_plan_bytes(const mr_plan *plan, enum mr_memory kind)
{
    size_t sum = plan->others[kind];
    for (int i = 0; i < plan->kinds[kind].count; i++)
        sum += plan->kinds[kind].bytes[i];
    return sum;
}

/* Refuses what does not fit, or warns if forced. */
static int check_memory(const mr_plan *plan, const mr_runtime *rt, bool force)
{
    const struct mr_device_info *info = &rt->info;
    size_t total = 0, available = info->memory > rt->bytes ? info->memory - rt->bytes : 0;
    for (int kind = 0; kind < MR_MEMORY_KINDS; kind++)
        total += mr_plan_bytes(plan, kind);
    const char *whose = "device";
    if (info->shares_host_memory) {
        if (total > available)
            mr_log(MR_LOG_WARNING, "%.2f GiB are needed; '%s' reports only %.2f GiB, but it shares the host's memory",
                   (double)total / 0x1p30, info->name, (double)available / 0x1p30);
        available = mr_host_memory("");
        whose = "host";
    }
    if (total <= available)
        return 0;
    int err = mr_fail(
        MR_ENOMEM,
        "%.2f GiB are needed, but the %s has only %.2f GiB left: try a smaller batch_size or block_size, or --force",
        (double)total / 0x1p30, whose, (double)available / 0x1p30);
    if (!force)
        return err;
    mr_log(MR_LOG_WARNING, "%s (forced)", mr_error_text());
    return 0;
}

static int by_mem(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct placed *)a)->mem, y = (uintptr_t)((const struct placed *)b)->mem;
    return x < y ? -1 : x > y;
}

static int allocate_segments(const mr_plan *plan, mr_runtime *rt, mr_arena *arena)
{
    for (int kind = 0; kind < MR_MEMORY_KINDS; kind++) {
        const struct layout *l = &plan->kinds[kind];
        arena->segments[kind] = mr_alloc((size_t)l->count, sizeof **arena->segments);
        if (!arena->segments[kind])
            return MR_ENOMEM;
        for (int i = 0; i < l->count; i++) {
            mr_tensor *segment = &arena->segments[kind][i];
            if (mr_tensor_alloc(rt, segment, MR_F32, l->bytes[i] / ELEMENT))
                return mr_fail_in(MR_ENOMEM, "memory for %s", mr_memory_name(kind));
            arena->count[kind]++;
            if (kind != MR_PARAMETERS)
                MR_TRY(mr_zero(rt, segment));
        }
    }
    return 0;
}

/* Parameters are written by their owner; what lies between them, which vectors of their last rows read, is not. */
static int zero_gaps(const mr_plan *plan, mr_runtime *rt, const mr_arena *arena)
{
    const struct layout *l = &plan->kinds[MR_PARAMETERS];
    const struct item *last = NULL;
    for (size_t i = 0; i <= plan->count; i++) {
        const struct item *item = i < plan->count ? &plan->items[i] : NULL;
        if (item && item->kind != MR_PARAMETERS)
            continue;
        if (last) {
            size_t end = item && item->segment == last->segment ? item->offset : l->bytes[last->segment];
            size_t start =
                last->offset + last->count / mr_element_block(last->dtype) * mr_element_block_bytes(last->dtype);
            if (start < end)
                MR_TRY(mr_zero_bytes(rt, &arena->segments[MR_PARAMETERS][last->segment], start, end - start));
        }
        last = item;
    }
    return 0;
}

static int make_views(const mr_plan *plan, mr_runtime *rt, mr_arena *arena)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct item *item = &plan->items[i];
        if (!item->where)
            continue;
        mr_tensor view;
        const mr_tensor *segment = &arena->segments[item->kind][item->segment];
        MR_TRY(mr_tensor_window(rt, &view, segment, item->offset, item->dtype, item->count));
        *item->where = view;
        arena->tensors[arena->tensor_count++] =
            (struct placed){view.mem, item->where, item->offset / ELEMENT, item->segment};
    }
    qsort(arena->tensors, arena->tensor_count, sizeof *arena->tensors, by_mem);
    return 0;
}

int mr_plan_allocate(mr_plan *plan, mr_runtime *rt, bool force, mr_arena **out)
{
    *out = NULL;
    MR_TRY(check_memory(plan, rt, force));
    int err = 0;
    mr_arena *arena = mr_alloc(1, sizeof *arena);
    if (!arena)
        return MR_ENOMEM;
    arena->tensors = mr_alloc(plan->count, sizeof *arena->tensors);
    if (!arena->tensors)
        MR_GO(MR_ENOMEM);
    MR_GO(allocate_segments(plan, rt, arena));
    MR_GO(zero_gaps(plan, rt, arena));
    MR_GO(make_views(plan, rt, arena));
    *out = arena;
    return 0;

fail:
    mr_arena_free(rt, arena);
    return err;
}

void mr_arena_free(mr_runtime *rt, mr_arena *arena)
{
    if (!arena)
        return;
    for (size_t i = 0; i < arena->tensor_count; i++)
        mr_tensor_free(rt, arena->tensors[i].where);
    for (int kind = 0; kind < MR_MEMORY_KINDS; kind++) {
        for (int i = 0; i < arena->count[kind]; i++)
            mr_tensor_free(rt, &arena->segments[kind][i]);
        free(arena->segments[kind]);
    }
    free(arena->tensors);
    free(arena);
}

const mr_tensor *mr_arena_segments(const mr_arena *arena, enum mr_memory kind, int *n)
{
    *n = arena->count[kind];
    return arena->segments[kind];
}

int mr_arena_place(const mr_arena *arena, const mr_tensor *t, int *segment, size_t *offset)
{
    struct placed wanted = {.mem = t->mem};
    const struct placed *found = bsearch(&wanted, arena->tensors, arena->tensor_count, sizeof wanted, by_mem);
    if (!t->mem || !found)
        return mr_fail(MR_EINVAL, "the tensor does not belong to this plan");
    *segment = found->segment;
    *offset = found->offset;
    return 0;
}
