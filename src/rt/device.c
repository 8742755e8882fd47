/* SPDX-License-Identifier: GPL-3.0-or-later
 * Platforms, devices, their limits, and the choice of one. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/str.h"
#include "rt/internal.h"

#define DEVICE_WAVEFRONT_WIDTH_AMD 0x4043
#define DEVICE_WARP_SIZE_NV 0x4003
#define DEVICE_PREFERRED_WORK_GROUP_SIZE_MULTIPLE 0x1067 /* OpenCL 3.0 */

enum { LARGEST_LANES = 256, LEAST_LOCAL = 1 << 10, LEAST_ALLOC = 1 << 20 };

/* What MICRORWKV_LIMITS, MICRORWKV_LANES and MICRORWKV_VEC ask for; 0: nothing. */
struct limits {
    size_t local, group, alloc;
    int lanes, vec;
};

/* "32K", "256", "1G": K, M, G are powers of 1024. */
static bool parse_size(const char *text, size_t *size)
{
    if (!isdigit((unsigned char)*text))
        return false;
    char *end;
    unsigned long long n = strtoull(text, &end, 10);
    const char *suffixes = "KMGT", *suffix = *end ? strchr(suffixes, toupper((unsigned char)*end)) : NULL;
    int shift = suffix ? 10 * (int)(suffix - suffixes + 1) : 0;
    if (end[suffix ? 1 : 0] || n > SIZE_MAX >> shift)
        return false;
    *size = (size_t)n << shift;
    return true;
}

static int parse_limit(const char *item, struct limits *limits)
{
    static const char *const names[] = {"local", "group", "alloc"};
    size_t *const values[] = {&limits->local, &limits->group, &limits->alloc};
    for (int i = 0; i < 3; i++) {
        size_t n = strlen(names[i]);
        if (strncmp(item, names[i], n) || item[n] != '=')
            continue;
        if (!parse_size(item + n + 1, values[i]) || *values[i] == 0)
            return mr_fail(MR_ENODEV, "MICRORWKV_LIMITS: '%s' is not a size above 0, such as 32K, 256 or 1G", item);
        return 0;
    }
    return mr_fail(MR_ENODEV, "MICRORWKV_LIMITS: unknown limit '%s'; write local=32K,group=256,alloc=256M", item);
}

/* The power of two from least to most that the environment names, or 0. */
static int parse_power(const char *name, size_t least, size_t most, int *value)
{
    const char *text = getenv(name);
    size_t n = 0;
    if (text && *text && (!parse_size(text, &n) || n < least || n > most || n & (n - 1)))
        return mr_fail(MR_ENODEV, "%s: '%s' is not a power of two from %zu to %zu", name, text, least, most);
    *value = (int)n;
    return 0;
}

static int parse_limits(struct limits *limits)
{
    *limits = (struct limits){0};
    const char *text = getenv("MICRORWKV_LIMITS");
    while (text && *text) {
        char item[64];
        size_t n = strcspn(text, ",");
        if (n >= sizeof item)
            return mr_fail(MR_ENODEV, "MICRORWKV_LIMITS: cannot parse '%s'; write local=32K,group=256", text);
        memcpy(item, text, n);
        item[n] = 0;
        MR_TRY(parse_limit(item, limits));
        text += n + (text[n] == ',');
    }
    MR_TRY(parse_power("MICRORWKV_LANES", 1, LARGEST_LANES, &limits->lanes));
    return parse_power("MICRORWKV_VEC", 4, 16, &limits->vec);
}

static int lower(const char *name, const char *device, size_t asked, size_t least, size_t *value)
{
    if (asked == 0)
        return 0;
    if (asked > *value || asked < least)
        return mr_fail(MR_ENODEV, "MICRORWKV_LIMITS: %s=%zu is out of range for '%s', which allows %zu to %zu", name,
                       asked, device, least, *value);
    *value = asked;
    return 0;
}

/* clGetDeviceInfo. CL_INVALID_VALUE: the driver is too old to know the question; any other failure makes the device
 * unusable, since its other answers would make another device of it. */
static cl_int ask(struct mr_found_device *d, cl_device_info what, size_t size, void *value, size_t *got)
{
    cl_int status = clGetDeviceInfo(d->device, what, size, value, got);
    if (status && status != CL_INVALID_VALUE && !d->failed)
        d->failed = status;
    return status;
}

