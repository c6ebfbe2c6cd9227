// SPDX-License-Identifier: MIT
// terminate.cc - a task throws an exception that no code catches; for terminate.sh.
#include <stdexcept>
#include <weft.h>

static void wait(void *)
{
    weft_chan_recv(nullptr, nullptr);
}

static int run(void *)
{
    weft_go(wait, nullptr);
    throw std::runtime_error("nobody catches it");
}

int main()
{
    return weft_run(run, nullptr);
}
