/* SPDX-License-Identifier: MIT */
/* test_symbolize.c - the symbolizer names functions of this file; the list of mappings. */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "profiles/walk/learn.h"
#include "reload.h"
#include "tap.h"

static void *volatile leaf_pc;
static int leaf_line, mid_line, outer_line;

/* The PC of the label is inside the innermost inlined function. */
__attribute__((always_inline)) static inline void leaf(void)
{
    void *pc;
    leaf_line = __LINE__ + 1;
    __asm__ volatile("lea (%%rip), %0" : "=r"(pc));
    leaf_pc = pc;
}

__attribute__((always_inline)) static inline void mid(void)
{
    mid_line = __LINE__ + 1;
    leaf();
}

enum { OUTER_START = __LINE__ + 1 };
__attribute__((noinline)) static void outer(void)
{
    outer_line = __LINE__ + 1;
    mid();
}

/* The compiler moves the test of the inlined function before all other code (shrink-wrapping). */
__attribute__((always_inline)) static inline void leaf_if(const int *n)
{
    if (*n > 0)
        printf("# never %d\n", *n);
}

enum { GUARDED_START = __LINE__ + 1 };
__attribute__((noinline)) static void guarded(const int *n)
{
    leaf_if(n);
}

static bool is_frame(const struct weft__frame *f, const char *function, int line)
{
    const char *base = f->file == NULL ? NULL : strrchr(f->file, '/');

    if (strcmp(f->function, function) == 0 && f->line == (uint32_t)line && base != NULL &&
        f->file[0] == '/' && strcmp(base, "/test_symbolize.c") == 0)
        return true;
    printf("# %s %s:%u, want %s %d\n", f->function, f->file, f->line, function, line);
    return false;
}

TEST(inlined_functions_have_their_own_lines)
{
    const struct weft__symbol *s;

    outer();
    s = weft__symbolize((uintptr_t)leaf_pc - 1);
    CHECK(s->found && s->n == 3 && s->pc == (uintptr_t)leaf_pc - 1);
    CHECK(is_frame(&s->frames[0], "leaf", leaf_line) && s->frames[0].inlined);
    CHECK(is_frame(&s->frames[1], "mid", mid_line) && s->frames[1].inlined);
    CHECK(is_frame(&s->frames[2], "outer", outer_line) && !s->frames[2].inlined);
    CHECK(s->frames[2].start_line == OUTER_START);
    CHECK(s->frames[2].entry == (uintptr_t)outer);
    CHECK(weft__symbolize((uintptr_t)leaf_pc - 1) == s);
    return true;
}

TEST(function_not_begun_is_in_no_inlined_one)
{
    const struct weft__symbol *s = weft__symbolize((uintptr_t)guarded);

    guarded(&(int){0});
    CHECK(s->n == 1 && s->frames[0].entry == (uintptr_t)guarded);
    CHECK(strcmp(s->frames[0].function, "guarded") == 0);
    CHECK(s->frames[0].line == GUARDED_START || s->frames[0].line == GUARDED_START + 1);
    return true;
}

TEST(library_without_debug_info_has_names)
{
    uintptr_t f = (uintptr_t)dlsym(dlopen("libz.so.1", RTLD_NOW), "zlibVersion");
    const struct weft__symbol *s = weft__symbolize(f + 1);

    CHECK(f != 0 && s->found && s->n == 1);
    CHECK(strcmp(s->frames[0].function, "zlibVersion") == 0);
    CHECK(s->frames[0].entry == f);
    return true;
}

TEST(libc_has_names)
{
    uintptr_t f = (uintptr_t)dlsym(RTLD_DEFAULT, "gnu_get_libc_version");
    const struct weft__symbol *s = weft__symbolize(f + 1);

    CHECK(s->found && strstr(s->frames[s->n - 1].function, "libc_version") != NULL);
    CHECK(s->frames[s->n - 1].entry == f);
    return true;
}

TEST(unmapped_address_is_a_number)
{
    const struct weft__symbol *s = weft__symbolize(0x1234);

    CHECK(!s->found && s->n == 1 && strcmp(s->frames[0].function, "0x1234") == 0);
    CHECK(s->frames[0].file == NULL && s->frames[0].line == 0 && s->frames[0].entry == 0);
    CHECK(weft__symbolize(0x1234) == s);
    return true;
}