/* The work-items that share a row: a wavefront on a GPU, 1 where local memory is ordinary memory. */
static int default_lanes(struct mr_found_device *d)
{
    const struct mr_device_info *info = &d->info;
    if (info->is_llvmpipe)
        return 8; /* shorter loops for each work-item */
    if (info->local_is_memory || (info->is_cpu && !info->is_gpu))
        return 1;
    size_t multiple = 0;
    cl_uint width = 0;
    if (ask(d, DEVICE_PREFERRED_WORK_GROUP_SIZE_MULTIPLE, sizeof multiple, &multiple, NULL))
        multiple = 0;
    if (!multiple && !ask(d, DEVICE_WAVEFRONT_WIDTH_AMD, sizeof width, &width, NULL))
        multiple = width;
    if (!multiple && !ask(d, DEVICE_WARP_SIZE_NV, sizeof width, &width, NULL))
        multiple = width;
    size_t lanes = multiple == 32 ? 32 : 64;
    while (lanes > info->max_group)
        lanes /= 2;
    return (int)lanes;
}

static int apply_limits(struct mr_found_device *d, const struct limits *limits)
{
    struct mr_device_info *info = &d->info;
    MR_TRY(lower("local", info->name, limits->local, LEAST_LOCAL, &info->local_memory));
    MR_TRY(lower("group", info->name, limits->group, 1, &info->max_group));
    MR_TRY(lower("alloc", info->name, limits->alloc, LEAST_ALLOC, &info->max_alloc));
    info->lanes = limits->lanes ? limits->lanes : default_lanes(d);
    if ((size_t)info->lanes > info->max_group)
        return mr_fail(MR_ENODEV,
                       "MICRORWKV_LANES=%d is too large for '%s': its work-groups have at most %zu work-items",
                       info->lanes, info->name, info->max_group);
    cl_uint native = 0;
    ask(d, CL_DEVICE_NATIVE_VECTOR_WIDTH_FLOAT, sizeof native, &native, NULL);
    if (d->failed)
        return mr_cl_fail(d->failed, "'%s' cannot be asked for its properties", info->name);
    info->vec = limits->vec ? limits->vec : info->lanes > 1 ? 4 : native >= 16 ? 16 : 8;
    return 0;
}

static void trimmed(char *text)
{
    size_t from = strspn(text, " \t"), n = strlen(text);
    while (n > from && isspace((unsigned char)text[n - 1]))
        n--;
    memmove(text, text + from, n - from);
    text[n - from] = 0;
}

/* What a driver says in words, as a string of its own; NULL: nothing. */
static char *words_of(struct mr_found_device *d, cl_device_info what)
{
    char *all = NULL;
    size_t n = 0;
    if (ask(d, what, 0, NULL, &n) || n == 0)
        return NULL;
    if (!(all = mr_alloc(n + 1, 1)))
        d->failed = CL_OUT_OF_HOST_MEMORY;
    else if (ask(d, what, n, all, NULL))
        all[0] = 0;
    return all;
}

static void device_text(struct mr_found_device *d, cl_device_info what, char *text, size_t size)
{
    char *all = words_of(d, what);
    snprintf(text, size, "%s", all ? all : "");
    trimmed(text);
    free(all);
}

static void platform_text(cl_platform_id platform, cl_platform_info what, char *text, size_t size)
{
    char all[1024] = "";
    if (clGetPlatformInfo(platform, what, sizeof all, all, NULL))
        all[0] = 0;
    size_t n = strnlen(all, size - 1);
    memcpy(text, all, n);
    text[n] = 0;
    trimmed(text);
}

static bool has_extension(struct mr_found_device *d, const char *name)
{
    char *all = words_of(d, CL_DEVICE_EXTENSIONS);
    bool found = all && strstr(all, name);
    free(all);
    return found;
}

static uint64_t device_number(struct mr_found_device *d, cl_device_info what)
{
    uint64_t n = 0; /* little-endian hosts only: smaller kinds fill the low bytes */
    return ask(d, what, sizeof n, &n, NULL) ? 0 : n;
}

