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
constexpr float kInfinity = std::numeric_limits<float>::infinity();

typedef float Floats __attribute__((vector_size(32)));
typedef int Ints __attribute__((vector_size(32)));
typedef float HalfFloats __attribute__((vector_size(16)));
typedef double Doubles __attribute__((vector_size(32)));

struct Part {
  float minimum = kInfinity;
  float maximum = -kInfinity;
  double total = 0.0;
  std::int64_t nan = 0;
  std::int64_t infinite = 0;
};

EDGEWRIGHT_INLINE void add_value(float value, double* lane, Part& part) {
  if (value - value == 0.0f) {
    part.minimum = value < part.minimum ? value : part.minimum;
    part.maximum = value > part.maximum ? value : part.maximum;
    *lane += value;
  } else if (value != value) {
    ++part.nan;
  } else {
    ++part.infinite;
  }
}

EDGEWRIGHT_INLINE void add_lanes(const double* lanes, Part& part) {
  part.total += ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3])) + ((lanes[4] + lanes[5]) + (lanes[6] + lanes[7]));
}

// At most kBlock values; the sum's order is that of eight lanes, whatever the instructions.
EDGEWRIGHT_INLINE void block_body(const float* data, std::size_t size, Part& result) {
  const std::size_t whole = size - size % kLanes;
  Floats low = {}, high = {};
  low += kInfinity;
  high -= kInfinity;
  Doubles left = {}, right = {};
  Ints bad = {};
  for (std::size_t i = 0; i < whole; i += kLanes) {
    Floats value;
    HalfFloats first, second;
    std::memcpy(&value, data + i, sizeof value);
    std::memcpy(&first, data + i, sizeof first);
    std::memcpy(&second, data + i + kLanes / 2, sizeof second);
    low = value < low ? value : low;
    high = value > high ? value : high;
    bad |= (value - value) != 0.0f;
    left += __builtin_convertvector(first, Doubles);
    right += __builtin_convertvector(second, Doubles);
  }
  int any = 0;
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    any |= bad[lane];
  }
  double lanes[kLanes] = {};
  Part part;
  std::size_t start = 0;
  if (any == 0) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      part.minimum = low[lane] < part.minimum ? low[lane] : part.minimum;
      part.maximum = high[lane] > part.maximum ? high[lane] : part.maximum;
      lanes[lane] = lane < kLanes / 2 ? left[lane] : right[lane - kLanes / 2];
    }
    start = whole;
  }
  for (std::size_t i = start; i < size; ++i) {
    add_value(data[i], lanes + i % kLanes, part);
  }
  add_lanes(lanes, part);
  result = part;
}
EDGEWRIGHT_DISPATCH(block, (const float* data, std::size_t size, Part& part), (data, size, part))

// Channels last: rows of `width` channels, `stride` apart.
EDGEWRIGHT_INLINE void columns_body(const float* data, std::size_t rows, std::size_t stride, std::size_t width,
                                    float* minimum, float* maximum, double* total, std::int32_t* bad) {
  for (std::size_t row = 0; row < rows; ++row) {
    const float* values = data + row * stride;
    for (std::size_t c = 0; c < width; ++c) {
      const float value = values[c];
      const bool finite = value - value == 0.0f;
      const float low = finite ? value : kInfinity;
      const float high = finite ? value : -kInfinity;
      minimum[c] = low < minimum[c] ? low : minimum[c];
      maximum[c] = high > maximum[c] ? high : maximum[c];
      total[c] += finite ? value : 0.0f;
      bad[c] += finite ? 0 : 1;
    }
  }
}
EDGEWRIGHT_DISPATCH(columns,
                    (const float* data, std::size_t rows, std::size_t stride, std::size_t width, float* minimum,
                     float* maximum, double* total, std::int32_t* bad),
                    (data, rows, stride, width, minimum, maximum, total, bad))

void merge(const Summaries& out, std::size_t channel, const Part& part) {
  out.minimum[channel] = std::min(out.minimum[channel], part.minimum);
  out.maximum[channel] = std::max(out.maximum[channel], part.maximum);
  out.total[channel] += part.total;
  out.nan[channel] += part.nan;
  out.infinite[channel] += part.infinite;
}

void summarize_span(const float* data, std::size_t size, const Summaries& out, int threads) {
  const std::size_t blocks = (size + kBlock - 1) / kBlock;
  std::vector<Part> parts(blocks);
  split(blocks, useful_threads(blocks, kBlock / 4, threads), [&](std::size_t, std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      block(data + i * kBlock, std::min(kBlock, size - i * kBlock), parts[i]);
    }
  });
  for (const Part& part : parts) {
    merge(out, 0, part);
  }
}

void summarize_columns(const float* data, std::size_t rows, std::size_t channels, const Summaries& out, int threads) {
  split(channels, useful_threads(channels, rows, threads), [&](std::size_t, std::size_t begin, std::size_t end) {
    std::vector<std::int32_t> bad(end - begin);
    constexpr std::size_t limit = std::size_t{1} << 30;
    for (std::size_t row = 0; row < rows; row += limit) {
      columns(data + row * channels + begin, std::min(limit, rows - row), channels, end - begin, out.minimum + begin,
              out.maximum + begin, out.total + begin, bad.data());
    }
    for (std::size_t c = begin; c < end; ++c) {
      if (bad[c - begin] == 0) {
        continue;
      }
      for (std::size_t row = 0; row < rows; ++row) {
        const float value = data[row * channels + c];
        out.nan[c] += value != value;
        out.infinite[c] += value == kInfinity || value == -kInfinity;
      }
    }
  });
}

}  // namespace

void summarize(const float* data, std::size_t outer, std::size_t channels, std::size_t inner, const Summaries& out,
               int threads) {
  for (std::size_t c = 0; c < channels; ++c) {
    out.minimum[c] = kInfinity;
    out.maximum[c] = -kInfinity;
    out.total[c] = 0.0;
    out.nan[c] = 0;
    out.infinite[c] = 0;
  }
  if (outer == 0 || channels == 0 || inner == 0) {
    return;
  }
  if (channels == 1) {
    summarize_span(data, outer * inner, out, threads);
    return;
  }
  if (inner == 1) {
    summarize_columns(data, outer, channels, out, threads);
    return;
  }
  split(channels, useful_threads(channels, outer * inner / 4, threads),
        [&](std::size_t, std::size_t begin, std::size_t end) {
          for (std::size_t o = 0; o < outer; ++o) {
            for (std::size_t c = begin; c < end; ++c) {
              const float* span = data + (o * channels + c) * inner;
              for (std::size_t start = 0; start < inner; start += kBlock) {
                Part part;
                block(span + start, std::min(kBlock, inner - start), part);
                merge(out, c, part);
              }
            }
          }
        });
}

}  // namespace edgewright
