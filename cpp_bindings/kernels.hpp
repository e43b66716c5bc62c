// The kernels. Results do not depend on the number of threads nor on the instructions used.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgewright {

// Of the finite values of each channel of data [outer, channels, inner]: minimum, maximum (+inf, -inf without any) and sum;
// and how many are NaN and infinite.
struct Summaries {
  float* minimum;
  float* maximum;
  double* total;
  std::int64_t* nan;
  std::int64_t* infinite;
};
void summarize(const float* data, std::size_t outer, std::size_t channels, std::size_t inner, const Summaries& out,
               int threads);

// counts[k] += number of values in [(first + k) * 2^exponent, (first + k + 1) * 2^exponent), k < bins;
// counts[bins] += number of all others (NaN, infinite, outside).
void count_on_grid(const float* data, std::size_t size, int exponent, int first, std::size_t bins, std::int64_t* counts,
                   int threads);

// errors[j] = sum_i weights[i] * (values[i] - quantized_j(values[i]))^2 for scales[j], rounding half to even and
// clipping to [lowest[j], highest[j]] steps.
void quantization_errors(const double* values, const double* weights, std::size_t size, const double* scales,
                         const double* lowest, const double* highest, std::size_t candidates, double* errors,
                         int threads);

// The same for each row of data [rows, size] with scales [rows, candidates], weights of one and one clipping for all.
void row_errors(const float* data, std::size_t rows, std::size_t size, const double* scales, std::size_t candidates,
                double lowest, double highest, double* errors, int threads);

// divergences[i], i = levels .. size: KL divergence between counts[0 .. i) with what lies beyond added to its last
// filled bin, and counts[0 .. i) merged into `levels` levels; infinite where counts[0 .. i) is empty, and for i < levels.
void divergences(const double* counts, std::size_t size, std::size_t levels, double* result, int threads);

}  // namespace edgewright
