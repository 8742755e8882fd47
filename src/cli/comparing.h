/* SPDX-License-Identifier: GPL-3.0-or-later
 * What compare and convert --verify print. */
#ifndef MR_CLI_COMPARING_H
#define MR_CLI_COMPARING_H

#include "api/comparing.h"
#include "cli/cli.h"

/* Prints what differs, as text or one line of JSON. MR_EFILE beyond the tolerance. */
int mr_print_comparison(const struct mr_comparing *how, const struct mr_common *common);

#endif
