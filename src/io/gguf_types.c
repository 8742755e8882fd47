/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "io/gguf_types.h"

#include <stddef.h>

#include "io/gguf.h"

size_t mr_gguf_value_size(int type)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type >= 0 && type < (int)sizeof sizes ? sizes[type] : 0;
}

static const struct {
    const char *name;
    int dtype;
} types[] = {
    [0] = {"f32", MR_DTYPE_F32},    [1] = {"f16", MR_DTYPE_F16},
    [2] = {"q4_0", MR_DTYPE_Q4_0},  [3] = {"q4_1", MR_DTYPE_Q4_1},
    [6] = {"q5_0", MR_DTYPE_Q5_0},  [7] = {"q5_1", MR_DTYPE_Q5_1},
    [8] = {"q8_0", MR_DTYPE_Q8_0},  [9] = {"q8_1", -1},
    [10] = {"q2_K", MR_DTYPE_Q2_K}, [11] = {"q3_K", MR_DTYPE_Q3_K},
    [12] = {"q4_K", MR_DTYPE_Q4_K}, [13] = {"q5_K", MR_DTYPE_Q5_K},
    [14] = {"q6_K", MR_DTYPE_Q6_K}, [15] = {"q8_K", MR_DTYPE_Q8_K},
    [16] = {"iq2_xxs", -1},         [17] = {"iq2_xs", -1},
    [18] = {"iq3_xxs", -1},         [19] = {"iq1_s", -1},
    [20] = {"iq4_nl", -1},          [21] = {"iq3_s", -1},
    [22] = {"iq2_s", -1},           [23] = {"iq4_xs", -1},
    [24] = {"i8", MR_DTYPE_I8},     [25] = {"i16", MR_DTYPE_I16},
    [26] = {"i32", MR_DTYPE_I32},   [27] = {"i64", MR_DTYPE_I64},
    [28] = {"f64", MR_DTYPE_F64},   [29] = {"iq1_m", -1},
    [30] = {"bf16", MR_DTYPE_BF16}, [34] = {"tq1_0", -1},
    [35] = {"tq2_0", -1},           [39] = {"mxfp4", -1},
};

enum { TYPES = sizeof types / sizeof *types };

int mr_gguf_dtype(int32_t type)
{
    return type >= 0 && type < TYPES && types[type].name ? types[type].dtype : -1;
}

int mr_gguf_type(enum mr_dtype dtype)
{
    for (int i = 0; i < TYPES; i++)
        if (types[i].name && types[i].dtype == (int)dtype)
            return i;
    return -1;
}

const char *mr_gguf_type_name(int32_t type)
{
    return type >= 0 && type < TYPES && types[type].name ? types[type].name : "unknown";
}
