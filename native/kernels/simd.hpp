// The registers of one instruction set: kWidth floats, or as many 32-bit integers.
//
// Arithmetic is written with the compiler's vector types; an intrinsic stands only where these
// cannot say what the processor can do. All of it lives in the namespace of its instruction set and
// uses no inline function of the standard library: the linker keeps one copy of those, which must
// not be one compiled for a newer processor.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define RF_INLINE [[gnu::always_inline]] inline
#define RF_UNROLL _Pragma("GCC unroll 16")

namespace recfunnel::RECFUNNEL_SET {

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of a word comes first");

#if defined(__AVX512F__)
inline constexpr int kWidth = 16;
#elif defined(__AVX2__)
inline constexpr int kWidth = 8;
#else
inline constexpr int kWidth = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * kWidth)));
typedef std::int32_t Ints __attribute__((vector_size(4 * kWidth)));
typedef std::uint32_t Words __attribute__((vector_size(4 * kWidth)));
typedef std::uint32_t Quad __attribute__((vector_size(16)));

namespace unaligned {
typedef float Floats __attribute__((vector_size(4 * kWidth), aligned(1), may_alias));
typedef std::uint32_t Words __attribute__((vector_size(4 * kWidth), aligned(1), may_alias));
typedef std::uint32_t Quad __attribute__((vector_size(16), aligned(1), may_alias));
}  // namespace unaligned

RF_INLINE Floats load(const float* from) {
  return *reinterpret_cast<const unaligned::Floats*>(from);
}
RF_INLINE Words load(const std::uint32_t* from) {
  return *reinterpret_cast<const unaligned::Words*>(from);
}
RF_INLINE void store(float* to, Floats value) { *reinterpret_cast<unaligned::Floats*>(to) = value; }
RF_INLINE void store(std::uint32_t* to, Words value) {
  *reinterpret_cast<unaligned::Words*>(to) = value;
}

RF_INLINE Floats as_floats(Words bits) { return reinterpret_cast<Floats>(bits); }
RF_INLINE Words as_words(Floats value) { return reinterpret_cast<Words>(value); }
RF_INLINE Words as_words(Ints value) { return reinterpret_cast<Words>(value); }
RF_INLINE Ints as_ints(Words bits) { return reinterpret_cast<Ints>(bits); }

#if defined(__AVX512F__)
RF_INLINE Floats broadcast(float value) { return _mm512_set1_ps(value); }
RF_INLINE Words broadcast(std::uint32_t value) {
  return reinterpret_cast<Words>(_mm512_set1_epi32(static_cast<int>(value)));
}
RF_INLINE Floats max(Floats x, Floats y) { return _mm512_max_ps(x, y); }
RF_INLINE Floats min(Floats x, Floats y) { return _mm512_min_ps(x, y); }
#elif defined(__AVX2__)
RF_INLINE Floats broadcast(float value) { return _mm256_set1_ps(value); }
RF_INLINE Words broadcast(std::uint32_t value) {
  return reinterpret_cast<Words>(_mm256_set1_epi32(static_cast<int>(value)));
}
RF_INLINE Floats max(Floats x, Floats y) { return _mm256_max_ps(x, y); }
RF_INLINE Floats min(Floats x, Floats y) { return _mm256_min_ps(x, y); }
#else
RF_INLINE Floats broadcast(float value) { return Floats{value, value, value, value}; }
RF_INLINE Words broadcast(std::uint32_t value) { return Words{value, value, value, value}; }
// Of two values that do not compare the second is returned, as x86 does.
RF_INLINE Floats max(Floats x, Floats y) { return x > y ? x : y; }
RF_INLINE Floats min(Floats x, Floats y) { return x < y ? x : y; }
#endif

// sum + x · y, rounded once where the processor can. Said in so many words, and left to no
// compiler (-ffp-contract=off): the same sum has to be the same bits in every kernel.
RF_INLINE Floats multiply_added(Floats sum, Floats x, Floats y) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(x, y, sum);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(x, y, sum);
#elif defined(__aarch64__)
  return vfmaq_f32(sum, x, y);
#else
  return sum + x * y;
#endif
}

// A not-a-number stays one.
RF_INLINE Floats positive(Floats x) { return max(broadcast(0.0f), x); }
RF_INLINE float positive(float x) { return 0.0f > x ? 0.0f : x; }

// The nearest integer, ties to even, of |x| below 2^22.
RF_INLINE Ints rounded(Floats x) {
#if defined(__AVX512F__)
  return reinterpret_cast<Ints>(_mm512_cvtps_epi32(x));
#elif defined(__AVX2__)
  return reinterpret_cast<Ints>(_mm256_cvtps_epi32(x));
#elif defined(__SSE2__)
  return reinterpret_cast<Ints>(_mm_cvtps_epi32(x));
#else
  constexpr std::uint32_t kShiftBits = 0x4B400000;  // 1.5 · 2^23
  return as_ints(as_words(x + as_floats(broadcast(kShiftBits))) - broadcast(kShiftBits));
#endif
}

