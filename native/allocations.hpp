// How often this library asked for memory, so that a call without any can be shown to be one.
#pragma once

#include <cstdint>

namespace recfunnel {

// Calls of operator new made by this library since it was loaded, from all threads; -1 where they
// are not counted. Memory of answers, which belongs to the caller, is no part of it (answers.hpp).
std::int64_t num_allocations();

}  // namespace recfunnel
