// Rows of tables: gathered into tiles, summed, fetched ahead.
#pragma once

#include "kernels.hpp"
#include "pairs.hpp"
#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

// kWidth values of a row as they are stored, in 2 or 1 bytes each.
typedef std::uint16_t Halves __attribute__((vector_size(2 * kWidth)));
typedef std::int8_t Bytes __attribute__((vector_size(kWidth)));

// What a 32-bit word of a row holds: kPerWord values, of which `decode` gives the i-th.
template <Storage>
struct Format;

template <>
struct Format<Storage::kFloat32> {
  static constexpr int kPerWord = 1, kHeaderBytes = 0;
  static constexpr bool kIsBFloat16 = false;
  template <int I>
  static Floats decode(Words words) {
    return as_floats(words);
  }
};

template <>
struct Format<Storage::kBFloat16> {
  using Part = Halves;
  static constexpr int kPerWord = 2, kHeaderBytes = 0;
  static constexpr bool kIsBFloat16 = true;
  template <int I>
  RF_INLINE static Floats decode(Words words) {
    return I == 0 ? low_bfloat16(words) : high_bfloat16(words);
  }
};

template <>
struct Format<Storage::kFloat16> {
  using Part = Halves;
  static constexpr int kPerWord = 2, kHeaderBytes = 0;
  static constexpr bool kIsBFloat16 = false;
  template <int I>
  RF_INLINE static Floats decode(Words words) {
    return from_float16(I == 0 ? words : words >> 16);
  }
};

template <>
struct Format<Storage::kInt8> {
  using Part = Bytes;
  static constexpr int kPerWord = 4, kHeaderBytes = 4;  // the scale
  static constexpr bool kIsBFloat16 = false;
  template <int I>
  RF_INLINE static Floats decode(Words words) {
    return __builtin_convertvector(as_ints(words << (24 - 8 * I)) >> 24, Floats);
  }
};

template <class Call>
RF_INLINE void with_format(Storage storage, Call call) {
  switch (storage) {
    case Storage::kFloat32:
      return call(Format<Storage::kFloat32>{});
    case Storage::kFloat16:
      return call(Format<Storage::kFloat16>{});
    case Storage::kBFloat16:
      return call(Format<Storage::kBFloat16>{});
    case Storage::kInt8:
      return call(Format<Storage::kInt8>{});
  }
}

RF_INLINE float scale_of(const std::byte* row) {
  float scale;
  __builtin_memcpy(&scale, row, sizeof scale);
  return scale;
}

RF_INLINE const std::byte* row_of(const Table& table, std::int64_t row) {
  return table.data + row * table.row_bytes;
}

// Value I of the 4 · kPerWord of each lane that four words hold.
template <class Format, int I>
RF_INLINE Floats value_of(const Words (&words)[4], const float* scales) {
  constexpr int kPer = Format::kPerWord;
  const Floats value = Format::template decode<I % kPer>(words[I / kPer]);
  if constexpr (Format::kHeaderBytes != 0) return value * load(scales);
  return value;
}

// Where gathered values go: float32, for kWidth lanes of a tile.
template <class Format>
struct ToFloats {
  float* out;
  int lanes;

  // The first `count` of the words' values, from row `first` on.
  RF_INLINE void put(int first, const Words (&words)[4], const float* scales, int count) const {
    float* to = out + std::ptrdiff_t{first} * lanes;
    for_each_constant<4 * Format::kPerWord>([&](auto i) {
      constexpr int kI = decltype(i)::value;
      if (kI < count) store(to + std::ptrdiff_t{kI} * lanes, value_of<Format, kI>(words, scales));
    });
  }
};

// The same, pairs.
template <class Format>
struct ToPairs {
  std::uint32_t* out;
  int lanes;

  RF_INLINE void put(int first, const Words (&words)[4], const float* scales, int count) const {
    std::uint32_t* to = out + std::ptrdiff_t{first} / 2 * lanes;
    for_each_constant<2 * Format::kPerWord>([&](auto i) {
      constexpr int kI = decltype(i)::value;
      if (2 * kI >= count) return;
      if constexpr (Format::kIsBFloat16) {
        store(to + std::ptrdiff_t{kI} * lanes, words[kI]);
      } else {
        store(to + std::ptrdiff_t{kI} * lanes,
              bfloat16_pairs(value_of<Format, 2 * kI>(words, scales),
                             value_of<Format, 2 * kI + 1>(words, scales)));
      }
    });
  }
};

