// Memory on cache-line boundaries.
#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace recfunnel {

inline constexpr std::size_t kCacheLine = 64;

inline std::size_t round_up(std::size_t size, std::size_t step) {
  return (size + step - 1) / step * step;
}

template <class T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <class U>
  AlignedAllocator(const AlignedAllocator<U>&) {}  // NOLINT: allocators convert
  T* allocate(std::size_t count) {
    return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(kCacheLine)));
  }
  void deallocate(T* data, std::size_t) { ::operator delete(data, std::align_val_t(kCacheLine)); }
  template <class U>
  bool operator==(const AlignedAllocator<U>&) const { return true; }
};

template <class T>
using AlignedVector = std::vector<T, AlignedAllocator<T>>;

}  // namespace recfunnel
