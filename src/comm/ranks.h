/* SPDX-License-Identifier: GPL-3.0-or-later
 * The ranks of one run: processes that mpirun or srun started together, and what they tell each other. NULL stands for
 * a process alone. Every call that waits ends with an error when another rank fails, or does not answer in time. */
#ifndef MR_COMM_RANKS_H
#define MR_COMM_RANKS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

typedef struct mr_ranks mr_ranks;

/* *ranks NULL: this process is alone. MR_ENODEV: it is one of several, but MPI cannot be loaded. */
int mr_ranks_open(mr_ranks **ranks);

/* Ends the run on all ranks: where one comes with an error all do. `say` prints the present error text, on one rank
 * only, and gives the exit status; the text is empty afterwards. Returns err, or the error of another rank. */
int mr_ranks_close(mr_ranks *ranks, int err, int (*say)(int err));

int mr_ranks_count(const mr_ranks *ranks);
int mr_ranks_index(const mr_ranks *ranks);
int mr_ranks_local(const mr_ranks *ranks); /* the index among the ranks of this host */

/* How long the calls below wait for another rank; at first ten minutes. */
void mr_ranks_set_patience(mr_ranks *ranks, double seconds);

/* A message of at most 1 GiB; no bytes: none. */
struct mr_parcel {
    void *data;
    size_t bytes;
};

/* Sends out[r] to each other rank r, and receives in[r] from it: [count] of each. */
int mr_ranks_exchange(mr_ranks *ranks, const struct mr_parcel *out, const struct mr_parcel *in);

/* all [count][bytes]: what every rank gives. */
int mr_ranks_gather(mr_ranks *ranks, const void *mine, size_t bytes, void *all);

#endif
