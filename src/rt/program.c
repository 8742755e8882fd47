/* SPDX-License-Identifier: GPL-3.0-or-later
 * Programs and kernels by name: a file of cl/ is loaded from the cache or built when one of its kernels is
 * first asked for; variants (kernel and -D options) are found by a hash table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/str.h"
#include "rt/internal.h"

/* FNV-1a over both texts. */
static uint32_t hash_of(const char *name, const char *defines)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 16777619u;
    hash = (hash ^ ' ') * 16777619u;
    for (; *defines; defines++)
        hash = (hash ^ (unsigned char)*defines) * 16777619u;
    return hash;
}

/* The place of a variant in the table, or the free place where it belongs. */
static size_t place_of(const mr_runtime *rt, uint32_t hash, const char *name, const char *defines)
{
    size_t at = hash & (rt->variant_places - 1);
    for (; rt->variants[at]; at = (at + 1) & (rt->variant_places - 1)) {
        const struct mr_variant *v = rt->variants[at];
        if (v->hash == hash && !strcmp(v->kernel->name, name) && !strcmp(v->defines, defines))
            break;
    }
    return at;
}

static int grow_table(mr_runtime *rt)
{
    size_t old_places = rt->variant_places;
    struct mr_variant **old = rt->variants, **grown = mr_alloc(old_places ? old_places * 2 : 64, sizeof *grown);
    if (!grown)
        return MR_ENOMEM;
    rt->variants = grown;
    rt->variant_places = old_places ? old_places * 2 : 64;
    for (size_t i = 0; i < old_places; i++)
        if (old[i])
            grown[place_of(rt, old[i]->hash, old[i]->kernel->name, old[i]->defines)] = old[i];
    free(old);
    return 0;
}

static int by_name(const void *name, const void *kernel)
{
    return strcmp(name, ((const struct mr_kernel *)kernel)->name);
}

/* The compiler's log: from its first error on, or all of it; the caller frees it. */
static char *build_log(const mr_runtime *rt, cl_program program)
{
    size_t n = 0;
    char *log;
    if (clGetProgramBuildInfo(program, rt->device, CL_PROGRAM_BUILD_LOG, 0, NULL, &n) || !(log = mr_alloc(n + 1, 1)))
        return NULL;
    if (clGetProgramBuildInfo(program, rt->device, CL_PROGRAM_BUILD_LOG, n, log, NULL))
        log[0] = 0;
    for (size_t end = strlen(log); end && (log[end - 1] == '\n' || log[end - 1] == ' ');)
        log[--end] = 0;
    const char *error = strstr(log, "error:");
    while (error && error > log && error[-1] != '\n')
        error--;
    if (error)
        memmove(log, error, strlen(error) + 1);
    return log;
}

int mr_program_build(mr_runtime *rt, const char *name, const char *source, const char *options, cl_program *program)
{
    cl_int status;
    *program = clCreateProgramWithSource(rt->context, 1, &source, NULL, &status);
    if (!*program)
        return mr_cl_fail(status, "cannot create a program from %s", name);
    status = clBuildProgram(*program, 1, &rt->device, options, NULL, NULL);
    if (!status)
        return 0;
    char *log = build_log(rt, *program);
    int err = mr_cl_fail(status, "cannot compile %s for '%s' with %s", name, rt->info.name, options);
    if (log && *log) {
        mr_log(MR_LOG_WARNING, "%s: compiler output:\n%s", name, log);
        err = mr_fail(err, "%s\n%s", mr_error_text(), log);
    }
    free(log);
    clReleaseProgram(*program);
    *program = NULL;
    return err;
}

static int build_table_program(mr_runtime *rt, struct mr_program *p)
{
    const struct mr_kernel_file *file = &rt->table->files[p->file];
    MR_TRY(mr_program_build(rt, file->name, file->source, p->options, &p->handle));
    mr_log(MR_LOG_DEBUG, "%s was compiled with %s", file->name, p->options);
    p->cached = false;
    rt->cache_builds++;
    return 0;
}

void mr_program_forget(struct mr_program *p)
{
    for (int i = 0; i < p->launched_count; i++)
        free(p->launched[i]);
    free(p->launched);
    p->launched = NULL;
    p->launched_count = 0;
}

static void program_free(struct mr_program *p)
{
    if (!p)
        return;
    mr_program_forget(p);
    if (p->handle)
        clReleaseProgram(p->handle);
    free(p->defines);
    free(p->options);
    free(p);
}

static int make_program(mr_runtime *rt, int file, const char *defines, struct mr_program **out)
{
    struct mr_str options = {0};
    int err = 0;
    struct mr_program *p = mr_alloc(1, sizeof *p);
    if (!p)
        return MR_ENOMEM;
    p->file = file;
    MR_GO(mr_str_printf(&options, "-cl-std=CL1.2 -w -DLANES=%d -DVEC=%d%s%s%s", rt->info.lanes, rt->info.vec,
                        rt->info.is_rusticl ? " -DNO_PREFETCH" : "", *defines ? " " : "", defines));
    p->options = options.text;
    p->defines = mr_strdup(defines);
    if (!p->defines)
        MR_GO(MR_ENOMEM);
    MR_GO(mr_cache_key(rt, rt->table->files[file].source, p->options, p->key));
    if (mr_cache_load(rt, p))
        rt->cache_hits++;
    else
        MR_GO(build_table_program(rt, p));
    *out = p;
    return 0;

fail:
    if (!p->options)
        mr_str_free(&options);
    program_free(p);
    return err;
}

