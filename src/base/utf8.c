/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/utf8.h"

#include <string.h>

#include "base/error.h"

int mr_utf8_decode(const char *bytes, size_t size, uint32_t *code_point)
{
    const unsigned char *p = (const unsigned char *)bytes;
    if (p[0] < 0x80) {
        *code_point = p[0];
        return 1;
    }
    if (p[0] < 0xC2 || p[0] > 0xF4)
        return MR_UTF8_INVALID;
    size_t length = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
    uint32_t value = p[0] & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (i >= size)
            return MR_UTF8_CUT;
        unsigned low = 0x80, high = 0xBF; /* the second byte's range excludes overlong forms and surrogates */
        if (i == 1 && p[0] == 0xE0)
            low = 0xA0;
        else if (i == 1 && p[0] == 0xED)
            high = 0x9F;
        else if (i == 1 && p[0] == 0xF0)
            low = 0x90;
        else if (i == 1 && p[0] == 0xF4)
            high = 0x8F;
        if (p[i] < low || p[i] > high)
            return MR_UTF8_INVALID;
        value = value << 6 | (p[i] & 0x3F);
    }
    *code_point = value;
    return (int)length;
}

int mr_utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

size_t mr_utf8_valid(const char *bytes, size_t size)
{
    size_t at = 0;
    uint32_t c;
    while (at < size) {
        int length = mr_utf8_decode(bytes + at, size - at, &c);
        if (length <= 0)
            break;
        at += (size_t)length;
    }
    return at;
}

size_t mr_utf8_cut(const char *bytes, size_t size)
{
    size_t at = size;
    while (at && size - at < 3 && ((unsigned char)bytes[at] & 0xC0) == 0x80)
        at--;
    return at && ((unsigned char)bytes[at] & 0xC0) != 0x80 ? at : size;
}

size_t mr_utf8_mark(const char *bytes, size_t size)
{
    return size >= 3 && !memcmp(bytes, "\xef\xbb\xbf", 3) ? 3 : 0;
}

int mr_utf8_repair(const char *bytes, size_t size, struct mr_str *text, uint64_t *replaced)
{
    uint32_t c;
    while (size) {
        size_t valid = mr_utf8_valid(bytes, size), wrong = 1;
        MR_TRY(mr_str_append(text, bytes, valid));
        bytes += valid;
        size -= valid;
        if (!size)
            break;
        while (wrong < size && mr_utf8_decode(bytes, wrong + 1, &c) == MR_UTF8_CUT)
            wrong++;
        MR_TRY(mr_str_append(text, MR_UTF8_REPLACEMENT, 3));
        if (replaced)
            ++*replaced;
        bytes += wrong;
        size -= wrong;
    }
    return 0;
}
