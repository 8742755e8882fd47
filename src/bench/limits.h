/* SPDX-License-Identifier: GPL-3.0-or-later
 * The ceiling that every other measurement is compared with: how many multiply-adds a device computes and how many
 * bytes it reads in a second, by kernels that do nothing else; where it is the host's processor, by plain C too. */
#ifndef MR_BENCH_LIMITS_H
#define MR_BENCH_LIMITS_H

#include "rt/rt.h"

struct mr_limits {
    double gflops, gb_per_s; /* of the device: the better of the two below */
    double opencl_gflops, opencl_gb_per_s;
    double host_gflops, host_gb_per_s; /* plain C on all cores; 0: the device is another one */
};

/* seconds: about how long each number is measured (0.2 will do). */
int mr_limits_measure(mr_runtime *rt, double seconds, struct mr_limits *limits);

/* How much of a limit something reaches that took `seconds`: of the arithmetic or of the bandwidth, whichever is
 * nearer. */
double mr_limits_share(const struct mr_limits *limits, double gflops, double gb_per_s);

/* ---- host.c: plain C ----------------------------------------------------------------------------------------- */

int mr_host_gflops(double seconds, double *gflops);
int mr_host_bandwidth(double seconds, double *gb_per_s);

#endif
