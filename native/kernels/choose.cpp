// Which set of kernels this processor runs.
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "kernels.hpp"

namespace recfunnel {

namespace portable {
extern const Kernels set;
}
#ifdef RECFUNNEL_X86
namespace avx2 {
extern const Kernels set;
}
namespace avx512 {
extern const Kernels set;
}
namespace avx512_bf16 {
extern const Kernels set;
}
#endif

namespace {

struct Candidate {
  const Kernels* set;
  bool (*runs)();
};

#ifdef RECFUNNEL_X86
bool runs_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool runs_avx512() {
  return runs_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
bool runs_avx512_bf16() {
  return runs_avx512() && __builtin_cpu_supports("avx512bf16") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif

// Best first.
constexpr Candidate kSets[] = {
#ifdef RECFUNNEL_X86
    {&avx512_bf16::set, runs_avx512_bf16},
    {&avx512::set, runs_avx512},
    {&avx2::set, runs_avx2},
#endif
    {&portable::set, [] { return true; }},
};

std::string names_where(bool (*wanted)(const Candidate&)) {
  std::string names;
  for (const Candidate& candidate : kSets) {
    if (!wanted(candidate)) continue;
    if (!names.empty()) names += ", ";
    names += candidate.set->name;
  }
  return names;
}

const Kernels& choose() {
  const char* named = std::getenv("RECFUNNEL_ISA");
  if (named != nullptr && *named != '\0') return kernels_named(named);
  for (const Candidate& candidate : kSets) {
    if (candidate.runs()) return *candidate.set;
  }
  return portable::set;
}

}  // namespace

const Kernels& kernels_named(const char* name) {
  for (const Candidate& candidate : kSets) {
    if (std::string(name) != candidate.set->name) continue;
    if (candidate.runs()) return *candidate.set;
    throw std::runtime_error(std::string("this processor cannot run the instruction set '") + name +
                             "'; it runs " +
                             names_where([](const Candidate& each) { return each.runs(); }) +
                             " (RECFUNNEL_ISA names one; unset, the best is taken)");
  }
  throw std::invalid_argument(std::string("no instruction set is called '") + name +
                              "'; known: " + names_where([](const Candidate&) { return true; }));
}

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace recfunnel
