/* SPDX-License-Identifier: MIT */
/* cxxname.c - makes "net::Server::run" of "_ZN3net6Server3runEv".
 *
 * The demangler is that of the C++ library. A C program has none; then names stay mangled, and the
 * tools that read them may demangle them. The demangler gives a declaration ("void
 * go<int>(int)::{lambda()#1}::operator()() const"). Profiles show functions by name, so the rest is
 * left out: the type of the result, all parameters, also those of functions around, and qualifiers
 * behind them. Template arguments stay.
 *
 * Owns nothing; any thread may call in. Calls malloc. */
#include "profiles/walk/learn.h"

#include <stdlib.h>
#include <string.h>

/* The longest mangled name that is demangled, because the demangler takes 70 bytes of stack for
 * each character. */
enum { LONGEST = 4096 };

/* Defined by libstdc++ and libc++abi; NULL in a program without them. */
extern char *demangle(const char *name, char *room, size_t *size,
                      int *status) __asm__("__cxa_demangle") __attribute__((weak));

/* A declaration as it is read, and the name as it is written. */
struct naming {
    const char *at;
    char *name; /* has room for the whole declaration */
    size_t n;
};

static bool starts(const char *s, const char *with)
{
    return strncmp(s, with, strlen(with)) == 0;
}

/* Returns whether the name written so far ends with this. */
static bool ends(const struct naming *g, const char *with)
{
    size_t n = strlen(with);

    return g->n >= n && memcmp(g->name + g->n - n, with, n) == 0;
}

/* Copies n characters of the declaration to the name. */
static void copy(struct naming *g, size_t n)
{
    memcpy(g->name + g->n, g->at, n);
    g->n += n;
    g->at += n;
}

/* Returns the length from an opening bracket to its closing one, both included; to the end of the
 * string if there is none. Inside parentheses "<" may be an operator, so only parentheses count. */
static size_t bracketed(const char *s)
{
    size_t round = 0, others = 0;

    for (const char *p = s; *p != '\0'; p++) {
        if (*p == '(')
            round++;
        else if (*p == ')')
            round--;
        else if (round == 0 && strchr("<{[", *p) != NULL)
            others++;
        else if (round == 0 && strchr(">}]", *p) != NULL)
            others--;
        if (round == 0 && others == 0)
            return (size_t)(p + 1 - s);
    }
    return strlen(s);
}

/* Returns the length of the operator's symbol at s; 0 if there is none. */
static size_t operator_length(const char *s)
{
    static const char *const symbols[] = {
        /* longer ones before their beginnings */
        "->*", "<=>", "<<=", ">>=", "->", "<<", ">>", "<=", ">=", "==", "!=", "&&", "||",
        "++",  "--",  "+=",  "-=",  "*=", "/=", "%=", "^=", "&=", "|=", "()", "[]", "<",
        ">",   "+",   "-",   "*",   "/",  "%",  "^",  "&",  "|",  "~",  "!",  "=",  ",",
    };

    for (size_t i = 0; i < sizeof symbols / sizeof symbols[0]; i++) {
        if (starts(s, symbols[i]))
            return strlen(symbols[i]);
    }
    return 0;
}

/* Copies the rest of an operator's name: a symbol, a word ("new[]"), or a type ("bool"). */
static void operator_name(struct naming *g)
{
    size_t n = operator_length(g->at);

    if (n > 0) {
        copy(g, n);
        if (starts(g->at, " <")) /* its template arguments */
            copy(g, 1);
        return;
    }
    while (*g->at != '\0' && *g->at != '(')
        copy(g, *g->at == '<' ? bracketed(g->at) : 1);
}

static bool is_identifier(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '$';
}

/* Returns whether the name so far ends in the word "operator". */
static bool at_operator(const struct naming *g)
{
    static const char word[] = "operator";
    size_t n = sizeof word - 1;

    return ends(g, word) && (g->n == n || !is_identifier(g->name[g->n - n - 1])) &&
           !is_identifier(*g->at);
}

/* Passes over a list of parameters and the qualifiers behind it. Returns false if the name ends
 * there; true if the list is that of a function around, so that the name goes on. */
static bool pass_parameters(struct naming *g)
{
    const char *scope;

    g->at += bracketed(g->at);
    scope = g->at;
    while (starts(scope, " const") || starts(scope, " volatile") || starts(scope, " &") ||
           *scope == '&')
        scope += *scope == '&' ? 1 : 1 + strcspn(scope + 1, " :");
    if (starts(scope, "::"))
        g->at = scope;
    return *g->at == ':' || g->n == 0; /* n == 0: "decltype (x) f()" */
}

/* Reads the declaration, and leaves the bare name in g->name. */
static void read_name(struct naming *g)
{
    while (*g->at != '\0') {
        if (at_operator(g))
            operator_name(g);
        else if (starts(g->at, "(anonymous namespace)") || *g->at == '<' || *g->at == '{' ||
                 *g->at == '[' || (*g->at == '(' && ends(g, "'"))) /* 'lambda'(int) */
            copy(g, bracketed(g->at));
        else if (*g->at == '(') {
            if (ends(g, "decltype"))
                g->n = 0;
            if (!pass_parameters(g))
                break;
        } else if (*g->at == ' ') { /* the name so far was the type of the result */
            g->n = 0;
            g->at++;
        } else {
            copy(g, 1);
        }
    }
    g->name[g->n] = '\0';
}

char *weft__cxx_bare(const char *declaration)
{
    struct naming g = {.at = declaration, .name = malloc(strlen(declaration) + 1)};

    if (g.name == NULL)
        return NULL;
    read_name(&g);
    if (g.n == 0)
        strcpy(g.name, declaration);
    return g.name;
}

char *weft__cxx_name(const char *mangled)
{
    char *declaration, *name;
    int status;

    if (demangle == NULL || !starts(mangled, "_Z") || strlen(mangled) > LONGEST)
        return NULL;
    declaration = demangle(mangled, NULL, NULL, &status);
    if (declaration == NULL)
        return NULL;
    name = weft__cxx_bare(declaration);
    free(declaration);
    return name;
}
