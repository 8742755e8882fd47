/* SPDX-License-Identifier: GPL-3.0-or-later
 * Where a device's table comes from. */
#include <string.h>
#include <xxhash.h>

#include "base/file.h"
#include "rt/gemm_table.h"
#include "rt/internal.h"

extern const char mr_tune_cpu[], mr_tune_gpu[]; /* data/tune/ */

enum { LARGEST = 1 << 16 };

int mr_gemm_table_path(struct mr_str *path, const struct mr_device_info *info)
{
    int found = mr_cache_path(path);
    MR_TRY(found);
    if (!found)
        return mr_fail(MR_EFILE, "no folder for the device's table: set MICRORWKV_CACHE_DIR or HOME");
    uint64_t hash = XXH3_64bits(info->platform, strlen(info->platform));
    hash = XXH3_64bits_withSeed(info->vendor, strlen(info->vendor), hash);
    hash = XXH3_64bits_withSeed(info->name, strlen(info->name), hash);
    return mr_str_printf(path, "/gemm-%016llx-%d.tune", (unsigned long long)hash, info->lanes);
}

/* 1: found; 0: there is none that can be used. */
static int find_own(struct mr_gemm_table *table, const struct mr_device_info *info)
{
    struct mr_str path = {0}, text = {0};
    int found = 0;
    if (mr_gemm_table_path(&path, info) == 0 && mr_is_file(path.text)) {
        if (mr_file_read(path.text, LARGEST, &text) == 0 &&
            mr_gemm_table_parse(table, path.text, text.text ? text.text : "", info->vec) == 0)
            found = 1;
        else
            mr_log(MR_LOG_WARNING, "%s; the shipped table is used: run `microrwkv tune` again", mr_error_text());
    }
    mr_str_free(&text);
    mr_str_free(&path);
    return found;
}

int mr_gemm_table_find(struct mr_gemm_table *table, const struct mr_device_info *info, const char **name)
{
    *name = "written by microrwkv tune";
    if (info && find_own(table, info))
        return 0;
    info = info ? info : mr_runtime_info(NULL);
    bool alone = info->lanes == 1;
    *name = alone ? "data/tune/cpu.tune" : "data/tune/gpu.tune";
    return mr_gemm_table_parse(table, *name, alone ? mr_tune_cpu : mr_tune_gpu, info->vec);
}
