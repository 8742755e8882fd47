/* SPDX-License-Identifier: GPL-3.0-or-later
 * Inside of the pickle machine: shared by pickle.c (stack and operations), pickle_lines.c (what protocol 0 writes as
 * text) and pickle_names.c (what names make). */
#ifndef MR_IO_PICKLE_MACHINE_H
#define MR_IO_PICKLE_MACHINE_H

#include "io/pickle.h"

struct mr_pickle_pointers {
    struct mr_pickled **items;
    size_t count, capacity;
};

/* A text that does not stand in the pickle as it is. */
struct mr_pickle_text {
    struct mr_pickle_text *next;
    char text[];
};

/* Values that are made once and shared. */
enum mr_pickle_shared { MR_PICKLE_NONE, MR_PICKLE_YES, MR_PICKLE_NO, MR_PICKLE_MARK, MR_PICKLE_UNIT, MR_PICKLE_SHARED };

struct mr_pickle_machine {
    struct mr_pickle *pickle;
    const uint8_t *p, *end, *start;
    const char *what;
    size_t made; /* values */
    struct mr_pickle_pointers stack, memo;
    struct mr_pickled *shared[MR_PICKLE_SHARED], *small[256]; /* small: 0 to 255, once they were needed */
    struct mr_pickle_asked *asked;                            /* not NULL: names go in here, and none is refused */
};

/* An error at the present byte. */
__attribute__((format(printf, 2, 3))) int mr_pickle_fail(const struct mr_pickle_machine *m, const char *format, ...);
/* A new value, or NULL. */
struct mr_pickled *mr_pickle_make(struct mr_pickle_machine *m, enum mr_pickled_kind kind);
/* MR_ENOMEM for NULL. */
int mr_pickle_push(struct mr_pickle_machine *m, struct mr_pickled *value);
/* The value `depth` below the top, or NULL when there is none (a mark is none). */
struct mr_pickled *mr_pickle_peek(const struct mr_pickle_machine *m, size_t depth);

/* The number of values above the last mark, or -1. */
int64_t mr_pickle_above_mark(const struct mr_pickle_machine *m);
/* Moves the topmost n values to the end of a container. */
int mr_pickle_take(struct mr_pickle_machine *m, struct mr_pickled *into, size_t n);
/* Makes a tuple of the topmost n values. */
int mr_pickle_tuple(struct mr_pickle_machine *m, uint64_t n);
int mr_pickle_push_int(struct mr_pickle_machine *m, int64_t n);
int mr_pickle_push_real(struct mr_pickle_machine *m, double x);

/* The text up to the line's end, and behind it. */
int mr_pickle_line(struct mr_pickle_machine *m, struct mr_pickled **text);
/* INT, LONG, FLOAT, STRING, UNICODE, INST, OBJ, and the number of PUT and GET. */
int mr_pickle_int_line(struct mr_pickle_machine *m);
int mr_pickle_long_line(struct mr_pickle_machine *m);
int mr_pickle_float_line(struct mr_pickle_machine *m);
int mr_pickle_string_line(struct mr_pickle_machine *m);
int mr_pickle_unicode_line(struct mr_pickle_machine *m);
int mr_pickle_instance(struct mr_pickle_machine *m);
int mr_pickle_object(struct mr_pickle_machine *m);
int mr_pickle_number_line(struct mr_pickle_machine *m, uint64_t *n);

/* The list or dictionary (by kind) that takes items: the value, or what an object holds. NULL: none. */
struct mr_pickled *mr_pickle_container(struct mr_pickle_machine *m, struct mr_pickled *value, uint64_t kind);

/* The operations GLOBAL, STACK_GLOBAL, BINPERSID, REDUCE, NEWOBJ (with so many tuples of arguments), BUILD. */
int mr_pickle_global(struct mr_pickle_machine *m);
int mr_pickle_stack_global(struct mr_pickle_machine *m);
int mr_pickle_persistent(struct mr_pickle_machine *m);
int mr_pickle_reduce(struct mr_pickle_machine *m);
int mr_pickle_new_object(struct mr_pickle_machine *m, uint64_t arguments);
int mr_pickle_build(struct mr_pickle_machine *m);

#endif
