/* SPDX-License-Identifier: GPL-3.0-or-later
 * Python's pickle, as torch and plain data need it: a stack machine that builds values and never imports or
 * calls anything. Names that have a meaning here are a fixed list (tensors and their storages, OrderedDict,
 * torch.Size, numpy's scalars); what other names make are objects that nobody looks into, but for the members that
 * the pickle gives them. Names that only an attack asks for are refused. */
#ifndef MR_IO_PICKLE_H
#define MR_IO_PICKLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json.h"
#include "io/numbers.h"

enum mr_pickled_kind {
    MR_PICKLED_NONE,
    MR_PICKLED_BOOL,
    MR_PICKLED_INT,
    MR_PICKLED_REAL, /* also integers beyond 64 bits */
    MR_PICKLED_TEXT, /* bytes as they stand in the pickle, usually UTF-8; not terminated */
    MR_PICKLED_BYTES,
    MR_PICKLED_LIST,
    MR_PICKLED_TUPLE,
    MR_PICKLED_DICT, /* items: key, value, key, value, ... */
    MR_PICKLED_TENSOR,
    MR_PICKLED_STORAGE,
    MR_PICKLED_NAME, /* one of the list above, not yet used */
    MR_PICKLED_OBJECT,
    MR_PICKLED_MARK,
};

enum {
    MR_PICKLED_DIMS = 8,
    MR_PICKLE_DEPTH = 64,
    MR_PICKLE_LARGEST = 16 << 20,    /* bytes: some 80000 tensors */
    MR_PICKLE_MOST_VALUES = 4 << 20, /* of which each takes less than 100 bytes */
};

/* A value; it lives as long as its mr_pickle. Values may be shared and may even contain themselves: walk them
 * with a limit of depth and of steps. */
struct mr_pickled {
    enum mr_pickled_kind kind;
    uint32_t name; /* of a MR_PICKLED_NAME: the machine's own */
    union {
        bool truth;
        int64_t integer;
        double real;
        struct {
            const char *text; /* points into the pickle */
            size_t size;
        };
        struct {
            struct mr_pickled **items;
            uint32_t count, capacity;
        };
        struct mr_pickled_object *object;
        struct mr_pickled_tensor *tensor;
        struct mr_pickled_storage *storage;
    };
};

/* A class or function, and what is made by calling it. */
struct mr_pickled_object {
    const struct mr_pickled *module, *name; /* texts */
    const struct mr_pickled *args;          /* a tuple; NULL: it was not called */
    struct mr_pickled *content;             /* its members (a dictionary) or items, or NULL */
};

struct mr_pickled_storage {
    enum mr_dtype dtype;
    size_t width;                 /* bytes of a number; 0: of a type that is not known */
    bool untyped;                 /* bytes; what sees them says of which type */
    const struct mr_pickled *key; /* a text: the storage's file is data/KEY */
    int64_t offset, count;        /* offset: where a view of another storage begins in it */
    struct mr_pickled_storage *next;
};

/* Elements at offset + sum of index * stride of the storage; all lie inside of its count. */
struct mr_pickled_tensor {
    const struct mr_pickled_storage *storage;
    int ndim;
    int64_t offset, shape[MR_PICKLED_DIMS], stride[MR_PICKLED_DIMS];
};

struct mr_pickle {
    struct mr_pickled *root;
    size_t size; /* of the pickle, up to its end; others may follow. A bound for honest walks */
    struct mr_pickle_block *blocks;
    struct mr_pickle_text *texts;
    struct mr_pickled_storage *storages; /* all that it names; one may be there many times */
};

/* A class or function that a pickle asks for, and what becomes of it. */
enum mr_pickle_use { MR_PICKLE_AS_TENSOR, MR_PICKLE_AS_DATA, MR_PICKLE_LEFT_OUT, MR_PICKLE_REFUSED };
struct mr_pickle_asked {
    struct mr_pickle_global {
        char name[256];
        enum mr_pickle_use use;
        size_t count;
    } * list;
    size_t count, capacity;
};

/* bytes must live as long as the result; `what` names them in errors. On failure there is nothing to free. */
int mr_pickle_read(struct mr_pickle *pickle, const uint8_t *bytes, size_t size, const char *what);
void mr_pickle_free(struct mr_pickle *pickle); /* {0} is fine */

/* Adds the names that a pickle asks for to the list, refusing none; `used`: its size. The caller frees asked->list. */
int mr_pickle_globals(struct mr_pickle_asked *asked, const uint8_t *bytes, size_t size, size_t *used, const char *what);

/* What an object holds, if it is known; of others the value itself. */
const struct mr_pickled *mr_pickled_plain(const struct mr_pickled *value);

/* The value of a text key of a dictionary, or NULL. */
const struct mr_pickled *mr_pickled_get(const struct mr_pickled *dict, const char *key);

/* "module.name" of a class or function in printable ASCII, cut where it is long. */
void mr_pickle_full_name(const struct mr_pickled *module, const struct mr_pickled *name, char full[256]);

/* Whether a value is the class or function of that name, or was made by calling it. */
bool mr_pickled_is(const struct mr_pickled *value, const char *module, const char *name);

/* The format that a torch.dtype stands for, or -1. */
int mr_pickled_dtype(const struct mr_pickled *value);

/* The storage class of a number format (as in "torch FloatStorage"), or NULL where torch has none. */
const char *mr_pickle_storage_name(enum mr_dtype dtype);

#endif
