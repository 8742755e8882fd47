/* SPDX-License-Identifier: GPL-3.0-or-later
 * Inside of the pickle machine: shared by pickle.c (stack and operations) and pickle_names.c (what names
 * make). */
#ifndef MR_IO_PICKLE_MACHINE_H
#define MR_IO_PICKLE_MACHINE_H

#include "io/pickle.h"

struct mr_pickle_pointers {
    struct mr_pickled **items;
    size_t count, capacity;
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
};

/* An error at the present byte. */
__attribute__((format(printf, 2, 3))) int mr_pickle_fail(const struct mr_pickle_machine *m, const char *format, ...);
/* A new value, or NULL. */
struct mr_pickled *mr_pickle_make(struct mr_pickle_machine *m, enum mr_pickled_kind kind);
/* MR_ENOMEM for NULL. */
int mr_pickle_push(struct mr_pickle_machine *m, struct mr_pickled *value);
/* The value `depth` below the top, or NULL when there is none (a mark is none). */
struct mr_pickled *mr_pickle_peek(const struct mr_pickle_machine *m, size_t depth);

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
