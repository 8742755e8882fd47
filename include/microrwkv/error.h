/* SPDX-License-Identifier: GPL-3.0-or-later
 * Errors and the log: every function that can fail returns 0 or one of the negative codes below,
 * and leaves a text for people (what is wrong, where, what to do) in a thread-local place. */
#ifndef MICRORWKV_ERROR_H
#define MICRORWKV_ERROR_H

#include "microrwkv/export.h"

#ifdef __cplusplus
extern "C" {
#endif

enum mr_error {
    MR_OK = 0,
    MR_EINVAL = -1,       /* a wrong argument or configuration */
    MR_EFILE = -2,        /* a file cannot be read or written, or its content is wrong */
    MR_EDEVICE = -3,      /* the device, its compiler or its driver failed */
    MR_ENOMEM = -4,       /* out of memory, of the host or of the device */
    MR_ENODEV = -5,       /* no such platform, device, provider or optional tool */
    MR_EINTERRUPTED = -6, /* stopped on request, after saving */
    MR_ENUMERIC = -7,     /* a loss or a parameter is no longer a finite number */
};

/* The text of the last error of the calling thread; never NULL, valid until the thread's next failure. */
MR_API const char *mr_error_text(void);

enum mr_log_level { MR_LOG_DEBUG, MR_LOG_INFO, MR_LOG_WARNING };

/* Called for every line of the log, without a newline. */
typedef void (*mr_log_callback)(void *context, enum mr_log_level level, const char *line);

/* Sets where the log goes; NULL (the start) drops it. The library itself never prints. Not thread-safe:
 * call it before anything else. */
MR_API void mr_set_log(mr_log_callback callback, void *context);

#ifdef __cplusplus
}
#endif
#endif
