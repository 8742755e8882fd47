/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Asks for a line that is read much later; beyond the matrix this does nothing. */
#if LANES == 1 && !defined(NO_PREFETCH) && defined(__has_builtin)
#if __has_builtin(__builtin_prefetch)
#define FETCH(p) __builtin_prefetch((const void *)(size_t)(p))
#endif
#endif
#ifndef FETCH
#define FETCH(p)
#endif
