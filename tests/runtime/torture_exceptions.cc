// SPDX-License-Identifier: MIT
// torture_exceptions.cc SECONDS SEED - tasks that throw, catch, rethrow, unwind and hand exceptions
// to each other, and wait in between in every way that may bring them to another thread.
#include "torture.h"

#include <exception>
#include <stdexcept>
#include <string>
#include <weft.h>

namespace {

enum { ACTORS = 24, DEEPEST = 5 };

WEFT_CHAN_TYPE(parcels, std::exception_ptr *);

// libstdc++ counts the holders of an exception by atomics that TSan does not see, and so takes the last
// holder's free for a race.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN
#endif
#endif
#ifdef UNDER_TSAN
constexpr bool hands_over = false;
#else
constexpr bool hands_over = true;
#endif

parcels *mail;
weft_mutex shared = WEFT_MUTEX_INIT;
uint64_t rounds;

struct actor {
    uint64_t random;
    int unwinding; // exceptions that unwind in this task just now
    unsigned below(unsigned n)
    {
        return torture_random(&random, n);
    }
};

void wait_somehow(actor &a)
{
    switch (a.below(8)) {
    case 0:
        weft_sleep(a.below(100) * WEFT_MICROSECOND);
        break;
    case 1:
        weft_mutex_lock(&shared);
        weft_yield();
        weft_mutex_unlock(&shared);
        break;
    case 2:
        weft_blocking([](void *) { torture_spin(20); }, nullptr);
        break;
    case 3:
        if (a.below(100) == 0)
            torture_spin(15000); // the monitor takes the processor
        break;
    default:
        weft_yield();
    }
    EXPECT(std::uncaught_exceptions() == a.unwinding);
}

struct guard {
    actor &a;
    bool unwinds;

    ~guard()
    {
        a.unwinding += unwinds;
        wait_somehow(a);
        a.unwinding -= unwinds;
    }
};

// Throws `what` from `depth` calls below, past destructors that wait.
void thrower(actor &a, const std::string &what, unsigned depth)
{
    guard g{a, true};

    wait_somehow(a);
    if (depth == 0)
        throw std::runtime_error(what);
    thrower(a, what, depth - 1);
}

// An exception of another task, which may be caught there still.
void open_mail(actor &a)
{
    std::exception_ptr *parcel;

    if (parcels_recv_until(mail, &parcel, WEFT_NOW) != 0)
        return;
    try {
        std::rethrow_exception(*parcel);
    } catch (const std::exception &e) {
        std::string before = e.what();
        wait_somehow(a);
        EXPECT(before == e.what());
    }
    delete parcel;
}

void hand_over()
{
    auto *parcel = new std::exception_ptr(std::current_exception());

    if (parcels_send_until(mail, parcel, WEFT_NOW) != 0)
        delete parcel;
}

void play(actor &a, unsigned depth)
{
    std::string what = std::to_string(a.random);

    try {
        try {
            thrower(a, what, a.below(DEEPEST));
        } catch (const std::exception &e) {
            wait_somehow(a);
            EXPECT(what == e.what());
            if (depth > 0 && a.below(2))
                play(a, depth - 1);
            if (hands_over)
                hand_over();
            open_mail(a);
            throw;
        }
    } catch (const std::exception &e) {
        EXPECT(what == e.what());
        wait_somehow(a);
        EXPECT(what == e.what());
    }
}

int act(void *number)
{
    actor a{torture_seed(reinterpret_cast<uintptr_t>(number)), 0};

    while (!torture_stops()) {
        play(a, 3);
        EXPECT(!std::current_exception());
        torture_add(&rounds, 1);
    }
    return 0;
}

int run(void *)
{
    weft_group g = WEFT_GROUP_INIT;
    std::exception_ptr *parcel;

    mail = parcels_new(ACTORS);
    for (uintptr_t i = 1; i <= ACTORS; i++)
        weft_group_go(&g, act, reinterpret_cast<void *>(i));
    weft_group_join(&g);
    while (parcels_recv_until(mail, &parcel, WEFT_NOW) == 0)
        delete parcel;
    parcels_free(mail);
    return 0;
}

} // namespace

int main(int argc, char **argv)
{
    torture_begin(argc, argv);
    weft_run(run, nullptr);
    torture_end();
    std::printf("%llu rounds\n", static_cast<unsigned long long>(rounds));
    return rounds == 0;
}
