/* SPDX-License-Identifier: GPL-3.0-or-later
 * The table that says which provider multiplies and how the own kernels cut the work; its format stands in
 * data/tune/cpu.tune. */
#ifndef MR_RT_GEMM_TABLE_H
#define MR_RT_GEMM_TABLE_H

#include "base/str.h"
#include "rt/gemm.h"

enum mr_gemm_class { MR_GEMM_VECTOR, MR_GEMM_SMALL, MR_GEMM_MEDIUM, MR_GEMM_LARGE, MR_GEMM_ANY };

/* Products with so few rows or columns are those of a matrix with vectors. */
enum { MR_GEMM_VECTORS = 8 };

/* Numbers that become -D of cl/gemm.cl; which of them count depends on the device. */
struct mr_gemm_tiles {
    int rows, vectors, depth; /* TILE_M, TILE_V, DEPTH where a work-item is alone */
    int side;                 /* SIDE where they share a tile */
};

struct mr_gemm_rule {
    enum mr_gemm_class size;
    char trans[2]; /* 'n', 't' or '*', of A and of B */
    bool clblast;
    struct mr_gemm_tiles tiles;
};

struct mr_gemm_table {
    struct mr_gemm_rule *rules; /* the last one fits everything */
    int count;
    uint64_t hash;
};

/* Reads a table for devices of this vector width; `name` is for messages. */
int mr_gemm_table_parse(struct mr_gemm_table *table, const char *name, const char *text, int vec);
void mr_gemm_table_free(struct mr_gemm_table *table);

/* The table that a device's products follow: the one that `tune` wrote into the cache, else the shipped one. *name is
 * its name for people. A written table that cannot be read is passed over with a warning. info NULL: of a middling CPU.
 */
int mr_gemm_table_find(struct mr_gemm_table *table, const struct mr_device_info *info, const char **name);
/* Appends the path of the device's own table in the cache; MR_EFILE where there is no folder for it. */
int mr_gemm_table_path(struct mr_str *path, const struct mr_device_info *info);
/* The table in force. */
const struct mr_gemm_table *mr_gemm_table_of(const mr_runtime *rt);

enum mr_gemm_class mr_gemm_class_of(const struct mr_gemm *g);
const struct mr_gemm_rule *mr_gemm_table_choose(const struct mr_gemm_table *table, const struct mr_gemm *g);

#endif
