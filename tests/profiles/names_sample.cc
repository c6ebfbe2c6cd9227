/* SPDX-License-Identifier: MIT */
/* names_sample.cc - tasks that wait in C++ functions of all kinds, for debug_info.sh. Writes a dump to
 * stdout and a profile to the file that is named. */
#include <weft/chan.h>
#include <weft/dump.h>
#include <weft/task.h>
#include <weft/time.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <unistd.h>
#include <vector>

#define NOINLINE __attribute__((noinline))

static weft_chan *never;

static inline void wait_here()
{
    int v;

    weft_chan_recv(never, &v);
    asm volatile("");
}

namespace net
{
struct Server {
    NOINLINE void run(int, const char *) const
    {
        wait_here();
    }
};
struct Client {
    NOINLINE void run(int, const char *) const
    {
        wait_here();
    }
    bool operator()(int a, int b) const
    {
        wait_here();
        return a < b;
    }
    NOINLINE explicit operator bool() const
    {
        wait_here();
        return true;
    }
};
template <class T> struct Pool {
    NOINLINE static void *take(std::vector<T> *v)
    {
        wait_here();
        return v;
    }
};
NOINLINE static void hidden(int)
{
    wait_here();
}
} // namespace net

namespace
{
NOINLINE void unnamed(int n)
{
    wait_here();
    asm volatile("" ::"r"(n)); /* else it is net::hidden for gcc */
}
} // namespace

template <class T> NOINLINE void go(T &t)
{
    t.run(1, "");
    asm volatile("");
}

static void server(void *)
{
    net::Server s;
    go(s);
    asm volatile("");
}

static void client(void *)
{
    net::Client c;
    go(c);
    asm volatile("");
}

static void compare(void *)
{
    std::vector<int> v{5, 4, 3, 2, 1};
    std::sort(v.begin(), v.end(), net::Client());
}

void lambdas(void *which)
{
    std::function<void()> f = [] { asm volatile(""); };
    std::function<void()> g = [] { wait_here(); };
    std::function<void(int, const char *)> h = [](int, const char *) {
        auto inner = [](char) { wait_here(); };
        inner('c');
    };
    if (which != nullptr)
        h(1, "");
    f();
    g();
    asm volatile("");
}

static void others(void *which)
{
    std::vector<std::string> v;

    if (which == nullptr)
        net::hidden(1);
    else if (which == never)
        unnamed(1);
    else if (which == &never)
        net::Pool<std::string>::take(&v);
    else
        asm volatile("" ::"r"((bool)net::Client()));
    asm volatile("");
}

static int run(void *path)
{
    weft_dump_options o{WEFT_DUMP_TASKS};
    std::FILE *f = std::fopen(static_cast<const char *>(path), "w");

    never = weft_chan_new(sizeof(int), 0);
    weft_go(server, nullptr);
    weft_go(client, nullptr);
    weft_go(compare, nullptr);
    weft_go(lambdas, nullptr);
    weft_go(lambdas, path);
    weft_go(others, nullptr);
    weft_go(others, never);
    weft_go(others, &never);
    weft_go(others, path);
    weft_sleep(20 * WEFT_MILLISECOND);
    weft_dump(STDOUT_FILENO, &o);
    o.form = WEFT_DUMP_PPROF;
    weft_dump(fileno(f), &o);
    std::fclose(f);
    _exit(0);
}

int main(int, char **argv)
{
    return weft_run(run, argv[1]);
}
