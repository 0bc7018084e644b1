// What is done to each value by itself.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

// out[i] = op(x[i], y[i]) over whole registers, then one by one. One value of `y` a row serves all
// lanes if lanes_y is 1.
template <class Op>
RF_INLINE void each_pair(const float* x, const float* y, int width, int lanes, int lanes_y,
                         float* out, Op op) {
  if (lanes_y == lanes) {
    const std::ptrdiff_t count = std::ptrdiff_t{width} * lanes;
    std::ptrdiff_t i = 0;
    for (; i + kWidth <= count; i += kWidth) store(out + i, op(load(x + i), load(y + i)));
    for (; i < count; ++i) out[i] = op(x[i], y[i]);
    return;
  }
  for (int row = 0; row < width; ++row) {
    const Floats value = broadcast(y[row]);
    for (int lane = 0; lane < lanes; lane += kWidth) {
      const std::ptrdiff_t i = std::ptrdiff_t{row} * lanes + lane;
      store(out + i, op(load(x + i), value));
    }
  }
}

inline void add(const float* x, const float* y, int width, int lanes, int lanes_y, float* out) {
  each_pair(x, y, width, lanes, lanes_y, out, [](auto a, auto b) { return a + b; });
}

inline void multiply(const float* x, const float* y, int width, int lanes, int lanes_y,
                     float* out) {
  each_pair(x, y, width, lanes, lanes_y, out, [](auto a, auto b) { return a * b; });
}

inline void affine(const float* x, const float* scale, const float* shift, int width, int lanes,
                   float* out) {
  if (lanes == 1) {
    int i = 0;
    for (; i + kWidth <= width; i += kWidth) {
      store(out + i, multiply_added(load(shift + i), load(x + i), load(scale + i)));
    }
    if (i < width) {
      const int count = width - i;
      store_first(out + i,
                  multiply_added(load_first(shift + i, count), load_first(x + i, count),
                                 load_first(scale + i, count)),
                  count);
    }
    return;
  }
  for (int row = 0; row < width; ++row) {
    const Floats factor = broadcast(scale[row]);
    const Floats term = broadcast(shift[row]);
    for (int lane = 0; lane < lanes; lane += kWidth) {
      const std::ptrdiff_t i = std::ptrdiff_t{row} * lanes + lane;
      store(out + i, multiply_added(term, load(x + i), factor));
    }
  }
}

inline void relu(const float* x, int width, int lanes, float* out) {
  const std::ptrdiff_t count = std::ptrdiff_t{width} * lanes;
  std::ptrdiff_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(out + i, positive(load(x + i)));
  for (; i < count; ++i) out[i] = positive(x[i]);
}

}  // namespace recfunnel::RECFUNNEL_SET
