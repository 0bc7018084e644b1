// Kinds of arithmetic: what a word of packed weights and a word of inputs add to a sum.
#pragma once

#include "kernels.hpp"
#include "packing.hpp"
#include "pairs.hpp"
#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

inline constexpr int kChains = kWidth < 8 ? kWidth : 8;

// The first Width (or kWidth) words.
template <int Width>
RF_INLINE Words load_words(const std::uint32_t* words) {
  if constexpr (Width >= kWidth) {
    return load(words);
  } else {
    return load_first(words, Width);
  }
}

// A *kind* of arithmetic says what a step (a word of weights) does: `weights` decodes words; inputs
// come from `at` (of one step, for kWidth lanes), `one` (lanes = 1: for all of a register) and
// `consecutive` (lanes = 1: of `count` <= kChains steps); `multiply_add` takes both.

struct Float32 {
  using Sum = Floats;
  static constexpr bool kIsInteger = false;
  static constexpr bool kReadsPairs = false;
  static constexpr int kRegistersAnInput = 1;

  const float* in;
  int lanes;

  static Floats weights(Words words) { return as_floats(words); }
  RF_INLINE Floats at(int step, int lane) const {
    return load(in + std::ptrdiff_t{step} * lanes + lane);
  }
  RF_INLINE Floats one(int step) const { return broadcast(in[step]); }
  RF_INLINE Floats consecutive(int step, int count) const { return load_first(in + step, count); }
  RF_INLINE static void multiply_add(Floats& sum, Floats weight, Floats input) {
    sum = multiply_added(sum, weight, input);
  }
};

// Inputs are pairs of bfloat16, too.
struct BFloat16 {
  using Sum = Floats;
  static constexpr bool kIsInteger = false;
  static constexpr bool kReadsPairs = false;
  static constexpr int kRegistersAnInput = sizeof(PairInput) / sizeof(Words);

  const std::uint32_t* in;
  int lanes;

  static PairInput weights(Words words) { return pair_input(words); }
  RF_INLINE PairInput at(int step, int lane) const {
    return pair_input(load(in + std::ptrdiff_t{step} * lanes + lane));
  }
  RF_INLINE PairInput one(int step) const { return pair_input(broadcast(in[step])); }
  RF_INLINE PairInput consecutive(int step, int count) const {
    return pair_input(load_first(in + step, count));
  }
  RF_INLINE static void multiply_add(Floats& sum, PairInput weight, PairInput input) {
    sum = pairs_added(sum, weight, input);
  }
};

#if !defined(__AVX512BF16__)

// Weights alone are bfloat16, expanded as they are read; inputs and sums stay float32.
struct BFloat16Weights {
  using Sum = Floats;
  static constexpr bool kIsInteger = false;
  static constexpr bool kReadsPairs = true;
  static constexpr int kRegistersAnInput = 2;

  const float* in;
  int lanes;
  int num_inputs;

  RF_INLINE static PairInput weights(Words words) { return pair_input(words); }
  RF_INLINE PairInput at(int step, int lane) const {
    const float* row = in + std::ptrdiff_t{2} * step * lanes + lane;
    return {load(row), load(row + lanes)};
  }
  // Of the last step where the number of inputs is odd.
  RF_INLINE PairInput at_half(int step, int lane) const {
    return {load(in + std::ptrdiff_t{2} * step * lanes + lane), Floats{}};
  }
  RF_INLINE PairInput one(int step) const {
    return {broadcast(in[2 * step]), broadcast(in[2 * step + 1])};
  }
  RF_INLINE PairInput one_half(int step) const { return {broadcast(in[2 * step]), Floats{}}; }
  RF_INLINE PairInput consecutive(int step, int count) const {
    PairInput pair = {};
    for (int i = 0; i < count; ++i) {
      pair.low[i] = in[2 * (step + i)];
      if (2 * (step + i) + 1 < num_inputs) pair.high[i] = in[2 * (step + i) + 1];
    }
    return pair;
  }
  RF_INLINE static void multiply_add(Floats& sum, PairInput weight, PairInput input) {
    sum = pairs_added(sum, weight, input);
  }
};

#endif

// Inputs of each candidate are rounded to 256 levels between its smallest and its largest (0 among
// them): x ≈ scale · (level - zero). Sums of products are exact, up to kMostInt8Inputs inputs.
struct Int8 {
  using Sum = Ints;
  static constexpr bool kIsInteger = true;
  static constexpr bool kReadsPairs = false;
  static constexpr int kRegistersAnInput = 1;

  const std::uint32_t* in;
  int lanes;
  const float* scales;        // one a lane
  const std::int32_t* zeros;  // one a lane

