/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/nearest.h"

#include <string.h>

enum { NAME_MAX_BYTES = 63 };

static int minimum(int a, int b)
{
    return a < b ? a : b;
}

static char plain(char c)
{
    return c == '-' ? '_' : c;
}

int mr_edit_distance(const char *a, const char *b)
{
    int n = (int)strnlen(a, NAME_MAX_BYTES), m = (int)strnlen(b, NAME_MAX_BYTES);
    int cost[NAME_MAX_BYTES + 1][NAME_MAX_BYTES + 1]; /* cost[i][j]: of the first i of a and j of b */
    for (int i = 0; i <= n; i++)
        cost[i][0] = i;
    for (int j = 0; j <= m; j++)
        cost[0][j] = j;
    for (int i = 1; i <= n; i++) {
        for (int j = 1; j <= m; j++) {
            char p = plain(a[i - 1]), q = plain(b[j - 1]);
            int best = minimum(cost[i - 1][j], cost[i][j - 1]) + 1;
            best = minimum(best, cost[i - 1][j - 1] + (p != q));
            if (i > 1 && j > 1 && p == plain(b[j - 2]) && plain(a[i - 2]) == q)
                best = minimum(best, cost[i - 2][j - 2] + 1);
            cost[i][j] = best;
        }
    }
    return cost[n][m];
}

const char *mr_nearest(const char *name, const char *const *known, size_t count)
{
    const char *nearest = NULL;
    int least = 0;
    for (size_t i = 0; i < count; i++) {
        int distance = mr_edit_distance(name, known[i]);
        if (!nearest || distance < least) {
            nearest = known[i];
            least = distance;
        }
    }
    return nearest;
}
