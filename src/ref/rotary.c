/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "ref/rotary.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

static void turn(const double *from, double *to, int width, int turned, double base, double position)
{
    int half = turned / 2;
    memcpy(to, from, (size_t)width * sizeof *to);
    for (int i = 0; i < half; i++) {
        double angle = position * pow(base, -2.0 * i / turned);
        to[i] = from[i] * cos(angle) - from[i + half] * sin(angle);
        to[i + half] = from[i + half] * cos(angle) + from[i] * sin(angle);
    }
}

void mr_ref_rotary_forward(const double *x, const int32_t *positions, double *y, int rows, int heads, int width,
                           int turned, double base)
{
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < heads; h++)
            for (int part = 0; part < 3; part++)
                turn(x + ((r * heads + h) * 3 + part) * width, y + ((r * 3 + part) * heads + h) * width, width,
                     part < 2 ? turned : 0, base, positions[r]);
}

void mr_ref_rotary_backward(const double *dy, const int32_t *positions, double *dx, int rows, int heads, int width,
                            int turned, double base)
{
    for (int r = 0; r < rows; r++)
        for (int h = 0; h < heads; h++)
            for (int part = 0; part < 3; part++)
                turn(dy + ((r * 3 + part) * heads + h) * width, dx + ((r * heads + h) * 3 + part) * width, width,
                     part < 2 ? turned : 0, base, -positions[r]);
}
