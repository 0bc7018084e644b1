// Pairs of bfloat16 numbers: read, multiplied, made of float32.
#pragma once

#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

#if defined(__AVX512BF16__)

using PairInput = Words;
RF_INLINE PairInput pair_input(Words words) { return words; }
// sum + the two products, which are exact, added in float32.
RF_INLINE Floats pairs_added(Floats sum, PairInput x, PairInput y) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(x), reinterpret_cast<__m512bh>(y));
}

#else

struct PairInput {
  Floats low;
  Floats high;
};
RF_INLINE PairInput pair_input(Words words) { return {low_bfloat16(words), high_bfloat16(words)}; }
RF_INLINE Floats pairs_added(Floats sum, PairInput x, PairInput y) {
  return multiply_added(multiply_added(sum, x.low, y.low), x.high, y.high);
}

#endif

// Values that stand one after the other; past an odd number of them comes a 0.
inline void round_values(const float* from, std::ptrdiff_t count, std::uint32_t* to) {
  for (std::ptrdiff_t i = 0; i < count; i += kWidth) {
    const int now = count - i < kWidth ? static_cast<int>(count - i) : kWidth;
    store_rounded(to + i / 2, load_first(from + i, now), now);
  }
}

// Rows of a tile, lanes > 1.
inline void round_rows(const float* from, int num_rows, int lanes, std::uint32_t* to) {
  const auto put = [&](int pair, auto high) {
    const float* row = from + std::ptrdiff_t{2} * pair * lanes;
    for (int lane = 0; lane < lanes; lane += kWidth) {
      store(to + std::ptrdiff_t{pair} * lanes + lane,
            bfloat16_pairs(load(row + lane), high(row + lanes + lane)));
    }
  };
  const int num_whole = num_rows / 2;
  for (int pair = 0; pair < num_whole; ++pair) put(pair, [](const float* at) { return load(at); });
  if (num_rows % 2 != 0) put(num_whole, [](const float*) { return Floats{}; });
}

}  // namespace recfunnel::RECFUNNEL_SET