  static Words weights(Words words) { return words; }
  RF_INLINE Words at(int step, int lane) const {
    return load(in + std::ptrdiff_t{step} * lanes + lane);
  }
  RF_INLINE Words one(int step) const { return broadcast(in[step]); }
  RF_INLINE Words consecutive(int step, int count) const { return load_first(in + step, count); }
  RF_INLINE static void multiply_add(Ints& sum, Words weight, Words input) {
#if defined(__AVX512VNNI__)
    // Not the intrinsic: GCC 12 copies its sums, and keeps one in memory as well, at every step.
    Ints next = sum;  // an element of an array would stay in memory
    asm("vpdpbusd %2, %1, %0" : "+v"(next) : "v"(input), "v"(weight));
    sum = next;
#elif defined(__AVX512BW__)
    sum += reinterpret_cast<Ints>(
        _mm512_madd_epi16(reinterpret_cast<__m512i>(input), reinterpret_cast<__m512i>(weight)));
#elif defined(__AVX2__)
    sum += reinterpret_cast<Ints>(
        _mm256_madd_epi16(reinterpret_cast<__m256i>(input), reinterpret_cast<__m256i>(weight)));
#elif defined(__SSE2__)
    sum += reinterpret_cast<Ints>(
        _mm_madd_epi16(reinterpret_cast<__m128i>(input), reinterpret_cast<__m128i>(weight)));
#else
    sum += (as_ints(input << 16) >> 16) * (as_ints(weight << 16) >> 16);
    sum += (as_ints(input) >> 16) * (as_ints(weight) >> 16);
#endif
  }
};

struct Levels {
  Floats scale;
  Floats inverse;
  Ints zero;

  RF_INLINE Levels(Floats lowest, Floats highest) {
    constexpr float kHighest = 255.0f;
    scale = (highest - lowest) / broadcast(kHighest);
    inverse = scale > broadcast(0.0f) ? broadcast(1.0f) / scale : broadcast(0.0f);
    zero = rounded(-lowest * inverse);
  }
  RF_INLINE Words of(Floats x) const {
    Ints level = rounded(x * inverse) + zero;
    level = level < 0 ? Ints{} : level;
    return as_words(level > 255 ? Ints{} + 255 : level);
  }
};

// The first `count` of a register's levels, kInt8PerWord to a word; a last word is filled up with the
// register's.
RF_INLINE void store_levels(std::uint32_t* to, Words levels, int count) {
  const int whole = (count + kInt8PerWord - 1) / kInt8PerWord * kInt8PerWord;
#if defined(__AVX512VNNI__)
  _mm_mask_storeu_epi8(to, first_lanes(whole),
                       _mm512_cvtepi32_epi8(reinterpret_cast<__m512i>(levels)));
#elif defined(__AVX512F__)
  _mm256_mask_storeu_epi16(to, first_lanes(whole),
                           _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(levels)));
#else
  for (int i = 0; i < whole; i += 2) to[i / 2] = (levels[i] & 0xFFFF) | (levels[i + 1] << 16);
#endif
}

// The smallest and the largest of `count` values and 0.
RF_INLINE void span_of(const float* values, int count, float& low, float& high) {
  Floats lowest = {}, highest = {};
  for (int i = 0; i < count; i += kWidth) {
    const Floats x = load_first(values + i, smaller(kWidth, count - i));
    lowest = min(x, lowest);
    highest = max(x, highest);
  }
#if defined(__AVX512F__)
  low = _mm512_reduce_min_ps(lowest);
  high = _mm512_reduce_max_ps(highest);
#else
  low = high = 0.0f;
  for (int i = 0; i < kWidth; ++i) {
    low = lowest[i] < low ? lowest[i] : low;
    high = highest[i] > high ? highest[i] : high;
  }
#endif
}

// Levels of the inputs of one candidate, where Int8 reads them.
inline void quantise_row(const float* in, int num_inputs, std::uint32_t* to, float* scale,
                         std::int32_t* zero) {
  float low, high;
  span_of(in, num_inputs, low, high);
  const Levels levels(broadcast(low), broadcast(high));
  *scale = levels.scale[0];
  *zero = levels.zero[0];
  for (int i = 0; i < num_inputs; i += kWidth) {
    const int count = smaller(kWidth, num_inputs - i);
    store_levels(to + i / kInt8PerWord, levels.of(load_first(in + i, count)), count);
  }
}

// Levels of a tile's inputs, kInt8PerWord to a word, where Int8 reads them.
inline void quantise_inputs(const float* in, int num_inputs, int lanes, std::uint32_t* to,
                            float* scales, std::int32_t* zeros) {
  constexpr int kBits = 32 / kInt8PerWord;
  if (lanes == 1) return quantise_row(in, num_inputs, to, scales, zeros);
  for (int lane = 0; lane < lanes; lane += kWidth) {
    Floats lowest = {}, highest = {};
    for (int i = 0; i < num_inputs; ++i) {
      const Floats x = load(in + std::ptrdiff_t{i} * lanes + lane);
      lowest = min(x, lowest);
      highest = max(x, highest);
    }
    const Levels levels(lowest, highest);
    store(scales + lane, levels.scale);
    store(reinterpret_cast<std::uint32_t*>(zeros + lane), as_words(levels.zero));
    for (int i = 0; i < num_inputs; i += kInt8PerWord) {
      Words word = broadcast(std::uint32_t{0});
      for (int j = 0; j < kInt8PerWord && i + j < num_inputs; ++j) {
        word |= levels.of(load(in + std::ptrdiff_t{i + j} * lanes + lane)) << (kBits * j);
      }
      store(to + std::ptrdiff_t{i / kInt8PerWord} * lanes + lane, word);
    }
  }
}

}  // namespace recfunnel::RECFUNNEL_SET
