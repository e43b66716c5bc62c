#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "dispatch.hpp"
#include "kernels.hpp"
#include "parallel.hpp"

namespace edgewright {
namespace {

constexpr std::size_t kBlock = 4096;
constexpr std::size_t kLanes = 8;
// Neighbours often fall into one bin; several tables keep an increment from waiting for the one before.
constexpr std::size_t kTables = 4;
constexpr std::size_t kFlush = std::size_t{1} << 30;

typedef float Floats __attribute__((vector_size(32)));
typedef int Ints __attribute__((vector_size(32)));

struct Grid {
  float scale;
  int first;
  int bins;
};

// Positions on the grid, `bins` for what is not finite or outside. An infinitesimal negative value may underflow in the
// product, and still belongs below zero.
EDGEWRIGHT_INLINE void locate_body(const float* data, std::size_t size, const Grid& grid, int* out) {
  constexpr float limit = 1073741824.0f;
  const Ints bins = Ints{} + grid.bins;
  std::size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    Floats value;
    std::memcpy(&value, data + i, sizeof value);
    const Ints finite = (value - value) == 0.0f;
    Floats step = value * grid.scale;
    step = step < -limit ? Floats{} - limit : step;
    step = step > limit ? Floats{} + limit : step;
    step = finite ? step : Floats{};
    Ints index = __builtin_convertvector(step, Ints);
    index += __builtin_convertvector(index, Floats) > step;
    index += (step == 0.0f) & (value < 0.0f);
    index -= grid.first;
    const Ints inside = finite & (index >= 0) & (index < bins);
    index = inside ? index : bins;
    std::memcpy(out + i, &index, sizeof index);
  }
  for (; i < size; ++i) {
    const float value = data[i];
    int index = grid.bins;
    if (value - value == 0.0f) {
      const float step = std::min(std::max(value * grid.scale, -limit), limit);
      int found = static_cast<int>(step);
      found -= static_cast<float>(found) > step;
      found -= step == 0.0f && value < 0.0f;
      found -= grid.first;
      index = found >= 0 && found < grid.bins ? found : grid.bins;
    }
    out[i] = index;
  }
}
EDGEWRIGHT_DISPATCH(locate, (const float* data, std::size_t size, const Grid& grid, int* out), (data, size, grid, out))

void count_part(const float* data, std::size_t size, const Grid& grid, std::size_t slots, std::int64_t* counts) {
  std::vector<std::uint32_t> tables(kTables * slots);
  std::uint32_t* const table0 = tables.data();
  std::uint32_t* const table1 = table0 + slots;
  std::uint32_t* const table2 = table1 + slots;
  std::uint32_t* const table3 = table2 + slots;
  int index[kBlock];
  for (std::size_t start = 0; start < size; start += kFlush) {
    const std::size_t stop = std::min(size, start + kFlush);
    for (std::size_t at = start; at < stop; at += kBlock) {
      const std::size_t length = std::min(kBlock, stop - at);
      locate(data + at, length, grid, index);
      std::size_t i = 0;
      for (; i + kTables <= length; i += kTables) {
        ++table0[index[i]];
        ++table1[index[i + 1]];
        ++table2[index[i + 2]];
        ++table3[index[i + 3]];
      }
      for (; i < length; ++i) {
        ++table0[index[i]];
      }
    }
    for (std::size_t slot = 0; slot < slots; ++slot) {
      counts[slot] += static_cast<std::int64_t>(table0[slot]) + table1[slot] + table2[slot] + table3[slot];
      table0[slot] = table1[slot] = table2[slot] = table3[slot] = 0;
    }
  }
}

}  // namespace

void count_on_grid(const float* data, std::size_t size, int exponent, int first, std::size_t bins, std::int64_t* counts,
                   int threads) {
  const Grid grid{std::ldexp(1.0f, -exponent), first, static_cast<int>(bins)};
  const std::size_t slots = bins + 1;
  const std::size_t parts = useful_threads(size, 1, threads);
  std::vector<std::vector<std::int64_t>> partial(parts - 1, std::vector<std::int64_t>(slots));
  split(size, parts, [&](std::size_t part, std::size_t begin, std::size_t end) {
    count_part(data + begin, end - begin, grid, slots, part == 0 ? counts : partial[part - 1].data());
  });
  for (const auto& other : partial) {
    for (std::size_t slot = 0; slot < slots; ++slot) {
      counts[slot] += other[slot];
    }
  }
}

}  // namespace edgewright
