/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "base/json_scan.h"

#include <string.h>

#include "base/error.h"
#include "base/utf8.h"

enum state { VALUE, FIRST_ITEM, FIRST_KEY, KEY, COLON, AFTER, STRING, ESCAPE, UNIT, WORD, NUMBER };

/* Places within a number, and which may end it. */
enum number { SIGN, ZERO, WHOLE, POINT, FRACTION, EXPONENT, EXPONENT_SIGN, EXPONENT_DIGITS };
#define MAY_END (1 << ZERO | 1 << WHOLE | 1 << FRACTION | 1 << EXPONENT_DIGITS)

enum { LONGEST_NAME = 256 };

static void wrong(struct mr_json_scan *s, const char *error)
{
    if (!s->error)
        s->error = error;
}

/* ---- strings ---------------------------------------------------------------------------------------------------- */

/* Text of the string at hand, which is valid UTF-8. */
static int hand_out(struct mr_json_scan *s, const char *bytes, size_t size)
{
    if (s->is_key)
        return s->name.size + size <= LONGEST_NAME ? mr_str_append(&s->name, bytes, size) : 0;
    return s->hands_out ? mr_str_append(s->text, bytes, size) : 0;
}

static int replace(struct mr_json_scan *s)
{
    s->replaced += s->hands_out && !s->is_key;
    return hand_out(s, MR_UTF8_REPLACEMENT, 3);
}

/* What waits for its second half does not get it. */
static int settle(struct mr_json_scan *s)
{
    bool waits = s->cut_size || s->high;
    s->cut_size = 0;
    s->high = 0;
    return waits ? replace(s) : 0;
}

/* A byte of a character beyond ASCII. */
static int add_byte(struct mr_json_scan *s, char byte)
{
    uint32_t c;
    if (s->high)
        MR_TRY(settle(s));
    s->cut[s->cut_size++] = byte;
    int length = mr_utf8_decode(s->cut, (size_t)s->cut_size, &c);
    if (length == MR_UTF8_CUT)
        return 0;
    bool again = length < 0 && s->cut_size > 1;
    size_t size = (size_t)s->cut_size;
    s->cut_size = 0;
    MR_TRY(length > 0 ? hand_out(s, s->cut, size) : replace(s));
    return again ? add_byte(s, byte) : 0;
}

static int add_unit(struct mr_json_scan *s)
{
    char text[4];
    uint32_t c = s->unit;
    if (s->high && c >= 0xDC00 && c < 0xE000) {
        c = 0x10000 + ((s->high - 0xD800) << 10) + (c - 0xDC00);
        s->high = 0;
    }
    MR_TRY(settle(s));
    if (c >= 0xD800 && c < 0xDC00) {
        s->high = c;
        return 0;
    }
    return c >= 0xDC00 && c < 0xE000 ? replace(s) : hand_out(s, text, (size_t)mr_utf8_encode(c, text));
}

static int escape(struct mr_json_scan *s, char c)
{
    static const char names[] = "\"\\/bfnrt", values[] = "\"\\/\b\f\n\r\t";
    const char *found = c ? strchr(names, c) : NULL;
    s->state = STRING;
    if (c == 'u') {
        s->state = UNIT;
        s->unit = 0;
        s->digits = 0;
        return 0;
    }
    MR_TRY(settle(s));
    if (!found) {
        wrong(s, "invalid escape");
        return 0;
    }
    return hand_out(s, &values[found - names], 1);
}

static int unit_digit(struct mr_json_scan *s, char c)
{
    int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
    if (digit < 0) {
        wrong(s, "\\u needs four hexadecimal digits");
        return 0;
    }
    s->unit = s->unit << 4 | (uint32_t)digit;
    if (++s->digits < 4)
        return 0;
    s->state = STRING;
    return add_unit(s);
}

static int end_string(struct mr_json_scan *s)
{
    MR_TRY(settle(s));
    s->state = s->is_key ? COLON : AFTER;
    if (s->is_key)
        s->value_wanted = s->key && s->open.size == 1 && s->name.size == strlen(s->key) &&
                          !memcmp(s->name.size ? s->name.text : "", s->key, s->name.size);
    s->hands_out = s->is_key = false;
    return 0;
}

/* Bytes of a string that stand for themselves: how many. */
static size_t plain(const char *bytes, size_t size)
{
    size_t n = 0;
    while (n < size && (signed char)bytes[n] >= 0x20 && bytes[n] != '"' && bytes[n] != '\\')
        n++;
    return n;
}

static int string_bytes(struct mr_json_scan *s, const char *bytes, size_t size, size_t *used)
{
    size_t n = plain(bytes, size);
    *used = n ? n : 1;
    if ((unsigned char)bytes[0] >= 0x80)
        return add_byte(s, bytes[0]);
    if (bytes[0] == '\\') {
        s->state = ESCAPE; /* which may be the second half of a pair */
        return 0;
    }
    if (bytes[0] == '"')
        return end_string(s);
    MR_TRY(settle(s));
    if (!n && s->strict)
        wrong(s, "a control character in a string");
    return hand_out(s, bytes, *used);
}

/* ---- everything else -------------------------------------------------------------------------------------------- */

static int open_bracket(struct mr_json_scan *s, char c)
{
    if (s->open.size == MR_JSON_DEPTH)
        wrong(s, "brackets nested too deeply");
    if (!s->open.size)
        s->is_object = c == '{';
    s->state = c == '{' ? FIRST_KEY : FIRST_ITEM;
    return mr_str_append(&s->open, &c, 1);
}

