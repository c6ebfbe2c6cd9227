// SPDX-License-Identifier: MIT
// test_cpp.cc - weft/weft.hpp: captures, groups, channels of values that move, guards, durations.
#include <atomic>
#include <check.h>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <string>
#include <thread>
#include <vector>
#include <weft/weft.hpp>

using namespace std::chrono_literals;

namespace {

// Counts those that live; moved-from ones live, too.
struct counted {
    static std::atomic<int> alive;
    int n;

    explicit counted(int n_) : n(n_)
    {
        alive++;
    }
    counted(counted &&other) noexcept : n(std::exchange(other.n, -1))
    {
        alive++;
    }
    counted &operator=(counted &&other) noexcept
    {
        n = std::exchange(other.n, -1);
        return *this;
    }
    counted(const counted &) = delete;
    counted &operator=(const counted &) = delete;
    ~counted()
    {
        alive--;
    }
};
std::atomic<int> counted::alive;

// A task that nobody waits for may outlast what it told; LeakSanitizer would find its captures.
void await_captures_end()
{
    while (counted::alive > 0)
        weft_yield();
}

} // namespace

TEST(go_owns_what_its_lambda_captured)
{
    weft::chan<int> done(1);
    auto text = std::make_unique<std::string>("captured");

    weft::go([text = std::move(text), c = counted(1), &done] { done.send(*text == "captured"); });
    CHECK_EQ(done.recv().value(), 1);
    await_captures_end();
}

TEST(go_with_options_names_the_task)
{
    weft_go_options options = {"named", 128 * 1024};
    weft::chan<int> done;

    weft::go(options, [c = counted(7), &done] { done.send(c.n); });
    CHECK_EQ(done.recv().value(), 7);
    await_captures_end();
}

TEST(captures_end_with_their_task)
{
    weft::group g;

    for (int i = 0; i < 100; i++)
        g.go([c = counted(i)] { CHECK(c.n >= 0); });
    CHECK_EQ(g.wait(), 0);
    CHECK_EQ(counted::alive.load(), 0);
}

TEST(group_has_the_first_error_and_cancels)
{
    weft::group g;
    int waited = 0;

    g.go([&] { waited = weft::sleep(1h); });
    g.go([] { return 5; });
    CHECK_EQ(g.wait(), 5);
    CHECK_EQ(waited, WEFT_ECANCELED);
    CHECK(g.is_canceled());
    CHECK_EQ(g.cause(), 5);
}

TEST(group_that_is_canceled_starts_nothing_beyond_its_limit)
{
    weft::group g;

    g.limit(1);
    g.cancel();
    CHECK_EQ(g.go([c = counted(1)] { FAIL("it started"); }), WEFT_ECANCELED);
    CHECK_EQ(counted::alive.load(), 0);
}

TEST(groups_deadline_takes_a_duration)
{
    weft::group g;

    g.deadline(1ms);
    g.go([] { return weft::sleep(1h); });
    CHECK_EQ(g.wait(), WEFT_ETIMEDOUT);
}

TEST(groups_destructor_cancels_and_waits)
{
    int waited = 0;
    {
        weft::group g;

        g.go([&] { waited = weft::sleep(1h); });
    }
    CHECK_EQ(waited, WEFT_ECANCELED);
}

TEST(groups_wait_until_says_that_tasks_are_left)
{
    weft::group g;
    weft::chan<int> go_on;

    g.go([&] { return go_on.recv().value(); });
    CHECK_EQ(g.wait_until(WEFT_NOW), WEFT_EPENDING);
    go_on.send(3);
    CHECK_EQ(g.wait(), 3);
}

TEST(channel_moves_values)
{
    weft::chan<std::unique_ptr<int>> c;
    weft::group g;
    int sum = 0, rc = 0;

    g.go([&] {
        for (int i = 1; i <= 100; i++)
            CHECK_EQ(c.send(std::make_unique<int>(i)), 0);
        c.close();
    });
    while (auto n = c.recv(&rc))
        sum += **n;
    CHECK_EQ(sum, 5050);
    CHECK_EQ(rc, WEFT_ECLOSED);
    CHECK_EQ(g.wait(), 0);
}

TEST(channel_copies_values_that_are_kept)
{
    weft::chan<std::string> c(1);
    const std::string text(100, 'x');

    CHECK_EQ(c.send(text), 0);
    CHECK(c.recv() == text);
}

