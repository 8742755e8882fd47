/* SPDX-License-Identifier: GPL-3.0-or-later
 * What the tests of decoding steps share: states in slots that lie apart and in no order, among others that nobody may
 * touch, and the rows of one position out of sequences [R,T,n]. */
#ifndef SLOT_TEST_H
#define SLOT_TEST_H

#include <math.h>
#include <string.h>

#include "kernel_test.h"
#include "ops/slots.h"

enum { SPARE_SLOTS = 3, SLOT_GAP = 5 };

struct slot_test {
    struct mr_slots slots; /* its tensors are the two below: take it after the struct has found its place */
    mr_tensor state, of;
    int rows;
    size_t size;
    int32_t *places; /* [R] */
};

/* Slots for `rows` states of `size` numbers, states [R,size] or NULL: zeros. What is no row's is NaN. */
static inline struct slot_test slot_test_of(uint64_t seed, int rows, size_t size, const double *states)
{
    struct slot_test t = {.rows = rows, .size = size, .slots.stride = (int)size + SLOT_GAP};
    int count = rows + SPARE_SLOTS;
    size_t all = (size_t)count * (size + SLOT_GAP);
    double *numbers = zeros(all);
    int32_t *order = random_integers(seed, (size_t)count, 0, 0);
    for (int i = 0; i < count; i++)
        order[i] = i;
    for (int i = count - 1; i > 0; i--) {
        int j = random_int(seed + (uint64_t)i, 0, i), kept = order[i];
        order[i] = order[j];
        order[j] = kept;
    }
    for (size_t i = 0; i < all; i++)
        numbers[i] = NAN;
    for (int row = 0; row < rows; row++)
        for (size_t i = 0; i < size; i++)
            numbers[(size_t)order[row] * (size + SLOT_GAP) + i] = states ? states[(size_t)row * size + i] : 0;
    t.places = order;
    t.state = upload(numbers, all);
    t.of = upload_i32(order, (size_t)rows);
    free(numbers);
    return t;
}

static inline struct mr_slots slots_in(const struct slot_test *t)
{
    return (struct mr_slots){&t->state, &t->of, t->slots.stride};
}

/* The states [R,size]; fails if anything else was touched. */
static inline double *slot_states(const struct slot_test *t)
{
    size_t apart = t->size + SLOT_GAP, all = ((size_t)t->rows + SPARE_SLOTS) * apart, untouched = 0;
    double *numbers = download(&t->state, all), *states = zeros((size_t)t->rows * t->size);
    for (int row = 0; row < t->rows; row++) {
        double *from = numbers + (size_t)t->places[row] * apart;
        memcpy(states + (size_t)row * t->size, from, t->size * sizeof *states);
        for (size_t i = 0; i < t->size; i++)
            from[i] = 0;
    }
    for (size_t i = 0; i < all; i++)
        untouched += isnan(numbers[i]) != 0;
    assert_int_equal(untouched, all - (size_t)t->rows * t->size);
    free(numbers);
    return states;
}

static inline void slot_test_free(struct slot_test *t)
{
    release(&t->state), release(&t->of);
    free(t->places);
}

/* The rows of position t of sequences [R,T,n]: all, or those from `row` on, `count` of them. */
static inline double *rows_at(const double *a, int row, int count, int time, int t, size_t n)
{
    double *rows = zeros((size_t)count * n);
    for (int r = 0; r < count; r++)
        memcpy(rows + (size_t)r * n, a + ((size_t)(row + r) * (size_t)time + (size_t)t) * n, n * sizeof *rows);
    return rows;
}

static inline mr_tensor upload_at(const double *a, int row, int count, int time, int t, size_t n)
{
    double *rows = rows_at(a, row, count, time, t, n);
    mr_tensor tensor = upload(rows, (size_t)count * n);
    free(rows);
    return tensor;
}

/* The other way: rows [count,n] become position t. */
static inline void rows_to(double *a, const double *rows, int row, int count, int time, int t, size_t n)
{
    for (int r = 0; r < count; r++)
        memcpy(a + ((size_t)(row + r) * (size_t)time + (size_t)t) * n, rows + (size_t)r * n, n * sizeof *a);
}

#endif
