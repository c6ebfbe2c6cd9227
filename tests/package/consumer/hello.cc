// SPDX-License-Identifier: MIT
// hello.cc - a program of somebody else's, in C++.
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <weft/weft.hpp>

static int run()
{
    weft::chan<std::unique_ptr<int>> numbers;
    weft::group g;
    int sum = 0;

    g.go([&] {
        for (int i = 1; i <= 3; i++)
            numbers.send(std::make_unique<int>(i));
        numbers.close();
    });
    while (auto n = numbers.recv())
        sum += **n;
    try {
        throw std::runtime_error("in a task");
    } catch (const std::runtime_error &) {
        sum += 10;
    }
    return g.wait() == 0 && sum == 16 ? 0 : 1;
}

int main()
{
    int rc = weft::run(run);

    std::puts(rc == 0 ? "hello" : "wrong");
    return rc;
}