static int find_program(mr_runtime *rt, int file, const char *defines, struct mr_program **program)
{
    for (int i = 0; i < rt->program_count; i++) {
        if (rt->programs[i]->file == file && !strcmp(rt->programs[i]->defines, defines)) {
            *program = rt->programs[i];
            return 0;
        }
    }
    if (rt->program_count == rt->program_capacity) {
        int capacity = rt->program_capacity ? rt->program_capacity * 2 : 16;
        struct mr_program **grown = mr_realloc(rt->programs, (size_t)capacity, sizeof *grown);
        if (!grown)
            return MR_ENOMEM;
        rt->programs = grown;
        rt->program_capacity = capacity;
    }
    MR_TRY(make_program(rt, file, defines, program));
    rt->programs[rt->program_count++] = *program;
    return 0;
}

/* A program from the cache that lacks the kernel, or whose kernel differs, is built anew. */
static int create_kernel(mr_runtime *rt, struct mr_program *p, const struct mr_kernel *kernel, cl_kernel *handle)
{
    for (;;) {
        cl_int status;
        cl_uint parameters = 0;
        *handle = clCreateKernel(p->handle, kernel->name, &status);
        if (*handle)
            status = clGetKernelInfo(*handle, CL_KERNEL_NUM_ARGS, sizeof parameters, &parameters, NULL);
        if (*handle && !status && (int)parameters == kernel->count)
            return 0;
        if (*handle)
            clReleaseKernel(*handle);
        *handle = NULL;
        if (!p->cached && status)
            return mr_cl_fail(status, "%s: cannot take this kernel from %s", kernel->name,
                              rt->table->files[p->file].name);
        if (!p->cached)
            return mr_fail(MR_EDEVICE, "%s: %s does not define this kernel with %d parameters", kernel->name,
                           rt->table->files[p->file].name, kernel->count);
        clReleaseProgram(p->handle);
        p->handle = NULL;
        mr_program_forget(p);
        MR_TRY(build_table_program(rt, p));
    }
}

static int make_variant(mr_runtime *rt, const char *name, const char *defines, uint32_t hash, struct mr_variant **out)
{
    const struct mr_kernel_table *table = rt->table;
    const struct mr_kernel *kernel =
        bsearch(name, table->kernels, (size_t)table->kernel_count, sizeof *kernel, by_name);
    if (!kernel)
        return mr_fail(MR_EINVAL, "no file in cl/ defines kernel '%s'", name);
    int err = 0;
    struct mr_variant *v = mr_alloc(1, sizeof *v);
    if (!v)
        return MR_ENOMEM;
    v->kernel = kernel;
    v->hash = hash;
    v->row = -1;
    v->defines = mr_strdup(defines);
    if (!v->defines)
        MR_GO(MR_ENOMEM);
    MR_GO(find_program(rt, kernel->file, defines, &v->program));
    MR_GO(create_kernel(rt, v->program, kernel, &v->handle));
    *out = v;
    return 0;

fail:
    free(v->defines);
    free(v);
    return err;
}

int mr_variant_find(mr_runtime *rt, const char *name, const char *defines, struct mr_variant **variant)
{
    if (!defines)
        defines = "";
    if (rt->variant_count * 2 >= rt->variant_places)
        MR_TRY(grow_table(rt));
    uint32_t hash = hash_of(name, defines);
    size_t at = place_of(rt, hash, name, defines);
    if (!rt->variants[at]) {
        MR_TRY(make_variant(rt, name, defines, hash, &rt->variants[at]));
        rt->variant_count++;
    }
    *variant = rt->variants[at];
    return 0;
}

bool mr_compiles_late(const mr_runtime *rt)
{
    return strstr(rt->info.platform, "Portable Computing Language") != NULL;
}

int mr_program_launched(struct mr_program *p, const char *kernel, bool large)
{
    char name[128];
    snprintf(name, sizeof name, "%s%s", kernel, large ? " large" : "");
    for (int i = 0; i < p->launched_count; i++)
        if (!strcmp(p->launched[i], name))
            return 0;
    char **grown = mr_realloc(p->launched, (size_t)p->launched_count + 1, sizeof *grown);
    if (!grown)
        return MR_ENOMEM;
    p->launched = grown;
    grown[p->launched_count] = mr_strdup(name);
    if (!grown[p->launched_count])
        return MR_ENOMEM;
    p->launched_count++;
    p->grown = true;
    return 0;
}

void mr_programs_free(mr_runtime *rt)
{
    for (size_t i = 0; i < rt->variant_places; i++) {
        if (!rt->variants[i])
            continue;
        clReleaseKernel(rt->variants[i]->handle);
        free(rt->variants[i]->defines);
        free(rt->variants[i]);
    }
    free(rt->variants);
    for (int i = 0; i < rt->program_count; i++)
        program_free(rt->programs[i]);
    free(rt->programs);
}

bool mr_was_launched(const mr_runtime *rt, const char *kernel)
{
    for (size_t i = 0; i < rt->variant_places; i++) {
        const struct mr_variant *v = rt->variants[i];
        if (v && v->local_size && !strcmp(v->kernel->name, kernel))
            return true;
    }
    return false;
}
