/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "text/python_literal.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if ((c | 32) >= 'a' && (c | 32) <= 'f')
        return (c | 32) - 'a' + 10;
    return -1;
}

/* The number after the letter of an escape; its length is `digits`. */
static int read_hex(const char *at, const char *end, int digits, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++) {
        int digit = at + i < end ? hex_value(at[i]) : -1;
        if (digit < 0)
            return mr_fail(MR_EFILE, "an escape needs %d hexadecimal digits", digits);
        *value = *value << 4 | (uint32_t)digit;
    }
    return 0;
}

/* The escape at *at, after its backslash: its value, and *at beyond it. */
static int read_escape(const char **at, const char *end, bool is_bytes, uint32_t *value)
{
    static const char letters[] = "\\'\"abfnrtv", values[] = "\\'\"\a\b\f\n\r\t\v";
    char c = *at < end ? *(*at)++ : 0;
    const char *letter = c ? strchr(letters, c) : NULL;
    int digits = c == 'x' ? 2 : is_bytes ? 0 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (letter) {
        *value = (uint32_t)values[letter - letters];
        return 0;
    }
    if (digits) {
        MR_TRY(read_hex(*at, end, digits, value));
        *at += digits;
        return 0;
    }
    if (c >= '0' && c <= '7') {
        *value = (uint32_t)(c - '0');
        for (int i = 0; i < 2 && *at < end && **at >= '0' && **at <= '7'; i++)
            *value = *value << 3 | (uint32_t)(*(*at)++ - '0');
        if (*value > (is_bytes ? 0xFFu : 0x1FFu))
            return mr_fail(MR_EFILE, "an octal escape is larger than a byte");
        return 0;
    }
    return mr_fail(MR_EFILE, "unknown escape \\%c", c >= ' ' && c <= '~' ? c : '?');
}

static int append_escape(const char **at, const char *end, bool is_bytes, struct mr_str *bytes)
{
    uint32_t value = 0;
    char text[4];
    MR_TRY(read_escape(at, end, is_bytes, &value));
    if (is_bytes) {
        text[0] = (char)value;
        return mr_str_append(bytes, text, 1);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
        return mr_fail(MR_EFILE, "an escape is not a valid character");
    return mr_str_append(bytes, text, (size_t)mr_utf8_encode(value, text));
}

int mr_python_literal(const char *literal, size_t size, struct mr_str *bytes)
{
    const char *at = literal, *end = literal + size;
    bool is_bytes = size && *at == 'b';
    at += is_bytes;
    char quote = at < end ? *at++ : 0;
    if (quote != '\'' && quote != '"')
        return mr_fail(MR_EFILE, "expected a string in quotes");
    while (at < end && *at != quote) {
        uint32_t c;
        if (*at == '\\') {
            at++;
            MR_TRY(append_escape(&at, end, is_bytes, bytes));
            continue;
        }
        int length = mr_utf8_decode(at, (size_t)(end - at), &c);
        if (length <= 0 || (is_bytes && length > 1))
            return mr_fail(MR_EFILE, is_bytes ? "a bytes literal contains non-ASCII characters" : "invalid UTF-8");
        MR_TRY(mr_str_append(bytes, at, (size_t)length));
        at += length;
    }
    if (at == end)
        return mr_fail(MR_EFILE, "the closing quote is missing");
    return at + 1 == end ? 0 : mr_fail(MR_EFILE, "unexpected text after the closing quote");
}
