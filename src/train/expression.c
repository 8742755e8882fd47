/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "train/expression.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"

enum { MOST_DEPTH = 64, LONGEST_SUM = 1 << 16 };

static int read_sum(struct mr_expression *e, struct mr_value *value);

void mr_expression_space(struct mr_expression *e, int newlines)
{
    newlines |= e->parentheses > 0;
    for (;; e->at++) {
        const char *p = e->text + e->at;
        if (*p == '#') {
            e->at += strcspn(p, "\n");
            p = e->text + e->at;
        }
        if (*p == '\\' && p[1] == '\n') {
            e->at++;
            e->line++;
        } else if (*p == '\n' && newlines) {
            e->line++;
        } else if (*p != ' ' && *p != '\t' && *p != '\r' && *p != '\f') {
            return;
        }
    }
}

/* ---- strings ------------------------------------------------------------------------------------------- */

static int read_escape(struct mr_expression *e, struct mr_str *text)
{
    static const char from[] = "ntr0\\'\"", to[] = "\n\t\r\0\\'\"";
    char c = e->text[e->at];
    if (!c)
        return mr_fail(MR_EINVAL, "unterminated string");
    e->at++;
    if (c == '\n') {
        e->line++;
        return 0;
    }
    const char *known = strchr(from, c);
    if (known)
        return mr_str_append(text, to + (known - from), 1);
    MR_TRY(mr_str_append(text, "\\", 1));
    return mr_str_append(text, &c, 1);
}

/* One string from its quote on, '…', "…" or of three quotes; its text is appended. */
static int read_string(struct mr_expression *e, bool raw, struct mr_str *text)
{
    char quote = e->text[e->at];
    bool triple = e->text[e->at + 1] == quote && e->text[e->at + 2] == quote;
    e->at += triple ? 3 : 1;
    for (;;) {
        char c = e->text[e->at];
        if (!c || (c == '\n' && !triple))
            return mr_fail(MR_EINVAL, "unterminated string");
        if (c == quote && (!triple || (e->text[e->at + 1] == quote && e->text[e->at + 2] == quote))) {
            e->at += triple ? 3 : 1;
            return 0;
        }
        e->at++;
        e->line += c == '\n';
        if (c == '\\' && !raw)
            MR_TRY(read_escape(e, text));
        else
            MR_TRY(mr_str_append(text, &c, 1));
    }
}

/* Whether a string begins here, perhaps with r, b, u in front; *prefix is the length of that. f"…" is none. */
static bool string_begins(const struct mr_expression *e, size_t *prefix, bool *raw)
{
    const char *p = e->text + e->at;
    size_t n = strspn(p, "rRbBuU");
    *prefix = n;
    *raw = n && memchr(p, 'r', n);
    return n <= 2 && (p[n] == '\'' || p[n] == '"');
}

int mr_expression_skip_string(struct mr_expression *e)
{
    struct mr_str text = {0};
    size_t prefix;
    bool raw;
    if (!string_begins(e, &prefix, &raw))
        return 0;
    e->at += prefix;
    int err = read_string(e, raw, &text);
    mr_str_free(&text);
    return err < 0 ? err : 1;
}

/* Strings side by side are one. */
static int read_strings(struct mr_expression *e, struct mr_value *value)
{
    struct mr_str text = {0};
    size_t prefix;
    bool raw;
    int err = 0;
    while (!err && string_begins(e, &prefix, &raw)) {
        e->at += prefix;
        err = read_string(e, raw, &text);
        mr_expression_space(e, 0);
    }
    if (!err)
        err = mr_value_text(value, text.text ? text.text : "", text.size);
    mr_str_free(&text);
    return err;
}

/* ---- numbers and names --------------------------------------------------------------------------------- */

static int real_value(double x, struct mr_value *value)
{
    if (!isfinite(x))
        return mr_fail(MR_EINVAL, "a number is too large or undefined");
    *value = (struct mr_value){.kind = MR_VALUE_REAL, .real = x};
    return 0;
}

