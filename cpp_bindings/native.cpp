// Python's side of the kernels: checks that sizes agree, lets the interpreter go, fills the arrays that it was given.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <stdexcept>

#include "dispatch.hpp"
#include "kernels.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <typename Scalar, int Rank>
using Array = nb::ndarray<Scalar, nb::numpy, nb::ndim<Rank>, nb::c_contig, nb::device::cpu>;

void require(bool holds) {
  if (!holds) {
    throw std::invalid_argument("the arrays' sizes do not agree");
  }
}

void summarize(Array<const float, 3> data, Array<float, 1> minimum, Array<float, 1> maximum, Array<double, 1> total,
               Array<std::int64_t, 1> nan, Array<std::int64_t, 1> infinite, int threads) {
  const std::size_t channels = data.shape(1);
  require(minimum.size() == channels && maximum.size() == channels && total.size() == channels &&
          nan.size() == channels && infinite.size() == channels);
  edgewright::summarize(data.data(), data.shape(0), channels, data.shape(2),
                        {minimum.data(), maximum.data(), total.data(), nan.data(), infinite.data()}, threads);
}

void count_on_grid(Array<const float, 1> data, int exponent, int first, Array<std::int64_t, 1> counts, int threads) {
  require(counts.size() >= 2);
  edgewright::count_on_grid(data.data(), data.size(), exponent, first, counts.size() - 1, counts.data(), threads);
}

void quantization_errors(Array<const double, 1> values, Array<const double, 1> weights, Array<const double, 1> scales,
                         Array<const double, 1> lowest, Array<const double, 1> highest, Array<double, 1> errors,
                         int threads) {
  require(values.size() == weights.size() && lowest.size() == scales.size() && highest.size() == scales.size() &&
          errors.size() == scales.size());
  edgewright::quantization_errors(values.data(), weights.data(), values.size(), scales.data(), lowest.data(),
                                  highest.data(), scales.size(), errors.data(), threads);
}

void row_errors(Array<const float, 2> data, Array<const double, 2> scales, double lowest, double highest,
                Array<double, 2> errors, int threads) {
  require(scales.shape(0) == data.shape(0) && errors.shape(0) == data.shape(0) && errors.shape(1) == scales.shape(1));
  edgewright::row_errors(data.data(), data.shape(0), data.shape(1), scales.data(), scales.shape(1), lowest, highest,
                         errors.data(), threads);
}

void divergences(Array<const double, 1> counts, int levels, Array<double, 1> result, int threads) {
  require(levels >= 1 && result.size() == counts.size() + 1);
  edgewright::divergences(counts.data(), counts.size(), static_cast<std::size_t>(levels), result.data(), threads);
}

}  // namespace

NB_MODULE(_native, module) {
  module.doc() = "The native kernels; `kernels` is their face.";
  using Free = nb::call_guard<nb::gil_scoped_release>;
  module.def("avx2_enabled", &edgewright::avx2_enabled, "Whether the kernels use AVX2.");
  module.def("allow_avx2", &edgewright::allow_avx2, "allowed"_a, "Allow or forbid AVX2; whether it is used from now on.");
  module.def("summarize", &summarize, "data"_a, "minimum"_a, "maximum"_a, "total"_a, "nan"_a, "infinite"_a, "threads"_a,
             Free());
  module.def("count_on_grid", &count_on_grid, "data"_a, "exponent"_a, "first"_a, "counts"_a, "threads"_a, Free());
  module.def("quantization_errors", &quantization_errors, "values"_a, "weights"_a, "scales"_a, "lowest"_a, "highest"_a,
             "errors"_a, "threads"_a, Free());
  module.def("row_errors", &row_errors, "data"_a, "scales"_a, "lowest"_a, "highest"_a, "errors"_a, "threads"_a, Free());
  module.def("divergences", &divergences, "counts"_a, "levels"_a, "result"_a, "threads"_a, Free());
}
