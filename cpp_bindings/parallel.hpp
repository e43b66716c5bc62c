// Splitting a range of items over threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <thread>
#include <vector>

namespace edgewright {

// Below this many units of work (about a nanosecond each) a thread costs more than it saves.
constexpr std::size_t kUnitsPerThread = std::size_t{1} << 17;

// Number of threads worth starting for `items` items of `units` units of work each.
inline std::size_t useful_threads(std::size_t items, std::size_t units, int threads) {
  const std::size_t wanted = std::max<std::size_t>(1, items * units / kUnitsPerThread);
  return std::min({wanted, static_cast<std::size_t>(std::max(threads, 1)), std::max<std::size_t>(items, 1)});
}

// Call work(thread, begin, end) on `count` contiguous parts of [0, items).
template <typename Work>
void split(std::size_t items, std::size_t count, const Work& work) {
  std::vector<std::thread> others;
  others.reserve(count - 1);
  for (std::size_t part = 1; part < count; ++part) {
    others.emplace_back([&work, part, items, count] { work(part, items * part / count, items * (part + 1) / count); });
  }
  work(0, 0, items / count);
  for (auto& other : others) {
    other.join();
  }
}

}  // namespace edgewright
