/* SPDX-License-Identifier: GPL-3.0-or-later
 * One OpenCL device: its limits, tensors on it, launches, profile. Everything runs on one in-order queue:
 * launches and fills return at once; only mr_read, mr_finish and mr_tensor_map wait. */
#ifndef MR_RT_RT_H
#define MR_RT_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "microrwkv/export.h"

struct _cl_mem;
typedef struct mr_runtime mr_runtime;

/* What a device can do, after MICRORWKV_LIMITS, MICRORWKV_LANES lowered it; 0 means "not supported". */
struct mr_device_info {
    int index; /* over all platforms, as `devices` lists them and --device takes them */
    char platform[128], name[128], vendor[128], driver[128], version[128];
    bool is_gpu, is_cpu;
    bool is_rusticl;      /* Mesa's: its compiler does not know __builtin_prefetch */
    bool is_llvmpipe;     /* Mesa's CPU device: ends a work-item's loops after 65535 iterations in all */
    bool local_is_memory; /* local memory is ordinary memory (CL_GLOBAL): reduce by loops */
    bool shares_host_memory;
    bool fp16, subgroups;
    int compute_units, clock_mhz;
    size_t memory, max_alloc, local_memory, max_group, base_align; /* bytes, except max_group (work-items) */
    int lanes; /* work-items that share a row: the -D LANES of every kernel */
    int vec;   /* floats a work-item takes at a time: the -D VEC of every kernel */
};

/* All usable devices of all platforms; *list is freed by the caller. None at all: MR_ENODEV. */
int mr_device_list(struct mr_device_info **list, int *count);

/* Opens a device by index, by part of its platform's, vendor's or own name (any case), "gpu", "cuda*", "cpu",
 * or NULL: MICRORWKV_DEVICE, else the fastest, GPU before CPU. MR_ENODEV names what there is. */
MR_API int mr_runtime_open(mr_runtime **rt, const char *selector);
/* Waits for the queue, writes the program cache's new entries, frees all. NULL is fine. */
MR_API void mr_runtime_close(mr_runtime *rt);
/* Where the lines go that are logged while the runtime works; callback NULL: where mr_set_log says. */
MR_API void mr_runtime_set_log(mr_runtime *rt, mr_log_callback callback, void *context);
/* For mr_log_divert. */
const struct mr_log_sink *mr_runtime_log(const mr_runtime *rt);
/* NULL: a middling CPU, to plan for where there is no device. */
const struct mr_device_info *mr_runtime_info(const mr_runtime *rt);

/* From MR_F16 on: formats of weights, matrices [n,k] that products read (rt/gemm.h, ops/products.h). The quantised ones
 * hold 32 numbers of a row in a block, so that k is a multiple of 32. */
enum mr_element { MR_F32, MR_I32, MR_F16, MR_BF16, MR_Q8_0, MR_Q5_1, MR_Q5_0, MR_Q4_1, MR_Q4_0, MR_ELEMENTS };

/* A piece of device memory; at most 2^30 elements. {0} is none. */
typedef struct mr_tensor {
    struct _cl_mem *mem;
    size_t count; /* elements */
    enum mr_element dtype;
} mr_tensor;

const char *mr_element_name(enum mr_element dtype); /* "f32", "q8_0" */
/* Elements stored together, 1 or 32, and the bytes they take. */
size_t mr_element_block(enum mr_element dtype);
size_t mr_element_block_bytes(enum mr_element dtype);
/* Device memory that `count` elements (whole blocks) take; a format of weights has a few bytes more than its blocks,
 * so that its last rows can be read by whole vectors. */
size_t mr_element_bytes(enum mr_element dtype, size_t count);
static inline bool mr_is_weights(enum mr_element dtype)
{
    return dtype >= MR_F16;
}

/* New memory, not set. Counted in mr_device_bytes. */
int mr_tensor_alloc(mr_runtime *rt, mr_tensor *t, enum mr_element dtype, size_t count);
/* A view of count elements from `offset` on (a sub-buffer): offset * 4 must be a multiple of base_align.
 * Views are freed like tensors, before what they show. A view of a view is fine. In a format of weights a tensor can
 * only be viewed, copied, read or written whole, or row by row (below): its rows do not lie one behind the other. */
int mr_tensor_view(mr_runtime *rt, mr_tensor *view, const mr_tensor *of, size_t offset, size_t count);
/* Frees and zeroes; {0} is fine. */
void mr_tensor_free(mr_runtime *rt, mr_tensor *t);

/* The host's data are taken before mr_write returns; up to 4 MiB it does not wait for the device. */
int mr_write(mr_runtime *rt, const mr_tensor *t, size_t offset, size_t count, const void *host);
int mr_read(mr_runtime *rt, const mr_tensor *t, size_t offset, size_t count, void *host);
int mr_copy(mr_runtime *rt, const mr_tensor *from, size_t from_offset, const mr_tensor *to, size_t to_offset,
            size_t count);
int mr_zero(mr_runtime *rt, const mr_tensor *t); /* all elements 0 */
/* Part of a tensor as host memory, until mr_tensor_unmap, which must come before the next launch that uses it. No copy
 * where the device shares the host's memory. What `write` maps has no content before it is written. */
int mr_tensor_map(mr_runtime *rt, const mr_tensor *t, size_t offset, size_t count, bool write, void **host);
int mr_tensor_unmap(mr_runtime *rt, const mr_tensor *t, void *host);

