// operator new and delete of this library, replaced to be counted. The linker keeps them to this
// library (exports.map): whatever else runs in the process has its own.
#include "allocations.hpp"

#ifdef RECFUNNEL_COUNT_ALLOCATIONS

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::int64_t> count{0};

// Sizes of aligned memory must be multiples of the alignment.
void* taken(std::size_t size, std::size_t alignment) {
  count.fetch_add(1, std::memory_order_relaxed);
  const std::size_t asked = size == 0 ? 1 : size;
  void* data = alignment <= alignof(std::max_align_t)
                   ? std::malloc(asked)
                   : std::aligned_alloc(alignment, (asked + alignment - 1) / alignment * alignment);
  if (data == nullptr) throw std::bad_alloc();
  return data;
}

}  // namespace

void* operator new(std::size_t size) { return taken(size, 1); }
void* operator new[](std::size_t size) { return taken(size, 1); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return taken(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return taken(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* data) noexcept { std::free(data); }
void operator delete[](void* data) noexcept { std::free(data); }
void operator delete(void* data, std::size_t) noexcept { std::free(data); }
void operator delete[](void* data, std::size_t) noexcept { std::free(data); }
void operator delete(void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void* data, std::align_val_t) noexcept { std::free(data); }
void operator delete(void* data, std::size_t, std::align_val_t) noexcept { std::free(data); }
void operator delete[](void* data, std::size_t, std::align_val_t) noexcept { std::free(data); }

namespace recfunnel {
std::int64_t num_allocations() { return count.load(std::memory_order_relaxed); }
}  // namespace recfunnel

#else

namespace recfunnel {
std::int64_t num_allocations() { return -1; }
}  // namespace recfunnel

#endif
