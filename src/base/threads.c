/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#include "base/error.h"

enum { MOST_THREADS = 64 };

struct job {
    int (*body)(void *, size_t);
    void *context;
    size_t count;
    pthread_mutex_t lock; /* guards what follows */
    size_t next;
    int error;
    size_t error_at;
    char text[2048];
};

int mr_cores(void)
{
#ifdef __linux__
    cpu_set_t set;
    if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) > 0)
        return CPU_COUNT(&set);
#endif
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

static void *work(void *arg)
{
    struct job *job = arg;
    pthread_mutex_lock(&job->lock);
    while (job->next < job->count && !job->error) {
        size_t i = job->next++;
        pthread_mutex_unlock(&job->lock);
        int err = job->body(job->context, i);
        pthread_mutex_lock(&job->lock);
        if (err < 0 && (!job->error || i < job->error_at)) {
            job->error = err;
            job->error_at = i;
            snprintf(job->text, sizeof job->text, "%s", mr_error_text());
        }
    }
    pthread_mutex_unlock(&job->lock);
    return NULL;
}

int mr_parallel_for(size_t count, int (*body)(void *context, size_t i), void *context)
{
    struct job job = {.body = body, .context = context, .count = count, .lock = PTHREAD_MUTEX_INITIALIZER};
    pthread_t threads[MOST_THREADS];
    size_t wanted = (size_t)mr_cores(), started = 0;
    if (wanted > MOST_THREADS)
        wanted = MOST_THREADS;
    if (wanted > count)
        wanted = count;
    /* The caller is one of the workers; where no thread can be had, it is the only one. */
    while (started + 1 < wanted && !pthread_create(&threads[started], NULL, work, &job))
        started++;
    work(&job);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    return job.error ? mr_fail(job.error, "%s", job.text) : 0;
}
