/* SPDX-License-Identifier: GPL-3.0-or-later
 * Messages between ranks. A rank that fails sends a notice to all others, for which everyone listens while waiting. */
#include "comm/ranks.h"

#include <dlfcn.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/progress.h"
#include "comm/module.h"

enum { DATA, NOTICE }; /* tags */
enum { PATIENCE = 600, FAREWELL = 3, EAGER = 1000 };

struct notice {
    int rank, code;
    bool own; /* what happened to this rank itself, not what it heard */
    struct mr_error_kept error;
};

struct mr_ranks {
    const struct mr_mpi *mpi;
    void *module;
    int count, index, local;
    double patience;
    bool echo;       /* the error that this rank returned last is another's */
    void *listening; /* for a notice */
    struct notice incoming;
    struct notice **notices; /* [count], NULL: none yet */
    void **messages;         /* [2 * count], of the exchange under way */
};

/* ---- starting --------------------------------------------------------------------------------------------------- */

/* How many processes a launcher says it started; 1: none did. */
static int launched(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *text = getenv(names[i]);
        bool slurm = i == 2; /* counts only where srun speaks to MPI */
        if (text && (!slurm || getenv("PMIX_RANK")))
            return atoi(text) > 1 ? atoi(text) : 1;
    }
    return 1;
}

static int load(mr_ranks *r, int count)
{
    r->module = dlopen("microrwkv_mpi.so", RTLD_NOW | RTLD_GLOBAL); /* Open MPI's own plug-ins need its symbols */
    if (r->module && (r->mpi = dlsym(r->module, MR_MPI_SYMBOL)))
        return 0;
    return mr_fail(MR_ENODEV,
                   "this is one of %d processes of mpirun, but the program has no MPI (%s): install libopenmpi-dev, "
                   "then build it again, or start it without mpirun",
                   count, dlerror());
}

static int listen_for_notices(mr_ranks *r)
{
    r->listening = r->mpi->receive(&r->incoming, sizeof r->incoming, MR_MPI_ANY, NOTICE);
    return r->listening ? 0 : mr_fail(MR_EDEVICE, "MPI failed: %s", r->mpi->error());
}

static void free_ranks(mr_ranks *r)
{
    for (int i = 0; r->notices && i < r->count; i++)
        free(r->notices[i]);
    free(r->notices);
    free(r->messages);
    free(r); /* the module stays: MPI leaves threads and handlers behind */
}

int mr_ranks_open(mr_ranks **ranks)
{
    int count = launched(), err;
    *ranks = NULL;
    if (count == 1)
        return 0;
    mr_ranks *r = mr_alloc(1, sizeof *r);
    if (!r)
        return MR_ENOMEM;
    r->patience = PATIENCE;
    MR_GO(load(r, count));
    if (r->mpi->start(&r->index, &r->count, &r->local))
        MR_GO(mr_fail(MR_EDEVICE, "MPI does not start: %s", r->mpi->error()));
    if (r->count != count)
        MR_GO(mr_fail(MR_ENODEV,
                      "%d processes were started, but %s sees %d: they were started by the mpirun of another MPI",
                      count, r->mpi->library(), r->count));
    r->notices = mr_alloc((size_t)count, sizeof(struct notice *));
    r->messages = mr_alloc(2 * (size_t)count, sizeof(void *));
    err = r->notices && r->messages ? listen_for_notices(r) : MR_ENOMEM;
fail:
    if (err) {
        free_ranks(r);
        return err;
    }
    *ranks = r;
    return 0;
}

int mr_ranks_count(const mr_ranks *r)
{
    return r ? r->count : 1;
}

int mr_ranks_index(const mr_ranks *r)
{
    return r ? r->index : 0;
}

int mr_ranks_local(const mr_ranks *r)
{
    return r ? r->local : 0;
}

void mr_ranks_set_patience(mr_ranks *r, double seconds)
{
    if (r)
        r->patience = seconds;
}

/* ---- waiting ---------------------------------------------------------------------------------------------------- */

/* 1: a notice came. */
static int heard(mr_ranks *r)
{
    int done = r->listening ? r->mpi->done(r->listening) : 0;
    if (done <= 0)
        return 0; /* a broken connection shows in what is waited for */
    int from = r->incoming.rank;
    if (from >= 0 && from < r->count && !r->notices[from] && (r->notices[from] = mr_alloc(1, sizeof(struct notice))))
        *r->notices[from] = r->incoming;
    r->listening = NULL;
    MR_TRY(listen_for_notices(r));
    return 1;
}

/* What a rank that failed said: the error of all. */
static int fail_as_others(mr_ranks *r)
{
    for (int i = 0; i < r->count; i++)
        if (r->notices[i] && r->notices[i]->own) {
            mr_error_restore(&r->notices[i]->error);
            r->echo = true;
            return r->notices[i]->code;
        }
    return 0;
}

/* The processor is left to others, as ranks may share one with their devices. */
static void rest(int turn)
{
    const struct timespec nap = {.tv_nsec = turn < 4 * EAGER ? 20000 : 200000};
    if (turn < EAGER)
        sched_yield();
    else
        nanosleep(&nap, NULL);
}

/* One look at the messages: how many are not done, and the rank of one of them. */
static int look(mr_ranks *r, int *waiting, int *whom)
{
    *waiting = 0;
    for (int i = 0; i < 2 * r->count; i++) {
        int done = r->messages[i] ? r->mpi->done(r->messages[i]) : 0;
        if (done < 0)
            return mr_fail(MR_EDEVICE, "the connection to rank %d is broken: %s", i % r->count, r->mpi->error());
        if (done)
            r->messages[i] = NULL;
        if (r->messages[i]) {
            *waiting += 1;
            *whom = i % r->count;
        }
    }
    return 0;
}

