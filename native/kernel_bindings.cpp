// Kernels one by one on numpy arrays, for tests and measurements; queries do not come this way.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include "kernels.hpp"

namespace nb = nanobind;

namespace recfunnel {

void bind_kernels(nb::module_& module) {
  module.def(
      "isa", [] { return std::string(kernels().name); },
      "Name of the instruction set in use: the best this processor runs, or RECFUNNEL_ISA's.");
}

}  // namespace recfunnel
