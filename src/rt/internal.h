/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the files of src/rt share and nobody else includes: the raw OpenCL handles, programs, variants. */
#ifndef MR_RT_INTERNAL_H
#define MR_RT_INTERNAL_H

#include <CL/cl.h>

#include "base/error.h"
#include "base/str.h"
#include "rt/kernels.h"
#include "rt/rt.h"

/* ---- device.c ------------------------------------------------------------------------------------------ */

struct mr_found_device {
    struct mr_device_info info;
    cl_platform_id platform;
    cl_device_id device;
    cl_int failed; /* the status of the first question that its driver failed to answer */
};

/* All usable devices in the order of their index; never 0 of them: MR_ENODEV. */
int mr_devices_find(struct mr_found_device **list, int *count);
/* The one meant by `selector` (not NULL): a pointer into the list, or NULL with the error set (MR_ENODEV). */
const struct mr_found_device *mr_device_choose(const struct mr_found_device *list, int count, const char *selector);

/* ---- programs and kernels ------------------------------------------------------------------------------ */

/* One kernel file compiled with one set of options. */
struct mr_program {
    int file;      /* of the table; -1: mr_program_build's own */
    char *defines; /* "" or the variant's "-DN=96" */
    char *options; /* all of them */
    uint64_t key[2];
    cl_program handle;
    bool cached;     /* came from the cache */
    char **launched; /* the kernels whose machine code the cache's entry holds, or will hold */
    int launched_count;
    bool grown; /* more were launched than the entry holds: write it again */
};

/* One kernel of one program, ready to launch. */
struct mr_variant {
    const struct mr_kernel *kernel;
    char *defines; /* as the caller wrote them: "" for NULL */
    uint32_t hash; /* of name and defines */
    struct mr_program *program;
    cl_kernel handle;
    size_t local_size; /* of the first launch; the same ever after */
    bool large;        /* launched with a large grid too */
    int row;           /* of the profile; -1: none yet */
};

/* A launch with all that it takes: its kernel's arguments are set. */
struct mr_launched {
    struct mr_variant *variant;
    cl_kernel handle; /* the variant's, or a recording's own */
    size_t global[3], local[3];
    double bytes, flops; /* what mr_profile_note said */
};

/* One kernel's or command's sum in the profile. */
struct mr_profile_event {
    cl_event event;
    int row;
};

struct mr_staged { /* a host copy that a write still reads */
    void *block;
    size_t size; /* of it, in bytes */
    cl_event event;
};

enum { MR_STAGES = 16, MR_EVENTS = 512, MR_FLUSH_EVERY = 64 };

struct mr_runtime {
    struct mr_log_sink log;
    struct mr_device_info info;
    cl_platform_id platform;
    cl_device_id device;
    cl_context context;
    cl_command_queue queue; /* in order; may be replaced by mr_profile_start */
    const struct mr_kernel_table *table;
    char platform_version[128];

    struct mr_program **programs;
    int program_count, program_capacity;
    struct mr_variant **variants; /* open addressing by hash; a power of two of places, NULL: free */
    size_t variant_count, variant_places;

    char *cache_folder; /* NULL: no cache */
    bool cache_read_only;
    int cache_hits, cache_builds, cache_written;

    size_t bytes, peak; /* allocated now and at most */
    unsigned queued;    /* commands since the last flush */
    struct mr_staged staged[MR_STAGES];
    unsigned next_stage;

    struct mr_gemm_state *gemm; /* gemm.c's */
    mr_recording *recording;    /* that runs; NULL: none */

    bool profiling;
    struct mr_profile_row *rows;
    int row_count, row_capacity;
    struct mr_profile_event pending[MR_EVENTS];
    int pending_count;
    double note_bytes, note_flops;
};

/* mr_runtime_open with other kernels than the embedded ones (tests). */
int mr_runtime_open_table(mr_runtime **rt, const char *selector, const struct mr_kernel_table *table);

/* The error of an OpenCL call: names the code; MR_ENOMEM where it means memory, else MR_EDEVICE. */
__attribute__((format(printf, 2, 3))) int mr_cl_fail(cl_int status, const char *format, ...);
const char *mr_cl_name(cl_int status);

