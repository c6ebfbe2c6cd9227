/* SPDX-License-Identifier: MIT */
/* weft/weft.hpp - weft for C++17: functions with captures, channels of values that move, locks that
 * the standard's guards take, durations of std::chrono. Headers alone; the C calls mix with it.
 *
 *     int add_up()
 *     {
 *         weft::chan<std::unique_ptr<int>> numbers;
 *         weft::group g;
 *         int sum = 0;
 *
 *         g.go([&] {
 *             for (int i = 1; i <= 3; i++)
 *                 numbers.send(std::make_unique<int>(i));
 *             numbers.close();
 *         });
 *         g.deadline(std::chrono::seconds(2));
 *         while (auto n = numbers.recv()) // ends when numbers is closed and drained
 *             sum += **n;
 *         return g.wait() == 0 ? sum : -1;
 *     }
 *     int main() { return weft::run(add_up) == 6 ? 0 : 1; }
 *
 * Results are the codes of weft/error.h; nothing here throws but std::bad_alloc and what the values'
 * own moves throw. An exception that leaves a task's function is std::terminate. Tasks that are left
 * when weft::run returns are discarded, and their captures with them, without a destructor: wait
 * for their group. */
#ifndef WEFT_HPP
#define WEFT_HPP

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>
#include <weft.h>

namespace weft {

namespace detail {

/* Calls f; a function without a result counts as 0. */
template <class F> int result_of(F &f)
{
    if constexpr (std::is_void_v<std::invoke_result_t<F &>>) {
        f();
        return 0;
    } else {
        return f();
    }
}

/* The function of a task that owns its copy of an F: arg is the pointer of a unique_ptr. */
template <class F> int call_owned(void *arg) noexcept
{
    std::unique_ptr<F> f(static_cast<F *>(arg));

    return result_of(*f);
}

template <class F> void call_owned_void(void *arg) noexcept
{
    call_owned<F>(arg);
}

template <class F> int call(void *arg) noexcept
{
    return result_of(*static_cast<F *>(arg));
}

template <class F> std::unique_ptr<std::decay_t<F>> own(F &&f)
{
    return std::make_unique<std::decay_t<F>>(std::forward<F>(f));
}

} // namespace detail

/* ---- time ---- */

/* In nanoseconds; what does not fit becomes the longest duration, or the shortest. */
template <class Rep, class Period>
constexpr weft_duration duration(std::chrono::duration<Rep, Period> d)
{
    const double ns = std::chrono::duration<double, std::nano>(d).count();

    if (ns >= 9.2e18)
        return INT64_MAX;
    if (ns <= -9.2e18)
        return INT64_MIN;
    return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
}

/* The instant in so much time: a deadline. */
template <class Rep, class Period> weft_time after(std::chrono::duration<Rep, Period> d)
{
    return weft_after(duration(d));
}

/* 0 or WEFT_ECANCELED. */
template <class Rep, class Period> int sleep(std::chrono::duration<Rep, Period> d)
{
    return weft_sleep(duration(d));
}

/* ---- tasks ---- */

/* Starts the runtime with f() as the first task. Returns f's result, 0 if it has none. */
template <class F> int run(const weft_run_options &options, F f)
{
    return weft_run_with(&options, detail::call<F>, std::addressof(f));
}
template <class F> int run(F f)
{
    return run(weft_run_options{}, std::move(f));
}

/* Starts a task that owns a copy of f, or f itself if that is moved here. A result is dropped. */
template <class F> void go(F &&f)
{
    weft_go_int(detail::call_owned<std::decay_t<F>>, detail::own(std::forward<F>(f)).release());
}
/* The same with a name, or a stack of another size. */
template <class F> void go(const weft_go_options &options, F &&f)
{
    weft_go_with(&options, detail::call_owned_void<std::decay_t<F>>,
                 detail::own(std::forward<F>(f)).release());
}

/* f() between weft_blocking_begin and weft_blocking_end; returns what f returns. */
template <class F> decltype(auto) blocking(F &&f)
{
    struct scope {
        scope()
        {
            weft_blocking_begin();
        }
        ~scope()
        {
            weft_blocking_end();
        }
        scope(const scope &) = delete;
        scope &operator=(const scope &) = delete;
    } between;

    return std::forward<F>(f)();
}

/* A weft_group that cannot be left behind: if tasks were started in it, its destructor cancels it and
 * waits for them. So it ends within the run. */
class group
{
  public:
    group() = default;
    group(const group &) = delete;
    group &operator=(const group &) = delete;
    ~group()
    {
        if (used_) {
            cancel();
            weft_group_wait(&g_);
        }
    }

