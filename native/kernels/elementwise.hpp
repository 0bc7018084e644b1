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

inline int count_at_least(const float* values, int count, float bound) {
  Ints counts = {};
  int i = 0;
  for (; i + kWidth <= count; i += kWidth) counts -= load(values + i) >= broadcast(bound);
  int found = 0;
  for (int lane = 0; lane < kWidth; ++lane) found += counts[lane];
  for (; i < count; ++i) found += values[i] >= bound;
  return found;
}

// Whole numbers in the order of the floats.
inline std::uint32_t place_of(float value) {
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
inline float value_at(std::uint32_t place) {
  const std::uint32_t bits = place >> 31 != 0 ? place & 0x7FFFFFFFu : ~place;
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

// Halves the floats between the smallest and the largest value until one is left: 32 times at most,
// each a count of whole registers, and no value is moved.
inline float kth_largest(const float* values, int count, int k) {
  float smallest = values[0], largest = values[0];
  for (int i = 1; i < count; ++i) {
    smallest = values[i] < smallest ? values[i] : smallest;
    largest = values[i] > largest ? values[i] : largest;
  }
  std::uint32_t low = place_of(smallest), high = place_of(largest);
  while (low < high) {
    const std::uint32_t middle = high - (high - low) / 2;
    if (count_at_least(values, count, value_at(middle)) >= k) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return value_at(low);
}

// Nearly all values are at or below the threshold, so that whole registers are passed over.
inline int collect_above(const float* values, int count, float threshold,
                         std::int64_t first_position, float* kept_values,
                         std::int64_t* kept_positions, int kept) {
  int i = 0;
#if defined(__AVX512F__)
  // Compressed in the register: compressing into memory is microcode on some processors.
  const __m512i ascending = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
  for (; i < count; i += kWidth) {
    const auto valid = static_cast<__mmask16>((1u << smaller(count - i, kWidth)) - 1);
    const __m512 value = _mm512_maskz_loadu_ps(valid, values + i);
    const __mmask16 above =
        _mm512_mask_cmp_ps_mask(valid, value, _mm512_set1_ps(threshold), _CMP_GT_OQ);
    if (above == 0) continue;
    const auto first_of = [](int bits) { return static_cast<__mmask16>((1u << bits) - 1); };
    const int num_above = __builtin_popcount(above);
    _mm512_mask_storeu_ps(kept_values + kept, first_of(num_above),
                          _mm512_maskz_compress_ps(above, value));
    for (int half = 0; half < 2; ++half) {
      const auto bits = static_cast<__mmask8>(above >> (8 * half));
      const __m512i positions =
          _mm512_add_epi64(ascending, _mm512_set1_epi64(first_position + i + 8 * half));
      const int num_bits = __builtin_popcount(bits);
      _mm512_mask_storeu_epi64(kept_positions + kept, static_cast<__mmask8>(first_of(num_bits)),
                               _mm512_maskz_compress_epi64(bits, positions));
      kept += num_bits;
    }
  }
#else
  for (; i < count; ++i) {
    if (values[i] > threshold) {
      kept_values[kept] = values[i];
      kept_positions[kept] = first_position + i;
      ++kept;
    }
  }
#endif
  return kept;
}

}  // namespace recfunnel::RECFUNNEL_SET
