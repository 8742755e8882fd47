/* SPDX-License-Identifier: GPL-3.0-or-later
 * The embedded kernels: tools/embed_kernels.py writes their sources and signatures as C from the files of cl/. */
#ifndef MR_RT_KERNELS_H
#define MR_RT_KERNELS_H

#include "rt/rt.h"

enum mr_pointee { MR_POINTEE_F32, MR_POINTEE_I32, MR_POINTEE_ANY };

struct mr_parameter {
    int kind;                /* MR_ARG_* of struct mr_arg */
    enum mr_pointee pointee; /* what a pointer points to */
    const char *name;
};

struct mr_kernel {
    const char *name;
    const struct mr_parameter *parameters;
    int count; /* of parameters */
    int file;  /* which of the table's files holds it */
};

struct mr_kernel_file {
    const char *name;   /* "cl/rms_norm.cl" */
    const char *source; /* common.cl and the file, with #line directives */
};

struct mr_kernel_table {
    const struct mr_kernel_file *files;
    int file_count;
    const struct mr_kernel *kernels; /* sorted by name */
    int kernel_count;
};

extern const struct mr_kernel_table mr_kernels;

#endif