/* Finds or makes the variant of a kernel; its program is loaded or built on first use. */
int mr_variant_find(mr_runtime *rt, const char *name, const char *defines, struct mr_variant **variant);
/* PoCL compiles a kernel when it is first launched, and again for grids of MR_LARGE_GRID work-items or more;
 * other runtimes do so when the program is built. */
enum { MR_LARGE_GRID = 65535 };
bool mr_compiles_late(const mr_runtime *rt);
/* Remembers that a kernel of the program ran, for the cache's entry; large: its name has "large" behind it. */
int mr_program_launched(struct mr_program *program, const char *kernel, bool large);
/* Forgets all of them. */
void mr_program_forget(struct mr_program *program);
/* Compiles a source; a failure names the file and its lines by the compiler's log. */
int mr_program_build(mr_runtime *rt, const char *name, const char *source, const char *options, cl_program *program);
void mr_programs_free(mr_runtime *rt);

/* Queues it. */
int mr_enqueue(mr_runtime *rt, const struct mr_launched *launch);
/* While a recording runs: gives the launch a kernel of its own, to set the arguments of, and then takes its sizes. */
int mr_record_kernel(mr_runtime *rt, struct mr_launched *launch);
void mr_record_sizes(mr_runtime *rt, const struct mr_launched *launch);
/* What cannot be made again was queued: a recording that runs will be none. */
void mr_record_spoil(mr_runtime *rt);

/* ---- cache.c ------------------------------------------------------------------------------------------- */

/* Appends the folder for what can be made again, which may not be there yet; 0 where none can be. */
int mr_cache_path(struct mr_str *path);
/* Chooses the folder and makes it; without one only a warning is logged. */
int mr_cache_open(mr_runtime *rt);
/* Before OpenCL is first called: where PoCL cannot write its own cache it offers no device, so it is given a folder. */
void mr_cache_for_pocl(void);
/* The key of a program: source, options, device, driver, platform, format. */
int mr_cache_key(const mr_runtime *rt, const char *source, const char *options, uint64_t key[2]);
/* Loads program->handle and the names of its launched kernels; false: no entry, or not one to be trusted. */
bool mr_cache_load(mr_runtime *rt, struct mr_program *program);
/* Writes the entries of programs that are new or have grown; what fails is logged only. */
void mr_cache_write(mr_runtime *rt);
/* Where that takes long, a process of its own does it, unless MICRORWKV_CACHE_WAIT is set; false: nobody does. */
bool mr_cache_write_aside(mr_runtime *rt);

/* ---- tensor.c, weights.c -------------------------------------------------------------------------------- */

/* A view of some bytes of a tensor's memory as `count` elements of any kind. */
int mr_tensor_window(mr_runtime *rt, mr_tensor *view, const mr_tensor *of, size_t start, enum mr_element dtype,
                     size_t count);

/* Bytes from `start` on, as they lie on the device. */
int mr_write_bytes(mr_runtime *rt, const mr_tensor *t, size_t start, size_t bytes, const void *host);
int mr_read_bytes(mr_runtime *rt, const mr_tensor *t, size_t start, size_t bytes, void *host);
int mr_zero_bytes(mr_runtime *rt, const mr_tensor *t, size_t start, size_t bytes);

/* ---- gemm.c -------------------------------------------------------------------------------------------- */

/* Reads the table of matrix products and MICRORWKV_GEMM. */
int mr_gemm_open(mr_runtime *rt);
void mr_gemm_close(mr_runtime *rt);

/* ---- queue: for gemm.c and tensor.c -------------------------------------------------------------------- */

/* Where to pass as the event argument of an enqueue: NULL unless profiling. */
static inline cl_event *mr_profile_slot(const mr_runtime *rt, cl_event *event)
{
    *event = NULL;
    return rt->profiling ? event : NULL;
}

/* Call after every enqueue: counts the command under `name` (a string that stays) with the work of the last
 * mr_profile_note (bytes < 0), or `bytes`; takes the event over (NULL is fine); flushes now and then. */
int mr_queued(mr_runtime *rt, const char *name, cl_event event, double bytes);
/* The same with the profile row of a variant, and its work. */
int mr_queued_variant(mr_runtime *rt, struct mr_variant *variant, cl_event event, double bytes, double flops);
void mr_profile_free(mr_runtime *rt);
void mr_staged_free(mr_runtime *rt);

#endif