static struct mr_value whole_value(int64_t x)
{
    return (struct mr_value){.kind = MR_VALUE_INT, .integer = x};
}

/* Digits may be separated by _. */
static int read_number(struct mr_expression *e, struct mr_value *value)
{
    char digits[64];
    size_t n = 0;
    bool real = false;
    const char *p = e->text + e->at;
    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
        return mr_fail(MR_EINVAL, "write numbers in decimal");
    for (; isalnum((unsigned char)*p) || *p == '.' || *p == '_' || ((*p == '-' || *p == '+') && (p[-1] | 0x20) == 'e');
         p++) {
        if (*p == '_')
            continue;
        if (n + 1 == sizeof digits)
            return mr_fail(MR_EINVAL, "a number is too long");
        real |= *p == '.' || (*p | 0x20) == 'e';
        digits[n++] = *p;
    }
    digits[n] = 0;
    e->at = (size_t)(p - e->text);
    char *end;
    double x = strtod(digits, &end);
    if (*end || !n)
        return mr_fail(MR_EINVAL, "\"%s\" is not a number", digits);
    if (real || fabs(x) > 9e18)
        return real_value(x, value);
    *value = whole_value(strtoll(digits, NULL, 10));
    return 0;
}

static int read_name(struct mr_expression *e, struct mr_value *value)
{
    char name[64];
    size_t n = 0;
    const char *p = e->text + e->at;
    while ((isalnum((unsigned char)p[n]) || p[n] == '_') && n + 1 < sizeof name) {
        name[n] = p[n];
        n++;
    }
    name[n] = 0;
    e->at += n;
    if (strcmp(name, "True") == 0 || strcmp(name, "False") == 0) {
        *value = (struct mr_value){.kind = MR_VALUE_BOOL, .yes = name[0] == 'T'};
        return 0;
    }
    if (strcmp(name, "None") == 0) {
        *value = (struct mr_value){.kind = MR_VALUE_NONE};
        return 0;
    }
    const struct mr_value *known = e->lookup ? e->lookup(e->context, name) : NULL;
    if (!known)
        return mr_fail(MR_EINVAL, "\"%s\" is neither a value nor a key with a value", name);
    return mr_value_copy(value, known);
}

static int read_atom(struct mr_expression *e, struct mr_value *value)
{
    size_t prefix;
    bool raw;
    mr_expression_space(e, 0);
    char c = e->text[e->at];
    if (c == '(') {
        e->at++;
        e->parentheses++;
        MR_TRY(read_sum(e, value));
        mr_expression_space(e, 0);
        if (e->text[e->at] != ')') {
            mr_value_free(value);
            return mr_fail(MR_EINVAL, "a closing parenthesis is missing");
        }
        e->at++;
        e->parentheses--;
        return 0;
    }
    if (string_begins(e, &prefix, &raw))
        return read_strings(e, value);
    if (isdigit((unsigned char)c) || (c == '.' && isdigit((unsigned char)e->text[e->at + 1])))
        return read_number(e, value);
    if (isalpha((unsigned char)c) || c == '_')
        return read_name(e, value);
    if (!c || c == '\n')
        return mr_fail(MR_EINVAL, "a value is missing");
    return mr_fail(MR_EINVAL, "\"%.*s\" cannot be evaluated", (int)strcspn(e->text + e->at, "\n"), e->text + e->at);
}

/* ---- arithmetic ---------------------------------------------------------------------------------------- */

static bool is_whole(const struct mr_value *v)
{
    return v->kind == MR_VALUE_INT || v->kind == MR_VALUE_BOOL;
}

static double number(const struct mr_value *v)
{
    return v->kind == MR_VALUE_BOOL ? v->yes : mr_value_number(v);
}

