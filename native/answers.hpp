// Arrays handed to the caller, who frees them.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <new>
#include <span>

namespace recfunnel {

namespace nb = nanobind;

// Memory that Python will own, and its owner.
template <class T>
struct Answer {
  explicit Answer(std::size_t size)
      : data(static_cast<T*>(std::malloc(sizeof(T) * std::max<std::size_t>(1, size)))) {
    if (data == nullptr) throw std::bad_alloc();
    owner = nb::capsule(data, [](void* p) noexcept { std::free(p); });
  }

  template <int kDimensions>
  nb::object array(std::initializer_list<std::size_t> shape) const {
    return nb::cast(nb::ndarray<nb::numpy, T, nb::ndim<kDimensions>>(data, shape, owner));
  }

  T* data;
  nb::capsule owner;
};

template <class T>
nb::object copied(std::span<const T> values) {
  const Answer<T> answer(values.size());
  std::copy(values.begin(), values.end(), answer.data);
  return answer.template array<1>({values.size()});
}

}  // namespace recfunnel
