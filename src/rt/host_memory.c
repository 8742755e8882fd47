/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "rt/host_memory.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The number behind `key` at the start of a line, or alone in the file (key ""); SIZE_MAX: none ("max" too). */
static size_t number_in(const char *path, const char *key)
{
    FILE *file = fopen(path, "re");
    char line[256];
    size_t found = SIZE_MAX, n = strlen(key);
    while (file && found == SIZE_MAX && fgets(line, sizeof line, file)) {
        unsigned long long value;
        if (!strncmp(line, key, n) && sscanf(line + n, "%llu", &value) == 1)
            found = (size_t)value;
    }
    if (file)
        fclose(file);
    return found;
}

static size_t number_of(const char *folder, const char *name, const char *key)
{
    char path[1200];
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return SIZE_MAX;
    return number_in(path, key);
}

struct group_files {
    const char *folder, *limit, *used, *reclaimable;
};
static const struct group_files version_1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                             "total_inactive_file "};
static const struct group_files version_2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};

/* What the group at `path` and those above it leave; pages of files that can be dropped count as free. */
static size_t left_in_groups(const char *root, const struct group_files *files, const char *path)
{
    char folder[1024];
    size_t left = SIZE_MAX;
    int base = snprintf(folder, sizeof folder, "%s%s", root, files->folder);
    int n = base < (int)sizeof folder ? snprintf(folder + base, sizeof folder - (size_t)base, "%s", path) : -1;
    if (n < 0 || base + n >= (int)sizeof folder)
        return SIZE_MAX;
    for (;;) {
        size_t limit = number_of(folder, files->limit, ""), used = number_of(folder, files->used, "");
        size_t reclaimable = number_of(folder, "memory.stat", files->reclaimable);
        if (limit != SIZE_MAX && used != SIZE_MAX) {
            used -= reclaimable < used ? reclaimable : 0;
            size_t here = limit > used ? limit - used : 0;
            left = here < left ? here : left;
        }
        char *slash = strrchr(folder, '/');
        if (!slash || slash < folder + base)
            return left;
        *slash = 0;
    }
}

size_t mr_host_memory(const char *root)
{
    char path[1024], line[1024];
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    size_t left = number_in(path, "MemAvailable:");
    left = left > SIZE_MAX / 1024 ? SIZE_MAX : left * 1024;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) { /* "0::/user.slice" or "7:cpu,memory:/docker/1" */
        line[strcspn(line, "\n")] = 0;
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        *group++ = 0;
        const struct group_files *files = !strcmp(line, "0:")                 ? &version_2
                                          : strstr(controllers + 1, "memory") ? &version_1
                                                                              : NULL;
        size_t here = files ? left_in_groups(root, files, group) : SIZE_MAX;
        left = here < left ? here : left;
    }
    if (file)
        fclose(file);
    return left;
}
