/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/file.h"

int mr_make_folder(const char *folder, unsigned mode)
{
    char path[PATH_MAX];
    size_t size = strlen(folder);
    if (!size || size >= sizeof path)
        return mr_fail(MR_EINVAL, "\"%s\" is not a usable folder name", folder);
    memcpy(path, folder, size + 1);
    for (size_t i = 1; i <= size; i++) {
        if (path[i] != '/' && path[i])
            continue;
        path[i] = 0;
        if (mkdir(path, mode) && errno != EEXIST && errno != EISDIR)
            return mr_fail(MR_EFILE, "cannot create the folder %s: %s", path, strerror(errno));
        path[i] = folder[i];
    }
    return mr_is_folder(folder) ? 0 : mr_fail(MR_EFILE, "%s is not a folder", folder);
}
