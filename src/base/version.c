/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "microrwkv/microrwkv.h"

const char *mr_version(void)
{
    return MR_VERSION;
}
