/* SPDX-License-Identifier: GPL-3.0-or-later
 * bench: measuring. This file finds the part and holds what the parts share. */
#include "cli/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/nearest.h"
#include "base/str.h"
#include "bench/facts.h"

static const struct {
    const char *name, *about;
    mr_command *run;
} parts[] = {
    {"limits", "what a device can do at most: multiply-adds and bytes read in a second", mr_bench_limits},
    {"latency", "how long a token takes, and how that changes as a text grows", mr_bench_latency},
    {"train", "how long a training step takes", mr_bench_train},
    {"kernels", "what each kernel reaches where models use it", mr_bench_kernels},
    {"gemm", "matrix products of models' shapes", mr_bench_gemm},
    {"plot", "results as pictures", mr_bench_plot},
    {"report", "results as one page, with pictures, tables and commands", mr_bench_report},
    {"compare", "what became slower from one file of results to another", mr_bench_compare},
};

static void print_help(void)
{
    puts("usage: microrwkv bench PART [options]\n\nMeasures models and kernels on any devices, and shows what came of "
         "it.\n\nparts:");
    for (size_t i = 0; i < MR_COUNT(parts); i++)
        printf("  %-10s %s\n", parts[i].name, parts[i].about);
    puts("\nSee `microrwkv bench PART --help` for each of them.\n\nexample:\n  microrwkv bench limits --devices all");
}

int mr_command_bench(int argc, char **argv)
{
    const char *names[MR_COUNT(parts)], *name = argc > 1 ? argv[1] : "";
    char label[64];
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
        print_help();
        return MR_HELP_SHOWN;
    }
    for (size_t i = 0; i < MR_COUNT(parts); i++) {
        names[i] = parts[i].name;
        if (strcmp(name, names[i]))
            continue;
        snprintf(label, sizeof label, "bench %s", name);
        argv[1] = label;
        return parts[i].run(argc - 1, argv + 1);
    }
    if (!*name)
        return mr_fail(MR_EINVAL, "bench: what shall be measured? See `microrwkv bench --help`");
    return mr_fail(MR_EINVAL, "bench: there is no part \"%s\": did you mean %s? See `microrwkv bench --help`", name,
                   mr_nearest(name, names, MR_COUNT(parts)));
}

/* ---- where results go ---------------------------------------------------------------------------------------- */

int mr_bench_begin(struct mr_bench *b, int argc, char **argv)
{
    struct mr_str command = {0};
    char buffer[4100];
    MR_TRY(mr_str_printf(&command, "microrwkv"));
    for (int i = 0; i < argc; i++)
        MR_TRY(mr_str_printf(&command, " %s", i ? mr_shell_word(argv[i], buffer, sizeof buffer) : argv[i]));
    b->command = command.text;
    b->stopped = mr_catch_signals();
    if (b->patience < 0)
        return mr_fail(MR_EINVAL, "--timeout must not be negative");
    if (b->out && !(b->file = fopen(b->out, "ae")))
        return mr_fail(MR_EFILE, "%s: %s", b->out, strerror(errno));
    b->json = b->json || (!b->text && !isatty(STDOUT_FILENO));
    return 0;
}

int mr_bench_end(struct mr_bench *b, int err)
{
    if (b->file && fclose(b->file) && err >= 0)
        err = mr_fail(MR_EFILE, "%s: %s", b->out, strerror(errno));
    free(b->command);
    if (err < 0)
        return err;
    if (*b->stopped)
        return mr_fail(MR_EINTERRUPTED, "stopped; what was measured until then is kept");
    return b->failures ? mr_fail(MR_EDEVICE, "%d measurement%s failed", b->failures, b->failures > 1 ? "s" : "") : 0;
}

int mr_bench_put(void *bench, json_t *line)
{
    struct mr_bench *b = bench;
    int err = b->file ? mr_write_line(fileno(b->file), line) : 0;
    if (err)
        mr_fail_in(err, "%s", b->out);
    else if (b->json)
        err = mr_write_line(STDOUT_FILENO, line);
    else if (line)
        b->show(line);
    else
        err = mr_fail(MR_ENOMEM, "out of memory for a line of results");
    json_decref(line);
    return err;
}

/* ---- devices ------------------------------------------------------------------------------------------------- */

static int work(void *context, int (*put)(void *to, json_t *line), void *to)
{
    const struct mr_bench_job *job = context;
    mr_runtime *rt = NULL;
    char index[16];
    snprintf(index, sizeof index, "%d", job->index);
    MR_TRY(mr_runtime_open(&rt, index));
    int err = job->measure(rt, job, put, to);
    mr_runtime_close(rt);
    return err;
}

/* What stands in the results where a measurement failed. */
static int put_failure(const struct mr_bench_job *job, const json_t *device)
{
    struct mr_error_kept why;
    mr_error_keep(&why);
    job->bench->failures++;
    fprintf(stderr, "microrwkv: %s on %s: %s\n", job->kind, json_string_value(json_object_get(device, "name")),
            why.text);
    json_t *line = json_pack("{ss sO sO}", "bench", job->kind, "device", json_object_get(device, "name"), "platform",
                             json_object_get(device, "platform"));
    int err = job->describe ? job->describe(job, line) : 0;
    if (!err)
        err = mr_json_set(line, "reason", json_string(why.text));
    if (!err)
        return mr_bench_put(job->bench, line);
    json_decref(line);
    return err;
}

static int on_device(struct mr_bench_job *job, const json_t *device)
{
    const struct mr_bench *b = job->bench;
    const struct mr_child child = {.work = work,
                                   .context = job,
                                   .line = job->line ? job->line : mr_bench_put,
                                   .listener = job->line ? job->listener : job->bench,
                                   .patience = b->patience,
                                   .stop = b->stopped};
    job->index = (int)json_integer_value(json_object_get(device, "index"));
    if (job->begin && !b->json)
        job->begin(job, device);
    for (job->item = 0; job->item < (job->items ? job->items : 1) && !*b->stopped; job->item++) {
        int err = mr_child_run(&child);
        if (err == MR_EINVAL)
            return err; /* of the command line: the same everywhere */
        if (err < 0)
            MR_TRY(put_failure(job, device));
    }
    return 0;
}

int mr_bench_on_devices(struct mr_bench *b, struct mr_bench_job *job)
{
    json_t *devices = NULL, *device;
    size_t i;
    int err = 0;
    job->bench = b;
    MR_TRY(mr_child_devices(b->devices, &devices));
    json_array_foreach(devices, i, device)
        if (!err)
            err = on_device(job, device);
    json_decref(devices);
    return err;
}