static void fill_info(struct mr_found_device *d)
{
    struct mr_device_info *info = &d->info;
    platform_text(d->platform, CL_PLATFORM_NAME, info->platform, sizeof info->platform);
    device_text(d, CL_DEVICE_NAME, info->name, sizeof info->name);
    device_text(d, CL_DEVICE_VENDOR, info->vendor, sizeof info->vendor);
    device_text(d, CL_DRIVER_VERSION, info->driver, sizeof info->driver);
    device_text(d, CL_DEVICE_VERSION, info->version, sizeof info->version);
    cl_device_type type = device_number(d, CL_DEVICE_TYPE);
    info->is_gpu = type & CL_DEVICE_TYPE_GPU;
    info->is_cpu = type & CL_DEVICE_TYPE_CPU;
    info->is_rusticl = !strcmp(info->platform, "rusticl");
    info->is_llvmpipe = info->is_rusticl && !strncmp(info->name, "llvmpipe", 8);
    info->local_is_memory = device_number(d, CL_DEVICE_LOCAL_MEM_TYPE) == CL_GLOBAL;
    info->shares_host_memory = device_number(d, CL_DEVICE_HOST_UNIFIED_MEMORY) != 0;
    info->fp16 = has_extension(d, "cl_khr_fp16");
    info->subgroups = has_extension(d, "cl_khr_subgroups") || has_extension(d, "cl_intel_subgroups");
    info->compute_units = (int)device_number(d, CL_DEVICE_MAX_COMPUTE_UNITS);
    info->clock_mhz = (int)device_number(d, CL_DEVICE_MAX_CLOCK_FREQUENCY);
    info->memory = device_number(d, CL_DEVICE_GLOBAL_MEM_SIZE);
    info->max_alloc = device_number(d, CL_DEVICE_MAX_MEM_ALLOC_SIZE);
    info->local_memory = device_number(d, CL_DEVICE_LOCAL_MEM_SIZE);
    info->max_group = device_number(d, CL_DEVICE_MAX_WORK_GROUP_SIZE);
    info->base_align = device_number(d, CL_DEVICE_MEM_BASE_ADDR_ALIGN) / 8;
    if (info->base_align < 4)
        info->base_align = 4;
    size_t items[16] = {0};
    if (!ask(d, CL_DEVICE_MAX_WORK_ITEM_SIZES, sizeof items, items, NULL) && items[0] && items[0] < info->max_group)
        info->max_group = items[0];
    if (info->is_llvmpipe && info->max_group > 32)
        info->max_group = 32; /* what it says of every kernel, but not of itself */
}

/* NULL, or why the device cannot be used. */
static const char *unusable(struct mr_found_device *d)
{
    int major = 0, minor = 0;
    bool available = device_number(d, CL_DEVICE_AVAILABLE), compiler = device_number(d, CL_DEVICE_COMPILER_AVAILABLE);
    bool little_endian = device_number(d, CL_DEVICE_ENDIAN_LITTLE);
    if (d->failed)
        return mr_cl_name(d->failed);
    if (sscanf(d->info.version, "OpenCL %d.%d", &major, &minor) != 2 || major * 10 + minor < 12)
        return "it is older than OpenCL 1.2";
    if (!available)
        return "its driver reports it as unavailable";
    if (!compiler)
        return "its driver has no compiler";
    if (!little_endian)
        return "it is not little-endian";
    if (d->info.max_alloc < LEAST_ALLOC || d->info.local_memory < LEAST_LOCAL || d->info.max_group < 1)
        return "its driver reports no memory or no work-items";
    return NULL;
}

/* What the platforms have; failed: the status of the last call of a driver that failed. */
struct finding {
    struct mr_found_device *list;
    int count;
    cl_int failed;
};

static int add_devices(cl_platform_id platform, struct finding *found)
{
    char name[128];
    platform_text(platform, CL_PLATFORM_NAME, name, sizeof name);
    cl_uint n = 0;
    cl_device_type types = CL_DEVICE_TYPE_CPU | CL_DEVICE_TYPE_GPU | CL_DEVICE_TYPE_ACCELERATOR;
    cl_int status = clGetDeviceIDs(platform, types, 0, NULL, &n);
    if (status == CL_DEVICE_NOT_FOUND || (!status && n == 0)) {
        mr_log(MR_LOG_DEBUG, "OpenCL platform '%s' has no devices", name);
        return 0;
    }
    cl_device_id *ids = status ? NULL : mr_alloc(n, sizeof *ids);
    struct mr_found_device *grown = ids ? mr_realloc(found->list, (size_t)found->count + n, sizeof *grown) : NULL;
    if (!status && !grown) {
        free(ids);
        return MR_ENOMEM;
    }
    if (!status) {
        found->list = grown;
        status = clGetDeviceIDs(platform, types, n, ids, NULL);
    }
    for (cl_uint i = 0; !status && i < n; i++) {
        struct mr_found_device d = {.platform = platform, .device = ids[i]};
        fill_info(&d);
        const char *why = unusable(&d);
        if (why) {
            mr_log(d.failed ? MR_LOG_WARNING : MR_LOG_INFO, "skipping device '%s' of platform '%s': %s", d.info.name,
                   name, why);
            found->failed = d.failed ? d.failed : found->failed;
            continue;
        }
        d.info.index = found->count;
        grown[found->count++] = d;
    }
    free(ids);
    if (status) {
        mr_log(MR_LOG_WARNING, "skipping OpenCL platform '%s': %s", name, mr_cl_name(status));
        found->failed = status;
    }
    return 0;
}

