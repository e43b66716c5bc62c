#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "dispatch.hpp"
#include "kernels.hpp"
#include "parallel.hpp"

namespace edgewright {
namespace {

typedef double Doubles __attribute__((vector_size(32)));
constexpr std::size_t kLanes = 4;

// Adding and subtracting 1.5 * 2^52 rounds to an integer, half to even, for magnitudes below 2^51.
constexpr double kRound = 6755399441055744.0;

// Values and weights are padded with zeros to a multiple of two vectors.
EDGEWRIGHT_INLINE void error_body(const double* values, const double* weights, std::size_t size, double scale,
                                  double lowest, double highest, double& result) {
  Doubles sums[2] = {};
  const Doubles floor = Doubles{} + lowest;
  const Doubles ceiling = Doubles{} + highest;
  for (std::size_t i = 0; i < size; i += 2 * kLanes) {
    for (std::size_t half = 0; half < 2; ++half) {
      Doubles value, weight;
      std::memcpy(&value, values + i + half * kLanes, sizeof value);
      std::memcpy(&weight, weights + i + half * kLanes, sizeof weight);
      Doubles step = value / scale;
      step = step < floor ? floor : step;
      step = step > ceiling ? ceiling : step;
      step = (step + kRound) - kRound;
      const Doubles error = value - step * scale;
      sums[half] += weight * (error * error);
    }
  }
  const Doubles sum = sums[0] + sums[1];
  result = (sum[0] + sum[1]) + (sum[2] + sum[3]);
}
EDGEWRIGHT_DISPATCH(error,
                    (const double* values, const double* weights, std::size_t size, double scale, double lowest,
                     double highest, double& result),
                    (values, weights, size, scale, lowest, highest, result))

std::size_t padded(std::size_t size) { return (size + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes); }

double entropy(double mass) { return mass > 0.0 ? mass * std::log(mass) : 0.0; }

// Sums over counts[0 .. i) for each i: of the counts, of how many are filled, of count * log(count); and the last filled bin.
struct Prefixes {
  std::vector<double> mass, filled, entropy;
  std::vector<std::size_t> last;
};

Prefixes prefixes(const double* counts, std::size_t size) {
  Prefixes sums{std::vector<double>(size + 1), std::vector<double>(size + 1), std::vector<double>(size + 1),
                std::vector<std::size_t>(size + 1)};
  for (std::size_t i = 0; i < size; ++i) {
    const bool filled = counts[i] > 0.0;
    sums.mass[i + 1] = sums.mass[i] + counts[i];
    sums.filled[i + 1] = sums.filled[i] + (filled ? 1.0 : 0.0);
    sums.entropy[i + 1] = sums.entropy[i] + entropy(counts[i]);
    sums.last[i + 1] = filled ? i : sums.last[i];
  }
  return sums;
}

// KL divergence of clipping after `used` bins; see kernels.hpp. With p the reference's and m the model's counts,
// sum (p / P) log((p / P) / (m / M)) = (sum p log p - sum p log m) / P + log(M / P), and m is constant on a level's filled bins.
double divergence(const double* counts, std::size_t size, const Prefixes& sums, std::size_t used, std::size_t levels) {
  const double total = sums.mass[size];
  const double kept = sums.mass[used];
  if (kept == 0.0) {
    return std::numeric_limits<double>::infinity();
  }
  const std::size_t last = sums.last[used];
  const double beyond = total - kept;
  double sum = sums.entropy[used] - entropy(counts[last]) + entropy(counts[last] + beyond);
  std::size_t begin = 0;
  for (std::size_t level = 0; level < levels; ++level) {
    const std::size_t end = ((level + 1) * used + levels - 1) / levels;
    const double mass = sums.mass[end] - sums.mass[begin];
    if (mass > 0.0) {
      const double own = mass + (begin <= last && last < end ? beyond : 0.0);
      sum -= own * std::log(mass / (sums.filled[end] - sums.filled[begin]));
    }
    begin = end;
  }
  return sum / total + std::log(kept / total);
}

}  // namespace

void quantization_errors(const double* values, const double* weights, std::size_t size, const double* scales,
                         const double* lowest, const double* highest, std::size_t candidates, double* errors,
                         int threads) {
  const std::size_t length = padded(size);
  std::vector<double> value(length), weight(length);
  std::copy(values, values + size, value.begin());
  std::copy(weights, weights + size, weight.begin());
  split(candidates, useful_threads(candidates, size, threads), [&](std::size_t, std::size_t begin, std::size_t end) {
    for (std::size_t j = begin; j < end; ++j) {
      error(value.data(), weight.data(), length, scales[j], lowest[j], highest[j], errors[j]);
    }
  });
}

void row_errors(const float* data, std::size_t rows, std::size_t size, const double* scales, std::size_t candidates,
                double lowest, double highest, double* errors, int threads) {
  const std::size_t length = padded(size);
  split(rows, useful_threads(rows, size * candidates, threads), [&](std::size_t, std::size_t begin, std::size_t end) {
    std::vector<double> value(length), weight(length, 1.0);
    for (std::size_t row = begin; row < end; ++row) {
      std::copy(data + row * size, data + (row + 1) * size, value.begin());
      for (std::size_t j = row * candidates; j < (row + 1) * candidates; ++j) {
        error(value.data(), weight.data(), length, scales[j], lowest, highest, errors[j]);
      }
    }
  });
}

void divergences(const double* counts, std::size_t size, std::size_t levels, double* result, int threads) {
  for (std::size_t used = 0; used < std::min(levels, size + 1); ++used) {
    result[used] = std::numeric_limits<double>::infinity();
  }
  if (levels > size) {
    return;
  }
  const Prefixes sums = prefixes(counts, size);
  split(size + 1 - levels, useful_threads(size + 1 - levels, levels * 8, threads),
        [&](std::size_t, std::size_t begin, std::size_t end) {
          for (std::size_t used = begin + levels; used < end + levels; ++used) {
            result[used] = divergence(counts, size, sums, used, levels);
          }
        });
}

}  // namespace edgewright
