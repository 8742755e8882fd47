/* SPDX-License-Identifier: GPL-3.0-or-later
 * microrwkv devices: what there is to compute on. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/progress.h"
#include "cli/cli.h"
#include "verify/verify.h"

static const char *device_type(const struct mr_device *d)
{
    return d->is_gpu ? "gpu" : d->is_cpu ? "cpu" : "accelerator";
}

static int print_device(const struct mr_device *d)
{
    char memory[24], most[24], local[24];
    printf("%d: %s\n", d->index, d->name);
    printf("   platform   %s (%s)\n", d->platform, d->version);
    printf("   vendor     %s, driver %s\n", d->vendor, d->driver);
    printf("   type       %s, %d compute units at %d MHz%s\n", device_type(d), d->compute_units, d->clock_mhz,
           d->shares_host_memory ? ", shares the host's memory" : "");
    printf("   memory     %s, largest allocation %s, local memory %s%s\n", mr_format_bytes(memory, d->memory),
           mr_format_bytes(most, d->largest_allocation), mr_format_bytes(local, d->local_memory),
           d->local_is_memory ? " (ordinary memory)" : "");
    printf("   groups     up to %" PRIu64 " work-items; fp16 %s, sub-groups %s\n", d->largest_group,
           d->fp16 ? "yes" : "no", d->subgroups ? "yes" : "no");
    printf("   kernels    LANES=%d, VEC=%d; products by %s (%s)\n", d->lanes, d->vec, d->gemm, d->gemm_table);
    return 0;
}

/* Sizes in bytes. */
static json_t *device_json(const struct mr_device *d)
{
    return json_pack("{si ss ss ss ss ss ss si si sI sI sI sI sb sb sb sb si si ss ss}", "index", d->index, "platform",
                     d->platform, "name", d->name, "vendor", d->vendor, "driver", d->driver, "version", d->version,
                     "type", device_type(d), "compute_units", d->compute_units, "clock_mhz", d->clock_mhz, "memory",
                     (json_int_t)d->memory, "max_alloc", (json_int_t)d->largest_allocation, "local_memory",
                     (json_int_t)d->local_memory, "max_group", (json_int_t)d->largest_group, "shares_host_memory",
                     d->shares_host_memory, "local_is_memory", d->local_is_memory, "fp16", d->fp16, "subgroups",
                     d->subgroups, "lanes", d->lanes, "vec", d->vec, "gemm", d->gemm, "gemm_table", d->gemm_table);
}

/* ---- --verify ---------------------------------------------------------------------------------------------- */

struct observer {
    const struct mr_device *device;
    bool json;
    int err;
};

static void print_verdict(void *context, const struct mr_verdict *v)
{
    struct observer *a = context;
    bool good = mr_verdict_good(v);
    const char *text = v->result < 0 ? mr_error_text() : "";
    if (a->json) {
        int err = mr_print_json(json_pack("{si ss sb so sf ss}", "index", a->device->index, "family", v->family, "good",
                                          good, "error", v->result < 0 ? json_null() : mr_json_real(v->error),
                                          "allowed", v->allowed, "text", text));
        a->err = a->err ? a->err : err;
        return;
    }
    if (v->result < 0)
        printf("   %-4s %-20s %s\n", "BAD", v->family, text);
    else
        printf("   %-4s %-20s largest relative error %.1e, allowed %.1e\n", good ? "ok" : "BAD", v->family, v->error,
               v->allowed);
    fflush(stdout);
}

/* Which kernels were launched. */
static json_t *launched_json(const mr_runtime *rt, const struct mr_device *device)
{
    json_t *names = json_array();
    const char *name;
    bool launched;
    for (int i = 0; (name = mr_verify_kernel(rt, i, &launched)); i++)
        if (launched)
            mr_json_push(&names, json_string(name));
    return json_pack("{si so}", "index", device->index, "launched", names);
}

static int verify(const struct mr_device *device, const struct mr_common *common)
{
    struct observer observer = {device, common->json, 0};
    mr_runtime *rt = NULL;
    char index[16];
    snprintf(index, sizeof index, "%d", device->index);
    int err = mr_runtime_open(&rt, index);
    if (!err)
        err = mr_verify(rt, print_verdict, &observer);
    if (rt && common->json && !observer.err)
        observer.err = mr_print_json(launched_json(rt, device));
    mr_runtime_close(rt);
    return err ? err : observer.err;
}

static int list_devices(struct mr_device **list, size_t *count)
{
    MR_TRY(mr_devices(NULL, 0, count));
    if (!(*list = mr_alloc(*count, sizeof **list)))
        return MR_ENOMEM;
    (*list)->size = sizeof **list;
    return mr_devices(*list, *count, count);
}

int mr_command_devices(int argc, char **argv)
{
    struct mr_common common = {0};
    bool with_verify = false;
    const struct mr_option options[] = {
        {"verify", MR_OPTION_FLAG, &with_verify, NULL, "check every kernel family against known answers"},
        MR_JSON_OPTION(&common),
    };
    const struct mr_syntax syntax = {
        .name = "devices",
        .about = "Lists and verifies OpenCL devices. --device of other commands takes an index or part of a name.",
        .example = "microrwkv devices --json",
        .options = options,
        .option_count = MR_COUNT(options),
    };
    struct mr_words words = {0};
    struct mr_device *list = NULL;
    size_t count = 0;
    int result = 0;
    int err = mr_options_parse(&syntax, argc, argv, &words);
    if (err)
        goto fail;
    MR_GO(list_devices(&list, &count));
    for (size_t i = 0; i < count; i++) {
        MR_GO(common.json ? mr_print_json(device_json(&list[i])) : print_device(&list[i]));
        if (with_verify && (err = verify(&list[i], &common)) < 0)
            result = err; /* the other devices still get their turn */
    }
    err = result;
fail:
    free(list);
    mr_words_free(&words);
    return err;
}
