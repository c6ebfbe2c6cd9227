/* SPDX-License-Identifier: MIT */
/* head.c - writes the lines of an answer's head that the server decides: status, Date, the framing
 * of the body, Connection.
 *
 * Owns: the table of status lines, which is constant, and the date of each exchange.
 * The connection's task calls weft__head_front once for an answer, when its body's framing is
 * decided. Every answer passes here, so lines are copied from finished parts instead of formatted;
 * the date is formatted when its second is over. */
#include "http/server/exchange.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define STATUS_MAP(XX)                                                                             \
    XX(200, "OK")                                                                                  \
    XX(201, "Created")                                                                             \
    XX(202, "Accepted")                                                                            \
    XX(203, "Non-Authoritative Information")                                                       \
    XX(204, "No Content")                                                                          \
    XX(205, "Reset Content")                                                                       \
    XX(206, "Partial Content")                                                                     \
    XX(300, "Multiple Choices")                                                                    \
    XX(301, "Moved Permanently")                                                                   \
    XX(302, "Found")                                                                               \
    XX(303, "See Other")                                                                           \
    XX(304, "Not Modified")                                                                        \
    XX(307, "Temporary Redirect")                                                                  \
    XX(308, "Permanent Redirect")                                                                  \
    XX(400, "Bad Request")                                                                         \
    XX(401, "Unauthorized")                                                                        \
    XX(402, "Payment Required")                                                                    \
    XX(403, "Forbidden")                                                                           \
    XX(404, "Not Found")                                                                           \
    XX(405, "Method Not Allowed")                                                                  \
    XX(406, "Not Acceptable")                                                                      \
    XX(407, "Proxy Authentication Required")                                                       \
    XX(408, "Request Timeout")                                                                     \
    XX(409, "Conflict")                                                                            \
    XX(410, "Gone")                                                                                \
    XX(411, "Length Required")                                                                     \
    XX(412, "Precondition Failed")                                                                 \
    XX(413, "Content Too Large")                                                                   \
    XX(414, "URI Too Long")                                                                        \
    XX(415, "Unsupported Media Type")                                                              \
    XX(416, "Range Not Satisfiable")                                                               \
    XX(417, "Expectation Failed")                                                                  \
    XX(421, "Misdirected Request")                                                                 \
    XX(422, "Unprocessable Content")                                                               \
    XX(423, "Locked")                                                                              \
    XX(424, "Failed Dependency")                                                                   \
    XX(425, "Too Early")                                                                           \
    XX(426, "Upgrade Required")                                                                    \
    XX(428, "Precondition Required")                                                               \
    XX(429, "Too Many Requests")                                                                   \
    XX(431, "Request Header Fields Too Large")                                                     \
    XX(451, "Unavailable For Legal Reasons")                                                       \
    XX(500, "Internal Server Error")                                                               \
    XX(501, "Not Implemented")                                                                     \
    XX(502, "Bad Gateway")                                                                         \
    XX(503, "Service Unavailable")                                                                 \
    XX(504, "Gateway Timeout")                                                                     \
    XX(505, "HTTP Version Not Supported")                                                          \
    XX(507, "Insufficient Storage")                                                                \
    XX(511, "Network Authentication Required")

enum { STATUS_MIN = 200, STATUS_MAX = 599, TEXT_AT = sizeof("HTTP/1.1 200 ") - 1 };

/* The whole status line of each known status; behind its n bytes and a NUL, the phrase again. */
static const struct line {
    const char *text;
    size_t n;
} status_lines[STATUS_MAX - STATUS_MIN + 1] = {
#define XX(code, text)                                                                             \
    [(code)-STATUS_MIN] = {"HTTP/1.1 " #code " " text "\r\n\0" text,                               \
                           sizeof("HTTP/1.1 " #code " " text "\r\n") - 1},
    STATUS_MAP(XX)
#undef XX
};

const char *weft__status_text(int status)
{
    const struct line *l = &status_lines[status - STATUS_MIN];

    return l->text ? l->text + l->n + 1 : "";
}

/* Each put_ function writes at `to` and returns the place behind the written text. */
static char *put(char *to, const char *text, size_t n)
{
    memcpy(to, text, n);
    return to + n;
}
#define PUT(to, literal) put(to, literal, sizeof(literal) - 1)

static char *put_number(char *to, int64_t value)
{
    char digits[20];
    size_t n = sizeof(digits);

    do
        digits[--n] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    return put(to, digits + n, sizeof(digits) - n);
}

static char *put_status(char *to, int status)
{
    const struct line *l = &status_lines[status - STATUS_MIN];

    if (l->text)
        return put(to, l->text, l->n);
    to = PUT(to, "HTTP/1.1 ");
    to = put_number(to, status);
    return PUT(to, " \r\n");
}

/* Formats the date of RFC 9110. gmtime_r would do, but takes a lock of the C library that all
 * threads share. Years begin in March here, so that the leap day is their last day and the lengths
 * of the months before it follow one formula. */
static void format_date(char out[WEFT__DATE_SIZE], int64_t second)
{
    static const char names[] = "ThuFriSatSunMonTueWed";
    static const char months[] = "MarAprMayJunJulAugSepOctNovDecJanFeb";
    int64_t days = second / 86400, clock = second % 86400;
    int64_t day = days + 719468; /* since 0000-03-01; an era is 400 years */
    int64_t era = day / 146097, of_era = day % 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153; /* 0: March */
    char text[WEFT__DATE_SIZE + 24];

    year += era * 400 + (month >= 10);
    snprintf(text, sizeof(text), "Date: %.3s, %02d %.3s %04d %02d:%02d:%02d GMT\r\n",
             names + 3 * (days % 7), (int)(of_year - (153 * month + 2) / 5 + 1), months + 3 * month,
             (int)year, (int)(clock / 3600), (int)(clock / 60 % 60), (int)(clock % 60));
    memcpy(out, text, WEFT__DATE_SIZE);
}

static char *put_date(weft__exchange *x, char *to)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec != x->date_second) {
        x->date_second = now.tv_sec;
        format_date(x->date, now.tv_sec);
    }
    return put(to, x->date, WEFT__DATE_SIZE);
}

static char *put_framing(const weft__exchange *x, char *to)
{
    const weft_http_response *w = &x->w;

    if (w->chunked)
        return PUT(to, "Transfer-Encoding: chunked\r\n");
    if (w->length < 0)
        return to;
    to = PUT(to, "Content-Length: ");
    to = put_number(to, w->length);
    return PUT(to, "\r\n");
}

uint32_t weft__head_front(weft__exchange *x)
{
    weft_http_response *w = &x->w;
    char front[WEFT__FRONT_SIZE], *to = put_status(front, w->status);
    size_t n;

    if (!w->has_date)
        to = put_date(x, to);
    to = put_framing(x, to);
    if (w->closes)
        to = PUT(to, "Connection: close\r\n");
    else if (x->r.parse.minor == 0)
        to = PUT(to, "Connection: keep-alive\r\n");
    n = (size_t)(to - front);
    memcpy(w->out + WEFT__FRONT_SIZE - n, front, n);
    return (uint32_t)(WEFT__FRONT_SIZE - n);
}
