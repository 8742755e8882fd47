/* SPDX-License-Identifier: GPL-3.0-or-later
 * MR_API marks what the shared library shows; everything else is hidden. */
#ifndef MICRORWKV_EXPORT_H
#define MICRORWKV_EXPORT_H

#if defined(_WIN32) && defined(MR_BUILDING)
#define MR_API __declspec(dllexport)
#elif defined(_WIN32)
#define MR_API __declspec(dllimport)
#else
#define MR_API __attribute__((visibility("default")))
#endif

#endif
