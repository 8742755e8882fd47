/* SPDX-License-Identifier: GPL-3.0-or-later
 * What stands in every line of results: which device, and under what circumstances. */
#ifndef MR_BENCH_FACTS_H
#define MR_BENCH_FACTS_H

#include <jansson.h>

#include "rt/rt.h"

/* A new line of results about the device: {"bench": kind, "device": name, "platform": …}. NULL: out of memory. */
json_t *mr_bench_line(const char *kind, const struct mr_device_info *device);

/* Adds the rest of what the report tells: the device's facts, the program's version, the date, the command line. */
int mr_bench_facts(json_t *line, const struct mr_device_info *device, const char *command);

/* Hands such a line on: `rest` (taken over; NULL: out of memory) is what was measured. */
int mr_bench_hand_on(const char *kind, const struct mr_device_info *device, json_t *rest, const char *command,
                     int (*put)(void *to, json_t *line), void *to);

/* Bytes of this process in memory; 0 where the system does not say. */
size_t mr_bench_resident(void);

#endif