static int wait_for_messages(mr_ranks *r)
{
    double until = mr_now() + r->patience;
    for (int turn = 0;; turn += turn < 8 * EAGER) {
        int waiting, whom = 0, notice;
        MR_TRY(look(r, &waiting, &whom));
        if (!waiting)
            return 0;
        MR_TRY(notice = heard(r));
        if (notice)
            MR_TRY(fail_as_others(r));
        if (mr_now() > until)
            return mr_fail(MR_EDEVICE,
                           "rank %d has not answered for %g s: it hangs or is much slower (rank_timeout is the time "
                           "that ranks wait for each other)",
                           whom, r->patience);
        rest(turn);
    }
}

int mr_ranks_exchange(mr_ranks *r, const struct mr_parcel *out, const struct mr_parcel *in)
{
    int err = 0;
    for (int i = 0; !err && i < r->count; i++) {
        if (i == r->index)
            continue;
        if (in[i].bytes > MR_MPI_LARGEST || out[i].bytes > MR_MPI_LARGEST)
            err = mr_fail(MR_EINVAL, "a message between ranks is larger than 1 GiB");
        if (!err && in[i].bytes && !(r->messages[r->count + i] = r->mpi->receive(in[i].data, in[i].bytes, i, DATA)))
            err = mr_fail(MR_EDEVICE, "nothing can be received from rank %d: %s", i, r->mpi->error());
        if (!err && out[i].bytes && !(r->messages[i] = r->mpi->send(out[i].data, out[i].bytes, i, DATA)))
            err = mr_fail(MR_EDEVICE, "nothing can be sent to rank %d: %s", i, r->mpi->error());
    }
    if (!err)
        err = wait_for_messages(r);
    for (int i = 0; i < 2 * r->count; i++) {
        if (r->messages[i])
            r->mpi->drop(r->messages[i]);
        r->messages[i] = NULL;
    }
    return err;
}

int mr_ranks_gather(mr_ranks *r, const void *mine, size_t bytes, void *all)
{
    memcpy((char *)all + (size_t)mr_ranks_index(r) * bytes, mine, bytes);
    if (!r)
        return 0;
    struct mr_parcel *out = mr_alloc(2 * (size_t)r->count, sizeof *out);
    if (!out)
        return MR_ENOMEM;
    for (int i = 0; i < r->count; i++) {
        out[i] = (struct mr_parcel){(char *)all + (size_t)r->index * bytes, bytes};
        out[r->count + i] = (struct mr_parcel){(char *)all + (size_t)i * bytes, bytes};
    }
    int err = mr_ranks_exchange(r, out, out + r->count);
    free(out);
    return err;
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static bool heard_all(const mr_ranks *r)
{
    int count = 0;
    for (int i = 0; i < r->count; i++)
        count += r->notices[i] != NULL;
    return count == r->count;
}

/* Tells all others and hears them. false: one of them does not answer. */
static bool take_leave(mr_ranks *r)
{
    double until = mr_now() + FAREWELL;
    for (int i = 0; i < r->count; i++)
        if (i != r->index)
            r->messages[i] = r->mpi->send(r->notices[r->index], sizeof(struct notice), i, NOTICE);
    int waiting = 1, whom;
    for (int turn = 0; mr_now() < until && (waiting || !heard_all(r)); turn++) {
        if (heard(r) < 0 || look(r, &waiting, &whom))
            return false;
        rest(turn);
    }
    return !waiting && heard_all(r);
}

/* The lowest rank to which something happened; `alone`: not the same to all. */
static int speaker(const mr_ranks *r, bool *alone)
{
    int first = -1;
    *alone = false;
    for (int i = 0; i < r->count; i++)
        if (first < 0 && r->notices[i] && r->notices[i]->own)
            first = i;
    for (int i = 0; first >= 0 && i < r->count; i++) {
        const struct notice *n = r->notices[i];
        *alone = *alone || !n || !n->own || strcmp(n->error.text, r->notices[first]->error.text);
    }
    return first;
}

static int fail_together(mr_ranks *r, int err, int (*say)(int err))
{
    struct notice *mine = mr_alloc(1, sizeof *mine);
    bool alone, all;
    if (!mine)
        r->mpi->abort(1);
    *mine = (struct notice){.rank = r->index, .code = err, .own = !r->echo};
    mr_error_keep(&mine->error);
    r->notices[r->index] = mine;
    all = take_leave(r);
    int who = speaker(r, &alone), status = 1;
    if (who == r->index) {
        mr_error_restore(&mine->error);
        status = say(alone ? mr_fail_in(err, "rank %d", r->index) : err);
    }
    if (!all) {
        const struct timespec nap = {.tv_sec = who == r->index ? 0 : FAREWELL};
        nanosleep(&nap, NULL);
        r->mpi->abort(status);
    }
    return mr_fail(err, "%s", "");
}

int mr_ranks_close(mr_ranks *r, int err, int (*say)(int err))
{
    if (!r)
        return err;
    if (err >= 0) { /* the others are through as well */
        char *all = mr_alloc((size_t)r->count, 1);
        int met = all ? mr_ranks_gather(r, "", 1, all) : MR_ENOMEM;
        err = met < 0 ? met : err;
        free(all);
    }
    if (err < 0)
        err = fail_together(r, err, say);
    r->mpi->drop(r->listening);
    r->mpi->stop();
    free_ranks(r);
    return err;
}