// Columns [start, start + width) of kWidth rows: 16 bytes of each row at a time, transposed as
// words, then decoded. Nothing past a row's last value is read; zeros stand for it.
template <class Format, class To>
RF_INLINE void gather_lanes(const Table& table, const std::int64_t* rows, int start, int width,
                            To to) {
  constexpr int kBytes = 4 / Format::kPerWord;
  const std::byte* columns[kWidth];
  alignas(64) float scales[kWidth];
  RF_UNROLL
  for (int lane = 0; lane < kWidth; ++lane) {
    const std::byte* row = row_of(table, rows[lane]);
    if constexpr (Format::kHeaderBytes != 0) scales[lane] = scale_of(row);
    columns[lane] = row + Format::kHeaderBytes + std::ptrdiff_t{start} * kBytes;
  }
  const std::ptrdiff_t readable = (std::ptrdiff_t{table.dim} - start) * kBytes;

  constexpr int kStep = 4 * Format::kPerWord;  // values in 16 bytes
  int first = 0;
  for (; first < width && std::ptrdiff_t{first} * kBytes + 16 <= readable; first += kStep) {
    const std::ptrdiff_t offset = std::ptrdiff_t{first} * kBytes;
    Words words[4];
    RF_UNROLL
    for (int i = 0; i < 4; ++i) {
      words[i] = joined([&](int quad) {
        return Quad(*reinterpret_cast<const unaligned::Quad*>(columns[4 * quad + i] + offset));
      });
    }
    transpose_quads(words);
    if (width - first >= kStep) {
      to.put(first, words, scales, kStep);
    } else {
      to.put(first, words, scales, width - first);
    }
  }
  if (first < width) {
    const std::ptrdiff_t offset = std::ptrdiff_t{first} * kBytes;
    const int count = width - first;
    Words words[4];
    for (int i = 0; i < 4; ++i) {
      words[i] = joined([&](int quad) {
        return load_first_bytes(columns[4 * quad + i] + offset, count * kBytes);
      });
    }
    transpose_quads(words);
    to.put(first, words, scales, count);
  }
}

template <class Format>
RF_INLINE Floats decode_part(Halves part) {
  return Format::template decode<0>(__builtin_convertvector(part, Words));
}
template <class Format>
RF_INLINE Floats decode_part(Bytes part) {
  // Said in intrinsics: GCC 12 converts a vector of bytes one by one.
#if defined(__AVX512F__)
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(reinterpret_cast<__m128i>(part)));
#elif defined(__AVX2__)
  const __m128i bytes = _mm_cvtsi64_si128(reinterpret_cast<long long>(part));
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes));
#else
  return __builtin_convertvector(__builtin_convertvector(part, Ints), Floats);
#endif
}

// The first `count` (below kWidth) values, zeros after them.
template <class Part>
RF_INLINE Part load_part(const std::byte* from, int count) {
  constexpr int kBytes = sizeof(Part) / kWidth;
  Part part;
  if constexpr (sizeof(Part) == 32) {
#if defined(__AVX512BW__) && defined(__AVX512VL__)
    part = reinterpret_cast<Part>(_mm256_maskz_loadu_epi16(first_lanes(count), from));
#endif
  } else if constexpr (sizeof(Part) == 16) {
    part = reinterpret_cast<Part>(load_first_bytes(from, count * kBytes));
  } else {
    const std::uint64_t bytes = load_few_bytes(from, count * kBytes);
    __builtin_memcpy(&part, &bytes, sizeof part);
  }
  return part;
}

// kWidth values of one row from the `first`-th on; of fewer, the first `count` and zeros after
// them.
template <class Format>
RF_INLINE Floats row_values(const std::byte* values, std::ptrdiff_t first, int count = kWidth) {
  if constexpr (Format::kPerWord == 1) {
    const auto* from = reinterpret_cast<const float*>(values) + first;
    return count == kWidth ? load(from) : load_first(from, count);
  } else {
    using Part = typename Format::Part;
    const std::byte* from = values + first * std::ptrdiff_t{4 / Format::kPerWord};
    if (count != kWidth) return decode_part<Format>(load_part<Part>(from, count));
    Part part;
    __builtin_memcpy(&part, from, sizeof part);
    return decode_part<Format>(part);
  }
}

// Columns of one row, as they lie, kWidth at a time or fewer: put(first, values, count).
template <class Format, class Put>
RF_INLINE void read_row(const std::byte* row, int start, int width, Put put) {
  const std::byte* values =
      row + Format::kHeaderBytes + std::ptrdiff_t{start} * (4 / Format::kPerWord);
  Floats scale = broadcast(1.0f);
  if constexpr (Format::kHeaderBytes != 0) scale = broadcast(scale_of(row));
  const auto scaled = [&](Floats value) {
    return Format::kHeaderBytes != 0 ? value * scale : value;
  };
  int first = 0;
  for (; first + kWidth <= width; first += kWidth) {
    put(first, scaled(row_values<Format>(values, first)), kWidth);
  }
  if (first < width) {
    put(first, scaled(row_values<Format>(values, first, width - first)), width - first);
  }
}

