/* SPDX-License-Identifier: GPL-3.0-or-later
 * Opening and closing a device, waiting for it, and the errors of OpenCL calls. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "rt/internal.h"

#define NAMED(code) \
    {               \
        code, #code \
    }

static const struct {
    cl_int code;
    const char *name;
} names[] = {
    NAMED(CL_DEVICE_NOT_FOUND),
    NAMED(CL_DEVICE_NOT_AVAILABLE),
    NAMED(CL_COMPILER_NOT_AVAILABLE),
    NAMED(CL_MEM_OBJECT_ALLOCATION_FAILURE),
    NAMED(CL_OUT_OF_RESOURCES),
    NAMED(CL_OUT_OF_HOST_MEMORY),
    NAMED(CL_PROFILING_INFO_NOT_AVAILABLE),
    NAMED(CL_MEM_COPY_OVERLAP),
    NAMED(CL_BUILD_PROGRAM_FAILURE),
    NAMED(CL_MAP_FAILURE),
    NAMED(CL_MISALIGNED_SUB_BUFFER_OFFSET),
    NAMED(CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST),
    NAMED(CL_INVALID_VALUE),
    NAMED(CL_INVALID_DEVICE),
    NAMED(CL_INVALID_CONTEXT),
    NAMED(CL_INVALID_QUEUE_PROPERTIES),
    NAMED(CL_INVALID_COMMAND_QUEUE),
    NAMED(CL_INVALID_MEM_OBJECT),
    NAMED(CL_INVALID_BINARY),
    NAMED(CL_INVALID_BUILD_OPTIONS),
    NAMED(CL_INVALID_PROGRAM),
    NAMED(CL_INVALID_PROGRAM_EXECUTABLE),
    NAMED(CL_INVALID_KERNEL_NAME),
    NAMED(CL_INVALID_KERNEL_DEFINITION),
    NAMED(CL_INVALID_KERNEL),
    NAMED(CL_INVALID_ARG_INDEX),
    NAMED(CL_INVALID_ARG_VALUE),
    NAMED(CL_INVALID_ARG_SIZE),
    NAMED(CL_INVALID_KERNEL_ARGS),
    NAMED(CL_INVALID_WORK_DIMENSION),
    NAMED(CL_INVALID_WORK_GROUP_SIZE),
    NAMED(CL_INVALID_WORK_ITEM_SIZE),
    NAMED(CL_INVALID_GLOBAL_OFFSET),
    NAMED(CL_INVALID_EVENT_WAIT_LIST),
    NAMED(CL_INVALID_EVENT),
    NAMED(CL_INVALID_OPERATION),
    NAMED(CL_INVALID_BUFFER_SIZE),
    NAMED(CL_INVALID_GLOBAL_WORK_SIZE),
};

const char *mr_cl_name(cl_int status)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].code == status)
            return names[i].name;
    return "unknown OpenCL error";
}

int mr_cl_fail(cl_int status, const char *format, ...)
{
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    bool memory = status == CL_MEM_OBJECT_ALLOCATION_FAILURE || status == CL_OUT_OF_RESOURCES ||
                  status == CL_OUT_OF_HOST_MEMORY || status == CL_INVALID_BUFFER_SIZE;
    return mr_fail(memory ? MR_ENOMEM : MR_EDEVICE, "%s: %s (%d)", what, mr_cl_name(status), status);
}

static int open_device(mr_runtime *rt, const struct mr_found_device *found)
{
    rt->info = found->info;
    rt->platform = found->platform;
    rt->device = found->device;
    if (clGetPlatformInfo(rt->platform, CL_PLATFORM_VERSION, sizeof rt->platform_version, rt->platform_version, NULL))
        rt->platform_version[0] = 0;
    cl_context_properties properties[] = {CL_CONTEXT_PLATFORM, (cl_context_properties)rt->platform, 0};
    cl_int status;
    rt->context = clCreateContext(properties, 1, &rt->device, NULL, NULL, &status);
    if (!rt->context)
        return mr_cl_fail(status, "cannot open device '%s'", rt->info.name);
    rt->queue = clCreateCommandQueue(rt->context, rt->device, 0, &status);
    if (!rt->queue)
        return mr_cl_fail(status, "cannot create a command queue on device '%s'", rt->info.name);
    MR_TRY(mr_gemm_open(rt));
    return mr_cache_open(rt);
}

int mr_runtime_open_table(mr_runtime **out, const char *selector, const struct mr_kernel_table *table)
{
    *out = NULL;
    if (!selector || !*selector)
        selector = getenv("MICRORWKV_DEVICE");
    struct mr_found_device *list;
    int count, err = 0;
    MR_TRY(mr_devices_find(&list, &count));
    const struct mr_found_device *found = mr_device_choose(list, count, selector ? selector : "");
    mr_runtime *rt = found ? mr_alloc(1, sizeof *rt) : NULL;
    if (!rt) {
        free(list);
        return found ? MR_ENOMEM : MR_ENODEV;
    }
    rt->table = table;
    MR_GO(open_device(rt, found));
    mr_log(MR_LOG_INFO, "device %d: %s (%s, driver %s)", rt->info.index, rt->info.name, rt->info.platform,
           rt->info.driver);
    if (rt->info.is_llvmpipe)
        mr_log(MR_LOG_WARNING,
               "llvmpipe ends loops after 65535 iterations, so large models compute wrong numbers on it: "
               "use PoCL (package pocl-opencl-icd or pocl) on a CPU");
    free(list);
    *out = rt;
    return 0;

fail:
    free(list);
    mr_runtime_close(rt);
    return err;
}

int mr_runtime_open(mr_runtime **rt, const char *selector)
{
    return mr_runtime_open_table(rt, selector, &mr_kernels);
}

void mr_runtime_close(mr_runtime *rt)
{
    struct mr_error_kept kept;
    if (!rt)
        return;
    mr_error_keep(&kept);
    const struct mr_log_sink *before = mr_log_divert(&rt->log);
    if (rt->queue) {
        clFinish(rt->queue);
        if (!mr_cache_write_aside(rt))
            mr_cache_write(rt);
    }
    mr_log_divert(before);
    mr_recording_free(mr_record_end(rt));
    mr_gemm_close(rt);
    mr_staged_free(rt);
    mr_profile_free(rt);
    mr_programs_free(rt);
    if (rt->queue)
        clReleaseCommandQueue(rt->queue);
    if (rt->context)
        clReleaseContext(rt->context);
    free(rt->cache_folder);
    free(rt);
    mr_error_restore(&kept);
}

void mr_runtime_set_log(mr_runtime *rt, mr_log_callback callback, void *context)
{
    rt->log = (struct mr_log_sink){callback, context};
}

const struct mr_log_sink *mr_runtime_log(const mr_runtime *rt)
{
    return &rt->log;
}

const struct mr_device_info *mr_runtime_info(const mr_runtime *rt)
{
    static const struct mr_device_info middling = {.name = "no device",
                                                   .is_cpu = true,
                                                   .local_is_memory = true,
                                                   .shares_host_memory = true,
                                                   .compute_units = 8,
                                                   .max_alloc = (size_t)1 << 32,
                                                   .local_memory = 32 << 10,
                                                   .max_group = 256,
                                                   .base_align = 256,
                                                   .lanes = 1,
                                                   .vec = 8};
    return rt ? &rt->info : &middling;
}

int mr_flush(mr_runtime *rt)
{
    rt->queued = 0;
    cl_int status = clFlush(rt->queue);
    return status ? mr_cl_fail(status, "cannot flush the command queue of '%s'", rt->info.name) : 0;
}

int mr_finish(mr_runtime *rt)
{
    rt->queued = 0;
    cl_int status = clFinish(rt->queue);
    return status ? mr_cl_fail(status, "device '%s' failed while computing", rt->info.name) : 0;
}

void mr_device_bytes(const mr_runtime *rt, size_t *now, size_t *peak)
{
    if (now)
        *now = rt->bytes;
    if (peak)
        *peak = rt->peak;
}