TEST(library_opened_later_is_found)
{
    void *lib;
    uintptr_t f;

    weft__symbolize((uintptr_t)outer);
    lib = dlopen("libm.so.6", RTLD_NOW);
    CHECK(lib != NULL);
    f = (uintptr_t)dlsym(lib, "remquo");
    CHECK(weft__symbolize(f)->found);
    dlclose(lib);
    return true;
}

static bool is_named(uintptr_t pc, const char *name)
{
    return strcmp(weft__symbolize(pc)->frames[0].function, name) == 0;
}

TEST(name_of_an_unloaded_library_stays_until_another_is_there)
{
    struct reload lib;
    uintptr_t last = 0;
    unsigned same = 0;

    for (int i = 0; i < 20; i++) {
        CHECK(reload_open(&lib, i % 2));
        if (lib.ret == last) {
            same++;
            weft__symbolizer_look();
        }
        last = lib.ret;
        CHECK(is_named(last, reload_name(i % 2)));
        dlclose(lib.handle);
        CHECK(is_named(last, reload_name(i % 2)));
        weft__symbolizer_look();
        CHECK(is_named(last, reload_name(i % 2)));
    }
    CHECK(same > 0);
    return true;
}

TEST(library_gone_before_it_was_named_is_a_number)
{
    struct reload lib;
    char hex[32];

    CHECK(reload_open(&lib, false));
    dlclose(lib.handle);
    lib.ret += 16; /* where no other test has asked */
    snprintf(hex, sizeof hex, "%#lx", lib.ret);
    CHECK(is_named(lib.ret, hex));
    CHECK(!weft__symbolize(lib.ret)->found);
    return true;
}

TEST(vdso_has_names)
{
    uintptr_t start = 0;
    size_t n;
    struct weft__mapping *m = weft__maps_read(&n);

    for (size_t i = 0; i < n; i++) {
        if (strcmp(m[i].file, "[vdso]") == 0)
            start = m[i].start;
    }
    free(m);
    for (uintptr_t at = start; start != 0 && at < start + 4096; at += 16) {
        if (weft__symbolize(at)->found)
            return true;
    }
    printf("# no symbol in the vdso at %#lx\n", start);
    return start == 0;
}

TEST(main_binary_is_the_first_mapping)
{
    size_t n;
    struct weft__mapping *m = weft__maps_read(&n);
    char exe[4096];
    ssize_t len = readlink("/proc/self/exe", exe, sizeof exe - 1);
    uintptr_t f = (uintptr_t)dlsym(RTLD_DEFAULT, "gnu_get_libc_version");
    bool has_libc = false;

    CHECK(n >= 3 && len > 0);
    exe[len] = '\0';
    CHECK(strcmp(m[0].file, exe) == 0);
    CHECK((uintptr_t)outer >= m[0].start && (uintptr_t)outer < m[0].limit);
    for (size_t i = 0; i < n; i++) {
        if (f >= m[i].start && f < m[i].limit)
            has_libc = strstr(m[i].file, "libc") != NULL && strlen(m[i].build_id) == 40;
    }
    CHECK(has_libc);
    free(m);
    return true;
}

/* A function whose name has a byte that is no part of a character, and its address. */
__asm__(".pushsection .text\n"
        ".type \"odd\377name\", @function\n"
        "\"odd\377name\": nop\n ret\n"
        ".size \"odd\377name\", . - \"odd\377name\"\n"
        ".popsection\n"
        ".pushsection .data\n"
        "odd_at: .quad \"odd\377name\"\n"
        ".popsection\n");
extern uintptr_t odd_at __attribute__((visibility("hidden")));

static bool name_of_any_bytes_is_text(void)
{
    const struct weft__symbol *s = weft__symbolize(odd_at);

    CHECK(s->found);
    CHECK(strcmp(s->frames[s->n - 1].function, "odd\xef\xbf\xbdname") == 0);
    return true;
}