/* Rows first .. first+rows-1 of a matrix [t->count / k, k] in any format, from host memory and back, as files hold
 * them: row after row, quantised ones in blocks of 32 (f16 d, then f16 m, u32 of fifth bits, digits). On the device the
 * rows of a format of weights are interleaved: `first` is a multiple of MR_ROWS_TOGETHER, and so is `rows` unless the
 * matrix ends there. MR_EINVAL otherwise, and if k is no multiple of the block. */
enum { MR_ROWS_TOGETHER = 256 };
int mr_write_rows(mr_runtime *rt, const mr_tensor *t, size_t k, size_t first, size_t rows, const void *host);
int mr_read_rows(mr_runtime *rt, const mr_tensor *t, size_t k, size_t first, size_t rows, void *host);
int mr_flush(mr_runtime *rt);  /* starts what is queued */
int mr_finish(mr_runtime *rt); /* waits for it */

/* Bytes allocated now and at most so far, views not counted. */
void mr_device_bytes(const mr_runtime *rt, size_t *now, size_t *peak);

/* ---- launches ------------------------------------------------------------------------------------------ */

struct mr_arg {
    enum { MR_ARG_IN, MR_ARG_OUT, MR_ARG_INT, MR_ARG_UINT, MR_ARG_FLOAT, MR_ARG_ULONG, MR_ARG_INT16 } kind;
    union {
        const mr_tensor *tensor;
        int32_t i;
        uint32_t u;
        float f;
        uint64_t ul;
        const int32_t *i16;
    } as;
};

/* IN: a `global const T *` parameter, OUT: a `global T *` one (read and written). NULL or {0} passes NULL. */
static inline struct mr_arg mr_in(const mr_tensor *t)
{
    return (struct mr_arg){MR_ARG_IN, {.tensor = t}};
}
static inline struct mr_arg mr_out(const mr_tensor *t)
{
    return (struct mr_arg){MR_ARG_OUT, {.tensor = t}};
}
static inline struct mr_arg mr_int(int32_t i)
{
    return (struct mr_arg){MR_ARG_INT, {.i = i}};
}
static inline struct mr_arg mr_uint(uint32_t u)
{
    return (struct mr_arg){MR_ARG_UINT, {.u = u}};
}
static inline struct mr_arg mr_float(float f)
{
    return (struct mr_arg){MR_ARG_FLOAT, {.f = f}};
}
static inline struct mr_arg mr_ulong(uint64_t u)
{
    return (struct mr_arg){MR_ARG_ULONG, {.ul = u}};
}
static inline struct mr_arg mr_int16(const int32_t sixteen[16]) /* an int16: many sizes in one argument */
{
    return (struct mr_arg){MR_ARG_INT16, {.i16 = sixteen}};
}

/* Work-groups in up to three dimensions (0 counts as 1) of local_size work-items (dimension 0 only).
 * One local size per kernel and device. `defines` ("-DN=96 -DTILE=8", or NULL) makes a variant of the file. */
struct mr_range {
    size_t groups[3];
    size_t local_size;
    const char *defines;
};

/* One work-group of LANES work-items per row. */
struct mr_range mr_rows(const mr_runtime *rt, size_t rows);
/* For element-wise kernels written with FOR_ITEMS(i, n) of cl/common.cl. */
struct mr_range mr_items(const mr_runtime *rt, size_t items);

/* Queues kernel `name` (of whichever cl/ file holds it; the file is compiled on first use). Number, kind and
 * const-ness of the arguments are checked against the kernel's own signature. */
int mr_launch_args(mr_runtime *rt, const char *name, struct mr_range range, const struct mr_arg *args, int count);
#define mr_launch(rt, name, range, ...)                                   \
    mr_launch_args(rt, name, range, (const struct mr_arg[]){__VA_ARGS__}, \
                   (int)(sizeof((const struct mr_arg[]){__VA_ARGS__}) / sizeof(struct mr_arg)))

/* Launches that are made many times with the same tensors and numbers: all from mr_record_begin to mr_record_end are
 * made and kept, and mr_replay makes them again as they were, without looking anything up. NULL where that cannot be:
 * one failed, or something else was queued between. The tensors must live when it is replayed. */
typedef struct mr_recording mr_recording;
int mr_record_begin(mr_runtime *rt);
mr_recording *mr_record_end(mr_runtime *rt);
int mr_replay(mr_runtime *rt, const mr_recording *recording);
void mr_recording_free(mr_recording *recording); /* NULL is fine */

/* Whether a kernel was launched since the device was opened. */
bool mr_was_launched(const mr_runtime *rt, const char *kernel);

/* ---- profile ------------------------------------------------------------------------------------------- */

/* From now on the time of every kernel is taken (slower). Call before the first launch. */
int mr_profile_start(mr_runtime *rt);
/* What the launches that follow read and write or compute, together, for GB/s and GFLOPS: the first of them is
 * credited with it. */
void mr_profile_note(mr_runtime *rt, double bytes, double flops);
struct mr_profile_row {
    const char *kernel;
    uint64_t calls;
    double seconds, bytes, flops;
};
/* Rows by falling time; *rows is freed by the caller. */
int mr_profile_rows(mr_runtime *rt, struct mr_profile_row **rows, int *count);

#endif