// The first `count` (below 8) bytes, zeros after them. Overlapping loads, put together in
// registers: bytes put together in memory cannot be read back as a whole before they have left the
// core.
RF_INLINE std::uint64_t load_few_bytes(const std::byte* from, int count) {
  if (count >= 4) {
    std::uint32_t first, last;
    __builtin_memcpy(&first, from, 4);
    __builtin_memcpy(&last, from + count - 4, 4);
    return first | std::uint64_t{last} << (8 * (count - 4));
  }
  std::uint64_t bytes = 0;
  for (int i = 0; i < count && i < 3; ++i) {
    bytes |= static_cast<std::uint64_t>(from[i]) << (8 * i);
  }
  return bytes;
}

// The first `count` (below 16) bytes, zeros after them.
RF_INLINE Quad load_first_bytes(const std::byte* from, int count) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
  return reinterpret_cast<Quad>(
      _mm_maskz_loadu_epi8(static_cast<__mmask16>((1u << count) - 1), from));
#else
  typedef std::uint64_t Halves __attribute__((vector_size(16)));
  if (count < 8) return reinterpret_cast<Quad>(Halves{load_few_bytes(from, count), 0});
  std::uint64_t low;
  __builtin_memcpy(&low, from, 8);
  return reinterpret_cast<Quad>(Halves{low, load_few_bytes(from + 8, count - 8)});
#endif
}

// The first `count` (at most kWidth) values, zeros after them; memory past them is not read.
#if defined(__AVX512F__)
RF_INLINE __mmask16 first_lanes(int count) { return static_cast<__mmask16>((1u << count) - 1); }
RF_INLINE Floats load_first(const float* from, int count) {
  return _mm512_maskz_loadu_ps(first_lanes(count), from);
}
RF_INLINE void store_first(float* to, Floats value, int count) {
  _mm512_mask_storeu_ps(to, first_lanes(count), value);
}
#elif defined(__AVX2__)
RF_INLINE __m256i first_lanes(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
RF_INLINE Floats load_first(const float* from, int count) {
  return _mm256_maskload_ps(from, first_lanes(count));
}
RF_INLINE void store_first(float* to, Floats value, int count) {
  _mm256_maskstore_ps(to, first_lanes(count), value);
}
#else
RF_INLINE Floats load_first(const float* from, int count) {
  if (count >= kWidth) return load(from);
  return as_floats(load_first_bytes(reinterpret_cast<const std::byte*>(from), 4 * count));
}
RF_INLINE void store_first(float* to, Floats value, int count) {
  if (count >= kWidth) return store(to, value);
  for (int i = 0; i < count; ++i) to[i] = value[i];
}
#endif
// The first `count` values, zeros after them.
RF_INLINE Floats first_of(Floats value, int count) {
#if defined(__AVX512F__)
  return _mm512_maskz_mov_ps(first_lanes(count), value);
#else
  for (int i = count; i < kWidth; ++i) value[i] = 0.0f;
  return value;
#endif
}
RF_INLINE Words load_first(const std::uint32_t* from, int count) {
  return as_words(load_first(reinterpret_cast<const float*>(from), count));
}

// kWidth / 4 quads side by side; quad(i) is the i-th.
template <class QuadOf>
RF_INLINE Words joined(QuadOf quad) {
#if defined(__AVX512F__)
  __m512i all = _mm512_castsi128_si512(reinterpret_cast<__m128i>(quad(0)));
  all = _mm512_inserti32x4(all, reinterpret_cast<__m128i>(quad(1)), 1);
  all = _mm512_inserti32x4(all, reinterpret_cast<__m128i>(quad(2)), 2);
  return reinterpret_cast<Words>(_mm512_inserti32x4(all, reinterpret_cast<__m128i>(quad(3)), 3));
#elif defined(__AVX2__)
  const __m256i all = _mm256_castsi128_si256(reinterpret_cast<__m128i>(quad(0)));
  return reinterpret_cast<Words>(
      _mm256_inserti128_si256(all, reinterpret_cast<__m128i>(quad(1)), 1));
#else
  return quad(0);
#endif
}

// Shuffles that do the same in every quad of a register: element i of each quad of the result is
// element at[i] of the quad of x (0..3) or of y (4..7).
template <int A, int B, int C, int D>
RF_INLINE Words shuffled(Words x, Words y) {
#if defined(__AVX512F__)
#define RF_AT(quad, at) (at < 4 ? 4 * quad + at : 12 + 4 * quad + at)
#define RF_QUAD(quad) RF_AT(quad, A), RF_AT(quad, B), RF_AT(quad, C), RF_AT(quad, D)
  return __builtin_shufflevector(x, y, RF_QUAD(0), RF_QUAD(1), RF_QUAD(2), RF_QUAD(3));
#elif defined(__AVX2__)
#define RF_AT(quad, at) (at < 4 ? 4 * quad + at : 4 + 4 * quad + at)
#define RF_QUAD(quad) RF_AT(quad, A), RF_AT(quad, B), RF_AT(quad, C), RF_AT(quad, D)
  return __builtin_shufflevector(x, y, RF_QUAD(0), RF_QUAD(1));
#else
#define RF_AT(quad, at) at
#define RF_QUAD(quad) A, B, C, D
  return __builtin_shufflevector(x, y, RF_QUAD(0));
#endif
#undef RF_AT
#undef RF_QUAD
}

// Element j of quad q of x[i] goes to element i of quad q of x[j].
RF_INLINE void transpose_quads(Words (&x)[4]) {
  const Words low01 = shuffled<0, 4, 1, 5>(x[0], x[1]);
  const Words low23 = shuffled<0, 4, 1, 5>(x[2], x[3]);
  const Words high01 = shuffled<2, 6, 3, 7>(x[0], x[1]);
  const Words high23 = shuffled<2, 6, 3, 7>(x[2], x[3]);
  x[0] = shuffled<0, 1, 4, 5>(low01, low23);
  x[1] = shuffled<2, 3, 6, 7>(low01, low23);
  x[2] = shuffled<0, 1, 4, 5>(high01, high23);
  x[3] = shuffled<2, 3, 6, 7>(high01, high23);
}

// Float16 in the low half of each word.
RF_INLINE Floats from_float16(Words halves) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(halves)));
#else
  // The exponent is moved by a multiplication, which is right for subnormal numbers too; infinite
  // and undefined ones, whose exponent is the largest, are put back by hand.
  const Words magnitude = (halves & broadcast(std::uint32_t{0x7FFF})) << 13;
  const Words scaled =
      as_words(as_floats(magnitude) * as_floats(broadcast(std::uint32_t{0x77800000})));  // 2^112
  const Words special = magnitude >= broadcast(std::uint32_t{0x7C00} << 13)
                            ? broadcast(std::uint32_t{0x7F800000})
                            : broadcast(std::uint32_t{0});
  return as_floats(scaled | special | ((halves & broadcast(std::uint32_t{0x8000})) << 16));