static void close_bracket(struct mr_json_scan *s, char c)
{
    if (!s->open.size || s->open.text[s->open.size - 1] != (c == '}' ? '{' : '[')) {
        wrong(s, "unmatched closing bracket");
        return;
    }
    s->open.size--;
    s->state = AFTER;
}

static void begin_string(struct mr_json_scan *s, bool is_key)
{
    s->state = STRING;
    s->is_key = is_key;
    if (is_key)
        s->name.size = 0;
}

static void begin_word(struct mr_json_scan *s, const char *word)
{
    s->word = word + 1;
    s->state = WORD;
}

static int value(struct mr_json_scan *s, char c)
{
    if (s->value_wanted) {
        s->found++;
        s->is_text = c == '"';
        s->hands_out = s->is_text && s->found == s->wanted;
        s->value_wanted = false;
    }
    s->state = AFTER;
    if (s->strict && !s->open.size && c != '{' && c != '[')
        wrong(s, "expected an object or an array");
    if (c == '{' || c == '[')
        return open_bracket(s, c);
    if (c == '"')
        begin_string(s, false);
    else if (c == 't')
        begin_word(s, "true");
    else if (c == 'f')
        begin_word(s, "false");
    else if (c == 'n')
        begin_word(s, "null");
    else if (c == 'N')
        begin_word(s, "NaN");
    else if (c == 'I')
        begin_word(s, "Infinity");
    else if (c == '-' || (c >= '0' && c <= '9'))
        s->state = NUMBER, s->number = c == '-' ? SIGN : c == '0' ? ZERO : WHOLE;
    else
        wrong(s, "expected a value");
    return 0;
}

/* The place in a number behind one more character; -1: it is not of the number. */
static int next_place(int place, char c)
{
    if (c >= '0' && c <= '9') {
        static const int next[] = {WHOLE,          -1, WHOLE, FRACTION, FRACTION, EXPONENT_DIGITS, EXPONENT_DIGITS,
                                   EXPONENT_DIGITS};
        return place == SIGN && c == '0' ? ZERO : next[place];
    }
    if (c == '.' && (place == ZERO || place == WHOLE))
        return POINT;
    if ((c | 32) == 'e' && (place == ZERO || place == WHOLE || place == FRACTION))
        return EXPONENT;
    return (c == '+' || c == '-') && place == EXPONENT ? EXPONENT_SIGN : -1;
}

/* True where the byte belongs to the number. */
static bool number_byte(struct mr_json_scan *s, char c)
{
    int next = next_place(s->number, c);
    if (next >= 0) {
        s->number = next;
        return true;
    }
    if (s->number == SIGN && c == 'I') {
        begin_word(s, "Infinity");
        return true;
    }
    if (!(MAY_END >> s->number & 1))
        wrong(s, "invalid number");
    s->state = AFTER;
    return false;
}

static int other_byte(struct mr_json_scan *s, char c)
{
    if (s->state == WORD) {
        if (*s->word != c)
            wrong(s, "invalid literal");
        else if (!*++s->word)
            s->state = AFTER;
        return 0;
    }
    if (c == ' ' || c == '\t' || c == '\r' || c == '\n')
        return 0;
    switch (s->state) {
    case COLON:
        s->state = VALUE;
        if (c != ':')
            wrong(s, "expected ':' after a key");
        return 0;
    case AFTER:
        if (c == '}' || c == ']')
            close_bracket(s, c);
        else if (c != ',' || !s->open.size)
            wrong(s, s->open.size ? "expected ',' or a closing bracket" : "unexpected text after the record");
        else
            s->state = s->open.text[s->open.size - 1] == '{' ? KEY : VALUE;
        return 0;
    case FIRST_KEY:
    case KEY:
        if (c == '"')
            begin_string(s, true);
        else if (c == '}' && s->state == FIRST_KEY)
            close_bracket(s, c);
        else
            wrong(s, "expected a key in quotes");
        return 0;
    default:
        if (c == ']' && s->state == FIRST_ITEM) {
            close_bracket(s, c);
            return 0;
        }
        return value(s, c);
    }
}

int mr_json_scan(struct mr_json_scan *s, const char *bytes, size_t size)
{
    for (size_t i = 0, used; i < size && !s->error; i += used, s->at += used) {
        used = 1;
        if (s->state == STRING)
            MR_TRY(string_bytes(s, bytes + i, size - i, &used));
        else if (s->state == ESCAPE)
            MR_TRY(escape(s, bytes[i]));
        else if (s->state == UNIT)
            MR_TRY(unit_digit(s, bytes[i]));
        else if (s->state != NUMBER || !number_byte(s, bytes[i]))
            MR_TRY(s->error ? 0 : other_byte(s, bytes[i]));
        if (s->error)
            break;
    }
    return 0;
}

void mr_json_scan_end(struct mr_json_scan *s)
{
    if (s->state == NUMBER)
        number_byte(s, ' ');
    if (s->state != AFTER || s->open.size)
        wrong(s, "unexpected end of JSON");
}

void mr_json_scan_free(struct mr_json_scan *s)
{
    mr_str_free(&s->open);
    mr_str_free(&s->name);
    *s = (struct mr_json_scan){0};
}
