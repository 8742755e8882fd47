/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "bench/facts.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/json.h"
#include "microrwkv/microrwkv.h"
#include "rt/gemm.h"

json_t *mr_bench_line(const char *kind, const struct mr_device_info *device)
{
    return json_pack("{ss so so}", "bench", kind, "device", mr_json_repaired(device->name, strlen(device->name)),
                     "platform", mr_json_repaired(device->platform, strlen(device->platform)));
}

int mr_bench_facts(json_t *line, const struct mr_device_info *device, const char *command)
{
    char date[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    const char *provider, *table;
    MR_TRY(mr_gemm_of_device(device, &provider, &table));
    if (gmtime_r(&now, &utc))
        strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return mr_json_set(line, "facts",
                       json_pack("{ss ss ss ss ss si si sI sI si si ss ss}", "date", date, "program", mr_version(),
                                 "command", command, "vendor", device->vendor, "driver", device->driver,
                                 "compute_units", device->compute_units, "clock_mhz", device->clock_mhz, "memory",
                                 (json_int_t)device->memory, "max_alloc", (json_int_t)device->max_alloc, "lanes",
                                 device->lanes, "vec", device->vec, "gemm", provider, "gemm_table", table));
}

int mr_bench_hand_on(const char *kind, const struct mr_device_info *device, json_t *rest, const char *command,
                     int (*put)(void *to, json_t *line), void *to)
{
    json_t *line = mr_bench_line(kind, device);
    int err = line && rest && !json_object_update(line, rest) ? 0 : mr_fail(MR_ENOMEM, "out of memory for results");
    json_decref(rest);
    if (!err)
        err = mr_bench_facts(line, device, command);
    if (!err)
        return put(to, line);
    json_decref(line);
    return err;
}

size_t mr_bench_resident(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*s %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}
