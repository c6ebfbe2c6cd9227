// SPDX-License-Identifier: MIT
// abi_cxx.cc - a C++ program on weft: exceptions thrown and caught inside tasks, over parks, and
// libgcc's unwinder ends cleanly at a task's entry.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <unwind.h>
#include <weft.h>

namespace {

weft_chan *gate;

void thrower(int depth)
{
    int value = 0;

    if (depth == 0) {
        weft_chan_recv(gate, &value);
        throw std::runtime_error("from the depth, " + std::to_string(value));
    }
    thrower(depth - 1);
}

int catches(void *)
{
    try {
        thrower(20);
    } catch (const std::runtime_error &e) {
        return std::string(e.what()) == "from the depth, 0" ? 0 : 2;
    }
    return 1;
}

_Unwind_Reason_Code count(_Unwind_Context *, void *arg)
{
    return ++*static_cast<int *>(arg) > 64 ? _URC_NORMAL_STOP : _URC_NO_REASON;
}

int backtraces(void *)
{
    int frames = 0;

    // _URC_END_OF_STACK: the CFI of the entry says that nothing is above it.
    return _Unwind_Backtrace(count, &frames) == _URC_END_OF_STACK && frames < 20 ? 0 : 3;
}

void nothing(void *)
{
}

// Functions of both types, and lambdas.
int start_all(void *)
{
    weft_group g = WEFT_GROUP_INIT;

    weft_go(nothing, nullptr);
    weft_go(backtraces, nullptr);
    weft_go([](void *) {}, nullptr);
    weft_group_go(&g, nothing, nullptr);
    weft_group_go(&g, [](void *) { return 7; }, nullptr);
    return weft_group_wait(&g) == 7 ? 0 : 4;
}

int run(void *)
{
    weft_group g = WEFT_GROUP_INIT;

    gate = weft_chan_new(sizeof(int), 0);
    for (int i = 0; i < 100; i++)
        weft_group_go(&g, i % 2 ? catches : backtraces, nullptr);
    for (int i = 0; i < 50; i++) {
        int zero = 0;
        weft_chan_send(gate, &zero);
    }
    weft_group_go(&g, start_all, nullptr);
    return weft_group_wait(&g);
}

} // namespace

int main()
{
    int rc = weft_run(run, nullptr);

    std::printf("%d passed, %d failed\n", rc == 0, rc != 0);
    return rc;
}
