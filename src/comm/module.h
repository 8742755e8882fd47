/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the program takes from an MPI library. It lies in a module of its own, microrwkv_mpi.so, which is loaded where
 * mpirun or srun started the program: without MPI everything else works. */
#ifndef MR_COMM_MODULE_H
#define MR_COMM_MODULE_H

#include <stddef.h>

enum { MR_MPI_ANY = -1, MR_MPI_LARGEST = 1 << 30 /* bytes of a message */ };

struct mr_mpi {
    /* The process among all, and among those of its host. 0, or -1 with the reason in error(). */
    int (*start)(int *rank, int *count, int *local);
    /* A message on its way, or NULL: error(). The data stay in place until it is done. */
    void *(*send)(const void *data, size_t bytes, int to, int tag);
    void *(*receive)(void *data, size_t bytes, int from, int tag);
    int (*done)(void *message);  /* 1: and freed; 0: not yet; -1: failed */
    void (*drop)(void *message); /* gives up one that is not done; what was to be received is not written any more */
    void (*stop)(void);
    void (*abort)(int status); /* ends all processes */
    const char *(*error)(void);
    const char *(*library)(void); /* "Open MPI v4.1.4" */
};

/* The one symbol of the module. */
#define MR_MPI_SYMBOL "mr_mpi"

#endif