static int join(const char *a, const char *b, struct mr_value *value)
{
    struct mr_str text = {0};
    if (strlen(a) + strlen(b) > LONGEST_SUM) /* a = a + a, line after line */
        return mr_fail(MR_EINVAL, "the joined strings are longer than %d bytes", LONGEST_SUM);
    int err = mr_str_printf(&text, "%s%s", a, b);
    if (!err)
        err = mr_value_text(value, text.text, text.size);
    mr_str_free(&text);
    return err;
}

/* op: + - * / % and 'd' for //, '^' for **; whole numbers stay whole as in Python. */
static int compute(char op, const struct mr_value *a, const struct mr_value *b, struct mr_value *value)
{
    if (op == '+' && a->kind == MR_VALUE_TEXT && b->kind == MR_VALUE_TEXT)
        return join(a->text, b->text, value);
    if (!(is_whole(a) || a->kind == MR_VALUE_REAL) || !(is_whole(b) || b->kind == MR_VALUE_REAL))
        return mr_fail(MR_EINVAL, "%c works on numbers only", op == 'd' ? '/' : op == '^' ? '*' : op);
    double x = number(a), y = number(b);
    if ((op == '/' || op == 'd' || op == '%') && y == 0)
        return mr_fail(MR_EINVAL, "division by zero");
    double result = op == '+'   ? x + y
                    : op == '-' ? x - y
                    : op == '*' ? x * y
                    : op == '/' ? x / y
                    : op == 'd' ? floor(x / y)
                    : op == '%' ? x - y * floor(x / y)
                                : pow(x, y);
    bool exact = is_whole(a) && is_whole(b) && op != '/' && !(op == '^' && y < 0);
    if (!exact || fabs(result) > 9e15)
        return real_value(result, value);
    *value = whole_value((int64_t)result);
    return 0;
}

/* *value = *value op what `read` reads next. */
static int apply(struct mr_expression *e, char op, int (*read)(struct mr_expression *, struct mr_value *),
                 struct mr_value *value)
{
    struct mr_value left = *value, right = {0};
    *value = (struct mr_value){0};
    int err = read(e, &right);
    if (!err)
        err = compute(op, &left, &right, value);
    mr_value_free(&left);
    mr_value_free(&right);
    return err;
}

static int read_unary(struct mr_expression *e, struct mr_value *value)
{
    mr_expression_space(e, 0);
    char c = e->text[e->at];
    if (e->depth >= MOST_DEPTH)
        return mr_fail(MR_EINVAL, "an expression is nested too deeply");
    if (c == '-' || c == '+') {
        e->at++;
        *value = whole_value(0);
        e->depth++;
        MR_TRY(apply(e, c, read_unary, value));
        e->depth--;
        return 0;
    }
    e->depth++;
    MR_TRY(read_atom(e, value));
    mr_expression_space(e, 0);
    if (e->text[e->at] == '*' && e->text[e->at + 1] == '*') {
        e->at += 2;
        MR_TRY(apply(e, '^', read_unary, value));
    }
    e->depth--;
    return 0;
}

static int read_product(struct mr_expression *e, struct mr_value *value)
{
    MR_TRY(read_unary(e, value));
    for (;;) {
        mr_expression_space(e, 0);
        char op = e->text[e->at];
        if (op != '*' && op != '/' && op != '%')
            return 0;
        e->at++;
        if (op == '/' && e->text[e->at] == '/') {
            op = 'd';
            e->at++;
        }
        MR_TRY(apply(e, op, read_unary, value));
    }
}

static int read_sum(struct mr_expression *e, struct mr_value *value)
{
    MR_TRY(read_product(e, value));
    for (;;) {
        mr_expression_space(e, 0);
        char op = e->text[e->at];
        if (op != '+' && op != '-')
            return 0;
        e->at++;
        MR_TRY(apply(e, op, read_product, value));
    }
}

int mr_expression_read(struct mr_expression *e, struct mr_value *value)
{
    *value = (struct mr_value){0};
    e->depth = e->parentheses = 0;
    return read_sum(e, value);
}
