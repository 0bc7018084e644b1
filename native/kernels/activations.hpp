// Activations that need an exponential. A value's result is the same in every lane.
#pragma once

#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

// e^x within 2e-7 of itself, of -87 <= x <= 88; below and above that, of the nearest of these.
// x = n ln 2 + r with |r| <= ln 2 / 2; a polynomial of r (Taylor's, whose first term left out is
// below 6e-9 there) times 2^n.
RF_INLINE Floats exponential(Floats x) {
  x = max(broadcast(-87.0f), min(broadcast(88.0f), x));
  const Ints n = rounded(x * broadcast(1.44269504f));
  const Floats count = __builtin_convertvector(n, Floats);
  Floats r = multiply_added(x, count, broadcast(-0.693359375f));  // few bits: exact times n
  r = multiply_added(r, count, broadcast(2.12194440e-4f));
  Floats sum = broadcast(1.0f / 5040);
  sum = multiply_added(broadcast(1.0f / 720), sum, r);
  sum = multiply_added(broadcast(1.0f / 120), sum, r);
  sum = multiply_added(broadcast(1.0f / 24), sum, r);
  sum = multiply_added(broadcast(1.0f / 6), sum, r);
  sum = multiply_added(broadcast(0.5f), sum, r);
  sum = multiply_added(broadcast(1.0f), sum, r);
  sum = multiply_added(broadcast(1.0f), sum, r);
  return sum * as_floats((as_words(n) + broadcast(std::uint32_t{127})) << 23);
}

RF_INLINE Floats sigmoid_of(Floats x) {
  return broadcast(1.0f) / (broadcast(1.0f) + exponential(-x));
}

// x · tanh(ln(1 + e^x)), which is x · n / (n + 2) with n = e^x (e^x + 2); x itself from 20 on.
RF_INLINE Floats mish_of(Floats x) {
  const Floats e = exponential(min(broadcast(20.0f), x));
  const Floats n = e * (e + broadcast(2.0f));
  return x * (n / (n + broadcast(2.0f)));
}

template <class Function>
RF_INLINE void each_value(const float* x, int width, int lanes, float* out, Function function) {
  const std::ptrdiff_t count = std::ptrdiff_t{width} * lanes;
  for (std::ptrdiff_t i = 0; i < count; i += kWidth) {
    const int now = count - i < kWidth ? static_cast<int>(count - i) : kWidth;
    store_first(out + i, function(load_first(x + i, now)), now);
  }
}

inline void sigmoid(const float* x, int width, int lanes, float* out) {
  each_value(x, width, lanes, out, [](Floats value) { return sigmoid_of(value); });
}

inline void mish(const float* x, int width, int lanes, float* out) {
  each_value(x, width, lanes, out, [](Floats value) { return mish_of(value); });
}

}  // namespace recfunnel::RECFUNNEL_SET
