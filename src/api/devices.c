/* SPDX-License-Identifier: GPL-3.0-or-later
 * Devices and their limits, as the public interface describes them. */
#include <stdio.h>
#include <stdlib.h>

#include "base/options.h"
#include "microrwkv/microrwkv.h"
#include "rt/gemm.h"
#include "rt/rt.h"

static int describe(struct mr_device *device, const struct mr_device_info *info)
{
    struct mr_device d = {.size = sizeof d,
                          .index = info->index,
                          .is_gpu = info->is_gpu,
                          .is_cpu = info->is_cpu,
                          .shares_host_memory = info->shares_host_memory,
                          .fp16 = info->fp16,
                          .compute_units = info->compute_units,
                          .clock_mhz = info->clock_mhz,
                          .memory = info->memory,
                          .largest_allocation = info->max_alloc,
                          .local_memory = info->local_memory,
                          .largest_group = info->max_group,
                          .subgroups = info->subgroups,
                          .local_is_memory = info->local_is_memory,
                          .lanes = info->lanes,
                          .vec = info->vec};
    const char *provider, *table;
    MR_TRY(mr_gemm_of_device(info, &provider, &table));
    snprintf(d.gemm, sizeof d.gemm, "%s", provider);
    snprintf(d.gemm_table, sizeof d.gemm_table, "%s", table);
    snprintf(d.platform, sizeof d.platform, "%s", info->platform);
    snprintf(d.name, sizeof d.name, "%s", info->name);
    snprintf(d.vendor, sizeof d.vendor, "%s", info->vendor);
    snprintf(d.driver, sizeof d.driver, "%s", info->driver);
    snprintf(d.version, sizeof d.version, "%s", info->version);
    return mr_give_result(device, &d, sizeof d, "mr_device");
}

int mr_devices(struct mr_device *list, size_t capacity, size_t *count)
{
    struct mr_device_info *infos = NULL;
    int n = 0, err = 0;
    *count = 0;
    MR_TRY(mr_device_list(&infos, &n));
    for (size_t i = 0; i < (size_t)n && i < capacity && !err; i++) {
        struct mr_device *device = (struct mr_device *)(void *)((char *)list + i * list->size);
        device->size = list->size;
        err = describe(device, &infos[i]);
    }
    free(infos);
    if (!err)
        *count = (size_t)n;
    return err;
}

int mr_runtime_device(const mr_runtime *rt, struct mr_device *device)
{
    return describe(device, mr_runtime_info(rt));
}