#endif
}

// BFloat16 in the low, or high, half of each word.
RF_INLINE Floats low_bfloat16(Words pairs) { return as_floats(pairs << 16); }
RF_INLINE Floats high_bfloat16(Words pairs) {
  return as_floats(pairs & broadcast(std::uint32_t{0xFFFF0000}));
}

// Nearest bfloat16, ties to even, in the low half of each word; a not-a-number stays one.
RF_INLINE Words to_bfloat16(Floats x) {
  const Words bits = as_words(x);
  const Words one = broadcast(std::uint32_t{1});
  const Words nearest = (bits + broadcast(std::uint32_t{0x7FFF}) + ((bits >> 16) & one)) >> 16;
  const Words undefined = (bits >> 16) | broadcast(std::uint32_t{0x40});
  return x == x ? nearest : undefined;
}

// Pairs of nearest bfloat16: `low` in the low half of each word.
RF_INLINE Words bfloat16_pairs(Floats low, Floats high) {
#if defined(__AVX512BF16__)
  const __m512i halves = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24,
                                         8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return reinterpret_cast<Words>(_mm512_permutexvar_epi16(order, halves));
#else
  return to_bfloat16(low) | (to_bfloat16(high) << 16);
#endif
}

// Nearest bfloat16 of the first `count` values, one after the other; a last half word past an odd
// count becomes that of the next value.
RF_INLINE void store_rounded(std::uint32_t* to, Floats value, int count) {
  const int num_halves = count + count % 2;
#if defined(__AVX512BF16__)
  _mm256_mask_storeu_epi16(to, first_lanes(num_halves),
                           reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value)));
#else
  const Words rounded = to_bfloat16(value);
  for (int i = 0; i < num_halves; i += 2) to[i / 2] = rounded[i] | (rounded[i + 1] << 16);
#endif
}

// Calls `call` with an integral constant equal to `count`, which is 1 .. Most.
template <int Value>
struct Constant {
  static constexpr int value = Value;
};
template <int Most, class Call>
RF_INLINE void with_constant(int count, Call call) {
  if constexpr (Most > 1) {
    if (count < Most) return with_constant<Most - 1>(count, call);
  }
  call(Constant<Most>{});
}

// Calls call(Constant<0>), ..., call(Constant<Count - 1>).
template <int Count, int From = 0, class Call>
RF_INLINE void for_each_constant(Call call) {
  if constexpr (From < Count) {
    call(Constant<From>{});
    for_each_constant<Count, From + 1>(call);
  }
}

RF_INLINE int smaller(int x, int y) { return x < y ? x : y; }

}  // namespace recfunnel::RECFUNNEL_SET
