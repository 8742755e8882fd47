/* SPDX-License-Identifier: GPL-3.0-or-later
 * OpenCL calls that fail, each or as the group "opencl", with FAULT_ERRNO as their status. Nothing that gives something
 * back fails: a lost device gives back too. */
#define CL_TARGET_OPENCL_VERSION 120
#define CL_USE_DEPRECATED_OPENCL_1_1_APIS
#include <CL/cl.h>
#include <dlfcn.h>
#include <stddef.h>

#include "fail_calls.h"

#define NEXT(name)                 \
    static __typeof__(name) *next; \
    if (!next)                     \
    next = (__typeof__(next))dlsym(RTLD_NEXT, #name)

/* A function that returns its status. */
#define STATUS(name, parameters, arguments)    \
    cl_int name parameters                     \
    {                                          \
        NEXT(name);                            \
        if (fault_here(#name, "opencl", NULL)) \
            return fault_number();             \
        return next arguments;                 \
    }

/* A function that returns an object, and its status through its last parameter. */
#define OBJECT(type, name, parameters, arguments) \
    type name parameters                          \
    {                                             \
        NEXT(name);                               \
        if (!fault_here(#name, "opencl", NULL))   \
            return next arguments;                \
        if (status)                               \
            *status = fault_number();             \
        return NULL;                              \
    }

typedef const cl_event *events;
typedef void(CL_CALLBACK *context_callback)(const char *, const void *, size_t, void *);
typedef void(CL_CALLBACK *program_callback)(cl_program, void *);

STATUS(clGetPlatformIDs, (cl_uint n, cl_platform_id *list, cl_uint *count), (n, list, count))
STATUS(clGetPlatformInfo, (cl_platform_id of, cl_platform_info what, size_t size, void *to, size_t *got),
       (of, what, size, to, got))
STATUS(clGetDeviceIDs, (cl_platform_id of, cl_device_type type, cl_uint n, cl_device_id *list, cl_uint *count),
       (of, type, n, list, count))
STATUS(clGetDeviceInfo, (cl_device_id of, cl_device_info what, size_t size, void *to, size_t *got),
       (of, what, size, to, got))
STATUS(clGetMemObjectInfo, (cl_mem of, cl_mem_info what, size_t size, void *to, size_t *got), (of, what, size, to, got))
STATUS(clGetProgramInfo, (cl_program of, cl_program_info what, size_t size, void *to, size_t *got),
       (of, what, size, to, got))
STATUS(clGetProgramBuildInfo,
       (cl_program of, cl_device_id on, cl_program_build_info what, size_t size, void *to, size_t *got),
       (of, on, what, size, to, got))
STATUS(clGetKernelInfo, (cl_kernel of, cl_kernel_info what, size_t size, void *to, size_t *got),
       (of, what, size, to, got))
STATUS(clGetKernelWorkGroupInfo,
       (cl_kernel of, cl_device_id on, cl_kernel_work_group_info what, size_t size, void *to, size_t *got),
       (of, on, what, size, to, got))
STATUS(clGetEventProfilingInfo, (cl_event of, cl_profiling_info what, size_t size, void *to, size_t *got),
       (of, what, size, to, got))
STATUS(clBuildProgram,
       (cl_program program, cl_uint n, const cl_device_id *on, const char *options, program_callback call,
        void *context),
       (program, n, on, options, call, context))
STATUS(clSetKernelArg, (cl_kernel kernel, cl_uint i, size_t size, const void *value), (kernel, i, size, value))
STATUS(clWaitForEvents, (cl_uint n, events list), (n, list))
STATUS(clFlush, (cl_command_queue queue), (queue))
STATUS(clFinish, (cl_command_queue queue), (queue))
STATUS(clEnqueueNDRangeKernel,
       (cl_command_queue queue, cl_kernel kernel, cl_uint n, const size_t *offset, const size_t *global,
        const size_t *local, cl_uint waits, events list, cl_event *event),
       (queue, kernel, n, offset, global, local, waits, list, event))
STATUS(clEnqueueReadBuffer,
       (cl_command_queue queue, cl_mem from, cl_bool wait, size_t at, size_t size, void *to, cl_uint waits, events list,
        cl_event *event),
       (queue, from, wait, at, size, to, waits, list, event))
STATUS(clEnqueueWriteBuffer,
       (cl_command_queue queue, cl_mem to, cl_bool wait, size_t at, size_t size, const void *from, cl_uint waits,
        events list, cl_event *event),
       (queue, to, wait, at, size, from, waits, list, event))
STATUS(clEnqueueCopyBuffer,
       (cl_command_queue queue, cl_mem from, cl_mem to, size_t from_at, size_t to_at, size_t size, cl_uint waits,
        events list, cl_event *event),
       (queue, from, to, from_at, to_at, size, waits, list, event))
STATUS(clEnqueueFillBuffer,
       (cl_command_queue queue, cl_mem to, const void *pattern, size_t width, size_t at, size_t size, cl_uint waits,
        events list, cl_event *event),
       (queue, to, pattern, width, at, size, waits, list, event))
STATUS(clEnqueueUnmapMemObject,
       (cl_command_queue queue, cl_mem of, void *mapped, cl_uint waits, events list, cl_event *event),
       (queue, of, mapped, waits, list, event))

OBJECT(void *, clEnqueueMapBuffer,
       (cl_command_queue queue, cl_mem of, cl_bool wait, cl_map_flags flags, size_t at, size_t size, cl_uint waits,
        events list, cl_event *event, cl_int *status),
       (queue, of, wait, flags, at, size, waits, list, event, status))
OBJECT(cl_context, clCreateContext,
       (const cl_context_properties *properties, cl_uint n, const cl_device_id *on, context_callback call,
        void *context, cl_int *status),
       (properties, n, on, call, context, status))
OBJECT(cl_command_queue, clCreateCommandQueue,
       (cl_context context, cl_device_id on, cl_command_queue_properties properties, cl_int *status),
       (context, on, properties, status))
OBJECT(cl_mem, clCreateBuffer, (cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *status),
       (context, flags, size, host, status))
OBJECT(cl_mem, clCreateSubBuffer,
       (cl_mem of, cl_mem_flags flags, cl_buffer_create_type type, const void *region, cl_int *status),
       (of, flags, type, region, status))
OBJECT(cl_program, clCreateProgramWithSource,
       (cl_context context, cl_uint n, const char **texts, const size_t *sizes, cl_int *status),
       (context, n, texts, sizes, status))
OBJECT(cl_program, clCreateProgramWithBinary,
       (cl_context context, cl_uint n, const cl_device_id *on, const size_t *sizes, const unsigned char **binaries,
        cl_int *loaded, cl_int *status),
       (context, n, on, sizes, binaries, loaded, status))
OBJECT(cl_kernel, clCreateKernel, (cl_program program, const char *name, cl_int *status), (program, name, status))