/* Names as the demanglers of libstdc++ and libc++abi write them. */
TEST(declarations_become_bare_names)
{
    static const char *const cases[][2] = {
        {"net::Server::run(int, char const*) const", "net::Server::run"},
        {"server(void*)", "server"},
        {"void go<net::Server>(net::Server&)", "go<net::Server>"},
        {"std::enable_if<(a > b), void>::type go<int>(int)", "go<int>"},
        {"unsigned long net::Pool<std::vector<int> >::take<int (*)(char)>(int (*)(char)) const &&",
         "net::Pool<std::vector<int> >::take<int (*)(char)>"},
        {"(anonymous namespace)::loop(int) [clone .isra.0] [clone .cold]",
         "(anonymous namespace)::loop"},
        {"main::{lambda(int)#1}::operator()(int) const", "main::{lambda(int)#1}::operator()"},
        {"A::f(int) const::{lambda()#2}::operator()() const", "A::f::{lambda()#2}::operator()"},
        {"f(void (*)(int))::'lambda0'(int)::operator()(int) const",
         "f::'lambda0'(int)::operator()"},
        {"auto f<int>(int)::{lambda(auto:1)#1}::operator()<char>(char) const",
         "f<int>::{lambda(auto:1)#1}::operator()<char>"},
        {"big::operator%(big const&)", "big::operator%"},
        {"bool operator< <int>(A<int> const&, A<int> const&)", "operator< <int>"},
        {"std::ostream& operator<<(std::ostream&, int)", "operator<<"},
        {"p::operator-><int>()", "p::operator-><int>"},
        {"a::operator<=>(a const&)", "a::operator<=>"},
        {"net::Client::operator bool() const", "net::Client::operator bool"},
        {"f::operator std::function<void (int)>() const", "f::operator std::function<void (int)>"},
        {"operator new[](unsigned long)", "operator new[]"},
        {"operator\"\" _km(long double)", "operator\"\" _km"},
        {"my_operator(int)", "my_operator"},
        {"non-virtual thunk to net::Server::run()", "net::Server::run"},
        {"decltype ((a)->b) f<int>(int)", "f<int>"},
        {"f[abi:cxx11](int)", "f[abi:cxx11]"},
        {"net::Server::~Server()", "net::Server::~Server"},
        {"void (*f<int>(int))(char)", "void (*f<int>(int))(char)"}, /* nothing is left: as it is */
        {"", ""},
        {"f(", "f"},
        {"a<b", "a<b"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *bare = weft__cxx_bare(cases[i][0]);

        if (strcmp(bare, cases[i][1]) != 0)
            printf("# %s: %s, want %s\n", cases[i][0], bare, cases[i][1]);
        CHECK(strcmp(bare, cases[i][1]) == 0);
        free(bare);
    }
    return true;
}

/* Clients may ask for the name of any address. */
TEST(no_more_than_a_bound_of_unmapped_addresses_are_kept)
{
    const uintptr_t first = 0x10000; /* below what the kernel maps */
    uint32_t all, nowhere;
    const struct weft__symbol *s = NULL;

    for (uintptr_t i = 0; i < 2 * WEFT__NOWHERE_MOST; i++)
        s = weft__symbolize(first + 16 * i);
    weft__symbols_count(&all, &nowhere);
    CHECK(nowhere == WEFT__NOWHERE_MOST);
    CHECK(all >= nowhere);
    CHECK(!s->found && s->n == 1 && s->frames[0].function != NULL);
    return true;
}

int main(void)
{
    RUN(inlined_functions_have_their_own_lines);
    RUN(function_not_begun_is_in_no_inlined_one);
    RUN(library_without_debug_info_has_names);
    RUN(libc_has_names);
    RUN(unmapped_address_is_a_number);
    RUN(library_opened_later_is_found);
    RUN(name_of_an_unloaded_library_stays_until_another_is_there);
    RUN(library_gone_before_it_was_named_is_a_number);
    RUN(vdso_has_names);
    RUN(main_binary_is_the_first_mapping);
    RUN(name_of_any_bytes_is_text);
    RUN(declarations_become_bare_names);
    RUN(no_more_than_a_bound_of_unmapped_addresses_are_kept);
    weft__symbolizer_stop();
    return tap_end();
}