TEST(value_that_is_not_sent_stays)
{
    weft::chan<std::unique_ptr<int>> c;
    auto n = std::make_unique<int>(4);

    CHECK_EQ(c.send_until(std::move(n), WEFT_NOW), WEFT_ETIMEDOUT);
    CHECK_EQ(*n, 4);
    c.close();
    CHECK_EQ(c.send(std::move(n)), WEFT_ECLOSED);
    CHECK_EQ(*n, 4);
}

TEST(channels_end_destroys_buffered_values)
{
    {
        weft::chan<counted> c(3);

        CHECK_EQ(c.send(counted(1)), 0);
        CHECK_EQ(c.send(counted(2)), 0);
        CHECK_EQ(c.recv()->n, 1);
        CHECK_EQ(c.len(), 1);
        CHECK_EQ(c.cap(), 3);
    }
    CHECK_EQ(counted::alive.load(), 0);
}

TEST(channels_end_in_a_canceled_task_destroys_them_too)
{
    weft::group g;

    g.go([&] {
        weft::chan<counted> c(2);

        CHECK_EQ(c.send(counted(1)), 0);
        g.cancel();
    });
    CHECK_EQ(g.wait(), 0);
    CHECK_EQ(g.cause(), WEFT_ECANCELED);
    CHECK_EQ(counted::alive.load(), 0);
}

TEST(select_takes_a_value_that_moves)
{
    weft::chan<std::string> words(1);
    weft::chan<int> never;
    weft::chan<std::string>::slot word(words);
    weft::chan<int>::slot number(never);
    weft_case on[] = {word.on_recv(), number.on_recv()};

    words.send("chosen");
    CHECK_EQ(weft_select(on, 2), 0);
    CHECK_EQ(on[0].result, 0);
    CHECK(word.take() == "chosen");
    words.send("left to its slot");
    CHECK_EQ(weft_select(on, 2), 0);
}

TEST(standard_guards_take_our_locks)
{
    weft::mutex m;
    weft::rwmutex rw;
    weft_mutex of_c = WEFT_MUTEX_INIT;
    weft::group g;
    long n = 0;

    for (int i = 0; i < 8; i++)
        g.go([&] {
            for (int k = 0; k < 100; k++) {
                std::scoped_lock both(m, rw);
                n++;
                weft_yield();
            }
        });
    g.wait();
    {
        std::shared_lock reader(rw), second(rw);
        CHECK_EQ(n, 800);
        CHECK(!rw.try_lock());
    }
    weft::guard held(of_c);
    CHECK(!weft_mutex_trylock(&of_c));
}

TEST(condition_waits_for_what_a_lambda_says)
{
    weft::mutex m;
    weft::cond c;
    weft::group g;
    int stage = 0;

    g.go([&] {
        std::lock_guard held(m);
        stage = 1;
        c.broadcast();
    });
    std::unique_lock lock(m);
    CHECK_EQ(c.wait(lock, [&] { return stage == 1; }), 0);
    CHECK_EQ(c.wait_until(m, weft::after(1ms), [] { return false; }), WEFT_ETIMEDOUT);
    CHECK(lock.owns_lock());
}

TEST(shield_stands_to_the_end_of_its_scope)
{
    weft::group g;

    g.go([&] {
        g.cancel();
        {
            weft::shield s;
            CHECK_EQ(weft::sleep(1us), 0);
        }
        CHECK_EQ(weft::sleep(1us), WEFT_ECANCELED);
    });
    CHECK_EQ(g.wait(), 0);
}

TEST(blocking_returns_what_its_function_returns)
{
    const std::string text = weft::blocking([] { return std::string("from outside"); });

    CHECK(text == "from outside");
    try {
        weft::blocking([]() -> int { throw 6; });
    } catch (int n) {
        CHECK_EQ(n, 6);
    }
    weft_yield(); // panics between begin and end
}

TEST(durations_saturate)
{
    CHECK_EQ(weft::duration(3us), 3000);
    CHECK_EQ(weft::duration(std::chrono::duration<double>(0.5)), 500 * WEFT_MILLISECOND);
    CHECK_EQ(weft::duration(std::chrono::hours::max()), INT64_MAX);
    CHECK_EQ(weft::duration(std::chrono::hours::min()), INT64_MIN);
    CHECK_EQ(weft::after(std::chrono::hours::max()), WEFT_FOREVER);
}

static int seven()
{
    return 7;
}

TEST_PLAIN(run_takes_functions_and_lambdas)
{
    int n = 0;
    weft_run_options options = {};

    CHECK_EQ(weft::run(seven), 7);
    CHECK_EQ(weft::run([&] { n++; }), 0);
    options.procs = 1;
    CHECK_EQ(weft::run(options, [&] { return weft_procs() + n; }), 2);
}
