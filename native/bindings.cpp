// The Python module recfunnel.runtime._native.
#include <nanobind/nanobind.h>

#include "kernels.hpp"

namespace recfunnel {
void bind_cascades(nanobind::module_& module);
void bind_computed(nanobind::module_& module);
void bind_kernels(nanobind::module_& module);
void bind_machines(nanobind::module_& module);
void bind_programs(nanobind::module_& module);
}

NB_MODULE(_native, module) {
  module.doc() = "The ranking engine: kernels and the machine that runs programs of them.";
  recfunnel::bind_kernels(module);
  recfunnel::bind_computed(module);
  recfunnel::bind_programs(module);
  recfunnel::bind_machines(module);
  recfunnel::bind_cascades(module);
}
