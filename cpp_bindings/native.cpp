#include <nanobind/nanobind.h>

NB_MODULE(_native, module) { module.doc() = "Edgewright's native kernels."; }