inline void gather_columns(const Table& table, const std::int64_t* rows, int start, int width,
                           int lanes, float* out) {
  with_format(table.storage, [&](auto format) {
    using Format = decltype(format);
    if (lanes == 1) {
      return read_row<Format>(row_of(table, rows[0]), start, width,
                              [out](int first, Floats values, int count) {
                                store_first(out + first, values, count);
                              });
    }
    for (int lane = 0; lane < lanes; lane += kWidth) {
      gather_lanes<Format>(table, rows + lane, start, width, ToFloats<Format>{out + lane, lanes});
    }
  });
}

inline void gather(const Table& table, const std::int64_t* rows, int lanes, float* out) {
  gather_columns(table, rows, 0, table.dim, lanes, out);
}

inline void gather_pairs(const Table& table, const std::int64_t* rows, int lanes,
                         std::uint32_t* out) {
  with_format(table.storage, [&](auto format) {
    using Format = decltype(format);
    if (lanes == 1) {
      return read_row<Format>(row_of(table, rows[0]), 0, table.dim,
                              [out](int first, Floats values, int count) {
                                store_rounded(out + first / 2, values, count);
                              });
    }
    for (int lane = 0; lane < lanes; lane += kWidth) {
      gather_lanes<Format>(table, rows + lane, 0, table.dim, ToPairs<Format>{out + lane, lanes});
    }
  });
}

// Into the second-level cache: a block of rows is fetched while the one before is computed, and
// would push that one's tiles out of the first.
inline void prefetch(const Table& table, const std::int64_t* rows, int count) {
  constexpr std::int64_t kLine = 64;
  for (int i = 0; i < count; ++i) {
    const std::byte* row = row_of(table, rows[i]);
    const auto skew = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(row) % kLine);
    for (std::int64_t at = -skew; at < table.row_bytes; at += kLine) {
      __builtin_prefetch(row + at, 0, 2);
    }
  }
}

// Reads a word of every line of rows that follow each other, in order: the processor then sees the
// lines to come, which it does not when several of the rows are read side by side.
inline void touch(const Table& table, std::int64_t first, int count) {
  constexpr std::int64_t kLine = 64;
  const std::byte* from = row_of(table, first);
  const std::int64_t bytes = count * table.row_bytes;
  for (std::int64_t at = 0; at < bytes; at += kLine) {
    static_cast<void>(*static_cast<const volatile std::byte*>(from + at));
  }
}

// Rows go through in order, a few at a time, over a stretch of columns whose sums stay in the
// first-level cache, so that sums of long rows are bound by reading them.
inline void pool(const Table& table, const std::int64_t* rows, const float* weights,
                 std::int64_t count, float* out) {
  constexpr int kColumns = 2048;
  constexpr int kRows = 8;
  for (int i = 0; i < table.dim; ++i) out[i] = 0.0f;
  with_format(table.storage, [&](auto format) {
    using Format = decltype(format);
    for (int begin = 0; begin < table.dim; begin += kColumns) {
      const int end = smaller(begin + kColumns, table.dim);
      for (std::int64_t first = 0; first < count; first += kRows) {
        const int num_rows = static_cast<int>(count - first < kRows ? count - first : kRows);
        const std::byte* values[kRows];
        float weight[kRows];
        for (int i = 0; i < num_rows; ++i) {
          const std::byte* row = row_of(table, rows[first + i]);
          weight[i] = weights[first + i];
          if constexpr (Format::kHeaderBytes != 0) weight[i] *= scale_of(row);
          values[i] = row + Format::kHeaderBytes;
        }
        int at = begin;
        for (; at + kWidth <= end; at += kWidth) {
          Floats sum = load(out + at);
          for (int i = 0; i < num_rows; ++i) {
            sum = multiply_added(sum, broadcast(weight[i]), row_values<Format>(values[i], at));
          }
          store(out + at, sum);
        }
        if (at < end) {
          Floats sum = load_first(out + at, end - at);
          for (int i = 0; i < num_rows; ++i) {
            sum = multiply_added(sum, broadcast(weight[i]),
                                 row_values<Format>(values[i], at, end - at));
          }
          store_first(out + at, sum, end - at);
        }
      }
    }
  });
}

}  // namespace recfunnel::RECFUNNEL_SET