    /* Starts a task of the group that owns f, as weft::go does. f returns nothing, or an int: 0 or
     * an error, which cancels the group. Returns 0, or WEFT_ECANCELED with nothing started, as
     * weft_group_go. */
    template <class F> int go(F &&f)
    {
        auto owned = detail::own(std::forward<F>(f));
        int rc;

        used_ = true;
        rc = weft_group_go(&g_, detail::call_owned<std::decay_t<F>>, owned.get());
        if (rc == 0)
            static_cast<void>(owned.release()); // the task's
        return rc;
    }

    void limit(std::uint32_t n)
    {
        weft_group_limit(&g_, n);
    }
    void keep_going()
    {
        weft_group_keep_going(&g_);
    }
    void deadline(weft_time when)
    {
        weft_group_deadline(&g_, when);
    }
    template <class Rep, class Period> void deadline(std::chrono::duration<Rep, Period> d)
    {
        deadline(after(d));
    }
    void cancel()
    {
        weft_group_cancel(&g_);
    }
    bool is_canceled() const
    {
        return weft_group_is_canceled(&g_);
    }
    int cause() const
    {
        return weft_group_cause(&g_);
    }
    /* Waits until no task is left; the first result that is not 0, as weft_group_wait. */
    int wait()
    {
        return weft_group_wait(&g_);
    }
    /* As weft_group_wait_until: WEFT_EPENDING while tasks are left. */
    int wait_until(weft_time when)
    {
        return weft_group_wait_until(&g_, when);
    }
    weft_group *native()
    {
        return &g_;
    }

  private:
    weft_group g_ = WEFT_GROUP_INIT;
    std::atomic<bool> used_ = false;
};

/* Waits of this task are not canceled while a shield stands. */
class shield
{
  public:
    shield()
    {
        weft_shield_begin();
    }
    ~shield()
    {
        weft_shield_end();
    }
    shield(const shield &) = delete;
    shield &operator=(const shield &) = delete;
};

/* ---- channels ---- */

/* A channel of T, any type that moves. Bytes travel as they are; a value with a constructor or a
 * destructor travels in memory of its own, which its receiver or the channel's end frees. */
template <class T> class chan
{
    static constexpr bool boxed =
        !std::is_trivially_copyable_v<T> || !std::is_trivially_default_constructible_v<T>;
    using box = std::conditional_t<boxed, T *, T>;

  public:
    /* Without a capacity a send meets its receiver. */
    explicit chan(std::size_t capacity = 0) : c_(weft_chan_new(sizeof(box), capacity))
    {
    }
    chan(const chan &) = delete;
    chan &operator=(const chan &) = delete;
    /* Destroys values still buffered. Panics, as weft_chan_free, if a task waits on the channel. */
    ~chan()
    {
        if constexpr (boxed) {
            weft_shield_begin(); // a canceled task empties it, too
            while (weft_chan_len(c_) > 0 && recv_until(WEFT_NOW))
                ;
            weft_shield_end();
        }
        weft_chan_free(c_);
    }

    /* 0; WEFT_ECLOSED; WEFT_ETIMEDOUT; WEFT_ECANCELED. Without success v is what it was. */
    int send_until(T &&v, weft_time deadline)
    {
        if constexpr (boxed) {
            auto owned = std::make_unique<T>(std::move(v));
            T *const p = owned.get();
            const int rc = weft_chan_send_until(c_, &p, deadline);

            if (rc == 0)
                static_cast<void>(owned.release()); // the receiver's
            else
                v = std::move(*p);
            return rc;
        } else {
            return weft_chan_send_until(c_, &v, deadline);
        }
    }
    int send_until(const T &v, weft_time deadline)
    {
        return send_until(T(v), deadline);
    }
    int send(T &&v)
    {
        return send_until(std::move(v), WEFT_FOREVER);
    }
    int send(const T &v)
    {
        return send_until(v, WEFT_FOREVER);
    }

    /* The next value. None, with the code in *rc if that is given: WEFT_ECLOSED once the channel is
     * closed and drained; WEFT_ETIMEDOUT; WEFT_ECANCELED. */
    std::optional<T> recv_until(weft_time deadline, int *rc = nullptr)
    {
        box b{};
        const int code = weft_chan_recv_until(c_, &b, deadline);

        if (rc)
            *rc = code;
        if (code < 0)
            return std::nullopt;
        return unpack(b);
    }
    std::optional<T> recv(int *rc = nullptr)
    {
        return recv_until(WEFT_FOREVER, rc);
    }

    void close()
    {
        weft_chan_close(c_);
    }
    std::size_t len() const
    {
        return weft_chan_len(c_);
    }
    std::size_t cap() const
    {
        return weft_chan_cap(c_);
    }

    /* A receive as a case of weft_select: `slot` holds what arrives until take(). */
    class slot
    {
      public:
        explicit slot(chan &c) : c_(c.c_)
        {
        }
        slot(const slot &) = delete;
        slot &operator=(const slot &) = delete;
        ~slot()
        {
            if constexpr (boxed)
                delete b_;
        }
        weft_case on_recv()
        {
            return weft_on_recv(c_, &b_);
        }
        /* The value of the case that ran with result 0. */
        T take()
        {
            return *unpack(std::exchange(b_, box{}));
        }

      private:
        weft_chan *c_;
        box b_{};
    };

  private:
    static std::optional<T> unpack(box b)
    {
        if constexpr (boxed) {
            std::unique_ptr<T> owned(b);

            return std::optional<T>(std::move(*owned));
        } else {
            return b;
        }
    }

    weft_chan *c_;
};

/* ---- locks ---- */

/* For std::lock_guard, std::unique_lock and std::scoped_lock. */
class mutex
{
  public:
    constexpr mutex() = default;
    mutex(const mutex &) = delete;
    mutex &operator=(const mutex &) = delete;
    void lock()
    {
        weft_mutex_lock(&m_);
    }
    bool try_lock()
    {
        return weft_mutex_trylock(&m_);
    }
    void unlock()
    {
        weft_mutex_unlock(&m_);
    }
    weft_mutex *native()
    {
        return &m_;
    }