/* Drops the devices that the limits are impossible for; the others keep their index. */
static int limit_all(struct finding *found)
{
    struct limits limits;
    MR_TRY(parse_limits(&limits));
    int kept = 0, err = MR_ENODEV;
    for (int i = 0; i < found->count; i++) {
        int refused = apply_limits(&found->list[i], &limits);
        if (refused) {
            mr_log(MR_LOG_WARNING, "skipping device %d: %s", i, mr_error_text());
            err = refused;
            continue;
        }
        found->list[kept++] = found->list[i];
    }
    found->count = kept;
    return kept ? 0 : err; /* with the text of the last one */
}

/* Every platform; none at all: *count 0, though the loader of some calls that an error. */
static int list_platforms(cl_platform_id **platforms, cl_uint *count)
{
    enum { PLATFORM_NOT_FOUND = -1001 };
    cl_int status = clGetPlatformIDs(0, NULL, count);
    if (status == PLATFORM_NOT_FOUND || (!status && *count == 0)) {
        *count = 0;
        return 0;
    }
    if (!status && !(*platforms = mr_alloc(*count, sizeof **platforms)))
        return MR_ENOMEM;
    if (!status)
        status = clGetPlatformIDs(*count, *platforms, NULL);
    return status ? mr_cl_fail(status, "the OpenCL platforms cannot be listed") : 0;
}

static int find_devices(struct finding *found)
{
    cl_uint n = 0;
    cl_platform_id *platforms = NULL;
    int err;
    mr_cache_for_pocl();
    MR_GO(list_platforms(&platforms, &n));
    for (cl_uint i = 0; i < n; i++)
        MR_GO(add_devices(platforms[i], found));
    if (n == 0)
        err = mr_fail(MR_ENODEV, "no OpenCL platform is installed: install the driver of your GPU, "
                                 "or PoCL for the CPU (package pocl-opencl-icd or pocl)");
    else if (found->count)
        err = limit_all(found);
    else if (found->failed)
        err = mr_cl_fail(found->failed, "no OpenCL device can be used, since the driver failed");
    else
        err = mr_fail(MR_ENODEV,
                      "none of the %u OpenCL platforms has a usable device: install the driver of your "
                      "GPU, or PoCL for the CPU (package pocl-opencl-icd or pocl)",
                      n);
fail:
    free(platforms);
    return err;
}

int mr_devices_find(struct mr_found_device **list, int *count)
{
    struct finding found = {0};
    int err = find_devices(&found);
    *list = err ? NULL : found.list;
    *count = err ? 0 : found.count;
    if (err)
        free(found.list);
    return err;
}

int mr_device_list(struct mr_device_info **list, int *count)
{
    struct mr_found_device *found;
    *list = NULL;
    MR_TRY(mr_devices_find(&found, count));
    *list = mr_alloc((size_t)*count, sizeof **list);
    for (int i = 0; *list && i < *count; i++)
        (*list)[i] = found[i].info;
    free(found);
    return *list ? 0 : MR_ENOMEM;
}

/* GPUs of their own memory, GPUs that share the host's, CPUs, others; then by units and clock. */
static double speed(const struct mr_device_info *info)
{
    double rank = info->is_gpu && !info->shares_host_memory ? 3
                  : info->is_gpu                            ? 2
                  : info->is_cpu && !info->is_llvmpipe      ? 1
                                                            : 0;
    return rank * 1e9 + (double)info->compute_units * (info->clock_mhz ? info->clock_mhz : 1);
}

static bool matches(const struct mr_device_info *info, const char *selector)
{
    if (!*selector)
        return true;
    if (!strcasecmp(selector, "gpu") || !strncasecmp(selector, "cuda", 4))
        return info->is_gpu;
    if (!strcasecmp(selector, "cpu"))
        return info->is_cpu;
    if (selector[strspn(selector, "0123456789")] == 0)
        return strtoul(selector, NULL, 10) == (unsigned long)info->index;
    return strcasestr(info->platform, selector) || strcasestr(info->vendor, selector) ||
           strcasestr(info->name, selector);
}

const struct mr_found_device *mr_device_choose(const struct mr_found_device *list, int count, const char *selector)
{
    const struct mr_found_device *best = NULL;
    for (int i = 0; i < count; i++)
        if (matches(&list[i].info, selector) && (!best || speed(&list[i].info) > speed(&best->info)))
            best = &list[i];
    if (best)
        return best;
    struct mr_str names = {0};
    for (int i = 0; i < count; i++)
        mr_str_printf(&names, "%s%d '%s' (%s, %s)", i ? ", " : "", list[i].info.index, list[i].info.name,
                      list[i].info.platform,
                      list[i].info.is_gpu   ? "GPU"
                      : list[i].info.is_cpu ? "CPU"
                                            : "accelerator");
    mr_fail(MR_ENODEV, "no OpenCL device matches '%s'; there %s: %s", selector, count == 1 ? "is" : "are",
            names.text ? names.text : "");
    mr_str_free(&names);
    return NULL;
}
