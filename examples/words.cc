// SPDX-License-Identifier: MIT
// words.cc - the ten most frequent words of some files, in C++: a task for each file, at most eight
// at once, sends the counts of its file, which move through a channel, to the task that adds them up.
//
//     words FILE...
#include <algorithm>
#include <cctype>
#include <cstdio>
#include <fstream>
#include <string>
#include <unordered_map>
#include <vector>
#include <weft/weft.hpp>

namespace {

using counts = std::unordered_map<std::string, long>;

bool count(const std::string &name, counts &found)
{
    std::ifstream file(name);
    std::string word;

    for (char c; file.get(c);) {
        if (std::isalpha(static_cast<unsigned char>(c))) {
            word += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        } else if (!word.empty()) {
            found[word]++;
            word.clear();
        }
    }
    if (!word.empty())
        found[word]++;
    return file.eof();
}

counts add_up(weft::chan<counts> &arrived)
{
    counts sum;

    while (auto part = arrived.recv())
        for (const auto &[word, n] : *part)
            sum[word] += n;
    return sum;
}

void print_top(const counts &sum, std::size_t n)
{
    std::vector<std::pair<std::string, long>> words(sum.begin(), sum.end());

    std::sort(words.begin(), words.end(), [](const auto &a, const auto &b) {
        return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    words.resize(std::min(n, words.size()));
    for (const auto &[word, times] : words)
        std::printf("%ld %s\n", times, word.c_str());
}

int count_to(const std::string &name, weft::chan<counts> &arrived)
{
    counts found;

    if (!weft::blocking([&] { return count(name, found); })) {
        std::fprintf(stderr, "words: cannot read %s\n", name.c_str());
        return 1;
    }
    return arrived.send(std::move(found));
}

// The first file that cannot be read cancels the group: no other is begun.
int count_each(const std::vector<std::string> &names, weft::chan<counts> &arrived)
{
    weft::group files;

    files.limit(8);
    for (const auto &name : names)
        files.go([&] { return count_to(name, arrived); });
    return files.wait();
}

int count_all(const std::vector<std::string> &names)
{
    weft::chan<counts> arrived;
    weft::group counting;
    counts sum;
    int rc;

    counting.go([&] {
        const int failed = count_each(names, arrived);

        arrived.close();
        return failed;
    });
    sum = add_up(arrived);
    rc = counting.wait();
    if (rc == 0)
        print_top(sum, 10);
    return rc;
}

} // namespace

int main(int argc, char **argv)
{
    const std::vector<std::string> names(argv + 1, argv + argc);

    return weft::run([&] { return count_all(names); });
}