  private:
    weft_mutex m_ = WEFT_MUTEX_INIT;
};

/* For these, and for std::shared_lock. */
class rwmutex
{
  public:
    constexpr rwmutex() = default;
    rwmutex(const rwmutex &) = delete;
    rwmutex &operator=(const rwmutex &) = delete;
    void lock()
    {
        weft_rwmutex_lock(&m_);
    }
    bool try_lock()
    {
        return weft_rwmutex_trylock(&m_);
    }
    void unlock()
    {
        weft_rwmutex_unlock(&m_);
    }
    void lock_shared()
    {
        weft_rwmutex_read_lock(&m_);
    }
    bool try_lock_shared()
    {
        return weft_rwmutex_read_trylock(&m_);
    }
    void unlock_shared()
    {
        weft_rwmutex_read_unlock(&m_);
    }

  private:
    weft_rwmutex m_ = WEFT_RWMUTEX_INIT;
};

/* Holds a weft_mutex of C to the end of its scope. */
class guard
{
  public:
    explicit guard(weft_mutex &m) : m_(m)
    {
        weft_mutex_lock(&m_);
    }
    guard(const guard &) = delete;
    guard &operator=(const guard &) = delete;
    ~guard()
    {
        weft_mutex_unlock(&m_);
    }

  private:
    weft_mutex &m_;
};

/* A condition of what a weft::mutex guards; `lock` is a std::unique_lock<weft::mutex>, or the mutex
 * itself, and is held again in every case. */
class cond
{
  public:
    constexpr cond() = default;
    cond(const cond &) = delete;
    cond &operator=(const cond &) = delete;

    /* Waits until ready() is true. 0; WEFT_ETIMEDOUT; WEFT_ECANCELED. */
    template <class Ready> int wait_until(mutex &m, weft_time deadline, Ready ready)
    {
        while (!ready()) {
            const int rc = weft_cond_wait_until(&c_, m.native(), deadline);

            if (rc < 0)
                return rc;
        }
        return 0;
    }
    template <class Lock, class Ready> int wait_until(Lock &lock, weft_time deadline, Ready ready)
    {
        return wait_until(*lock.mutex(), deadline, std::move(ready));
    }
    template <class Lock, class Ready> int wait(Lock &lock, Ready ready)
    {
        return wait_until(lock, WEFT_FOREVER, std::move(ready));
    }
    void signal()
    {
        weft_cond_signal(&c_);
    }
    void broadcast()
    {
        weft_cond_broadcast(&c_);
    }

  private:
    weft_cond c_ = WEFT_COND_INIT;
};

} // namespace weft

#endif
