// The best of many scores: bounds found by counting, and what is above them.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

// How many values are at least, or above, a bound.
template <bool OrEqual>
RF_INLINE int count_from(const float* values, int count, float bound) {
  int found = 0, i = 0;
#if defined(__AVX512F__)
  for (; i < count; i += kWidth) {
    const __mmask16 valid = first_lanes(smaller(count - i, kWidth));
    found += __builtin_popcount(_mm512_mask_cmp_ps_mask(
        valid, _mm512_maskz_loadu_ps(valid, values + i), broadcast(bound),
        OrEqual ? _CMP_GE_OQ : _CMP_GT_OQ));
  }
#else
  Ints counts = {};
  for (; i + kWidth <= count; i += kWidth) {
    const Floats value = load(values + i);
    counts -= OrEqual ? value >= broadcast(bound) : value > broadcast(bound);
  }
  for (int lane = 0; lane < kWidth; ++lane) found += counts[lane];
  for (; i < count; ++i) found += OrEqual ? values[i] >= bound : values[i] > bound;
#endif
  return found;
}

// The smallest and the largest of the values that are at least `bound`, of which there are some.
struct Range {
  float smallest, largest;
};
inline Range range_from(const float* values, int count, float bound) {
  constexpr float kMost = __builtin_inff();
  Floats smallest = broadcast(kMost), largest = broadcast(-kMost);
  const auto take = [&](Floats value) {
    const Floats high = value >= broadcast(bound) ? value : broadcast(kMost);
    smallest = min(high, smallest);
    largest = max(value, largest);
  };
  int i = 0;
  for (; i + kWidth <= count; i += kWidth) take(load(values + i));
  Range range{kMost, -kMost};
  const auto take_one = [&](float low, float high) {
    range.smallest = low < range.smallest ? low : range.smallest;
    range.largest = high > range.largest ? high : range.largest;
  };
  for (; i < count; ++i) take_one(values[i] >= bound ? values[i] : kMost, values[i]);
  for (int lane = 0; lane < kWidth; ++lane) take_one(smallest[lane], largest[lane]);
  return range;
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

// Halves the floats between the smallest and the largest value until one is left, 32 times at most,
// or until a bound has k values at or above it: the k-th is the smallest of these. Each is a count
// of whole registers, and no value is moved.
inline KthLargest kth_largest(const float* values, int count, int k) {
  const Range all = range_from(values, count, -__builtin_inff());
  std::uint32_t low = place_of(all.smallest), high = place_of(all.largest);
  while (low < high) {
    const std::uint32_t middle = high - (high - low) / 2;
    const int found = count_from<true>(values, count, value_at(middle));
    if (found >= k) {
      low = middle;
    } else {
      high = middle - 1;
    }
    if (found == k) {
      low = high = place_of(range_from(values, count, value_at(middle)).smallest);
    }
  }
  const float kth = value_at(low);
  return {kth, count_from<false>(values, count, kth)};
}

// Kept in place: nothing is written that is still to be read.
inline int keep_from(float* values, std::int64_t* positions, int count, float bound,
                     int most_equal) {
  int kept = 0;
#if defined(__AVX512F__)
  const auto first_of = [](int bits) { return static_cast<__mmask8>((1u << bits) - 1); };
  for (int i = 0; i < count; i += kWidth) {
    const __mmask16 valid = first_lanes(smaller(count - i, kWidth));
    const __m512 value = _mm512_maskz_loadu_ps(valid, values + i);
    const __m512 edge = broadcast(bound);
    unsigned equal = _mm512_mask_cmp_ps_mask(valid, value, edge, _CMP_EQ_OQ);
    while (__builtin_popcount(equal) > most_equal) equal &= ~(1u << (31 - __builtin_clz(equal)));
    most_equal -= __builtin_popcount(equal);
    const unsigned stays = equal | _mm512_mask_cmp_ps_mask(valid, value, edge, _CMP_GT_OQ);
    _mm512_mask_storeu_ps(values + kept, first_lanes(__builtin_popcount(stays)),
                          _mm512_maskz_compress_ps(static_cast<__mmask16>(stays), value));
    for (int half = 0; half < 2; ++half) {
      const auto bits = static_cast<__mmask8>(stays >> (8 * half));
      const auto there = static_cast<__mmask8>(valid >> (8 * half));
      const __m512i from = _mm512_maskz_loadu_epi64(there, positions + i + 8 * half);
      const int num_bits = __builtin_popcount(bits);
      _mm512_mask_storeu_epi64(positions + kept, first_of(num_bits),
                               _mm512_maskz_compress_epi64(bits, from));
      kept += num_bits;
    }
  }
#else
  for (int i = 0; i < count; ++i) {
    const float value = values[i];
    const bool stays = value > bound || (value == bound && most_equal-- > 0);
    values[kept] = value;
    positions[kept] = positions[i];
    kept += stays;
  }
#endif
  return kept;
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
