// Packed weights: the order in which `linear` reads them.
//
// Outputs are taken in groups of kGroup; a last, smaller group is stored 8, 4 or 1 wide, so that a
// layer with few outputs costs few. A group holds one 32-bit word an output and *step*: the weights
// of one input (float32), of two (bfloat16) or of kInt8PerWord (int8). Int8 weights have one scale
// an output; scales and sums of the outputs' weights stand before the groups.
#pragma once

#include "kernels.hpp"
#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

inline constexpr int kGroup = 16;
inline constexpr int kGroupRegisters = kGroup / kWidth;

// Without instructions for four products of bytes, int8 is stored in 16 bits, two to a word.
#if defined(__AVX512VNNI__)
inline constexpr int kInt8PerWord = 4;
#else
inline constexpr int kInt8PerWord = 2;
#endif

struct Layout {
  int num_outputs;
  int num_inputs;
  int num_groups;
  int last_width;  // of the last group: 16, 8, 4 or 1
  int num_steps;
  std::size_t header_words;

  Layout(int num_outputs, int num_inputs, Precision precision)
      : num_outputs(num_outputs),
        num_inputs(num_inputs),
        num_groups((num_outputs + kGroup - 1) / kGroup) {
    const int left = num_outputs - (num_groups - 1) * kGroup;
    last_width = left > 8 ? 16 : left > 4 ? 8 : left > 1 ? 4 : 1;
    const int per_word = precision == Precision::kFloat32    ? 1
                         : precision == Precision::kBFloat16 ? 2
                                                             : kInt8PerWord;
    num_steps = (num_inputs + per_word - 1) / per_word;
    header_words = precision == Precision::kInt8 ? std::size_t{2} * kGroup * num_groups : 0;
  }

  int width(int group) const { return group + 1 < num_groups ? kGroup : last_width; }
  std::size_t group_words(int group) const {
    return header_words + std::size_t{kGroup} * num_steps * group;
  }
  std::size_t scale_words(int group) const { return std::size_t{kGroup} * group; }
  std::size_t sum_words(int group) const { return std::size_t{kGroup} * (num_groups + group); }
  std::size_t bytes() const {
    if (num_groups == 0) return 0;
    return 4 * (group_words(num_groups - 1) + std::size_t(last_width) * num_steps);
  }
};

typedef float GroupRow[kGroup];  // one input's weights to the outputs of a group

RF_INLINE void write_words(const std::uint32_t (&words)[kGroup], int width, std::uint32_t* to) {
  switch (width) {
    case 16:
      __builtin_memcpy(to, words, 64);
      break;
    case 8:
      __builtin_memcpy(to, words, 32);
      break;
    case 4:
      __builtin_memcpy(to, words, 16);
      break;
    default:
      *to = words[0];
  }
}

inline constexpr int kStagedRows = 32;

// Calls use(rows, first, count) on all rows of a group, in order, at most kStagedRows at a time and
// a multiple of 4 but for the last. fill(rows, first, count) computes them.
template <class Fill, class Use>
RF_INLINE void stage_rows(int num_rows, Fill fill, Use use) {
  alignas(64) GroupRow rows[kStagedRows];
  for (int first = 0; first < num_rows; first += kStagedRows) {
    const int count = smaller(kStagedRows, num_rows - first);
    fill(rows, first, count);
    for (int i = count; i % 4 != 0; ++i) {
      for (float& value : rows[i]) value = 0.0f;
    }
    use(rows, first, count);
  }
}

template <class Fill>
RF_INLINE void pack_int8_group(const Layout& layout, int group, std::uint32_t* packed, Fill fill) {
  constexpr int kLargest = 127;
  Floats largest[kGroupRegisters] = {};
  stage_rows(layout.num_inputs, fill, [&](const GroupRow* rows, int, int count) {
    for (int i = 0; i < count; ++i) {
      RF_UNROLL
      for (int r = 0; r < kGroupRegisters; ++r) {
        const Floats value = load(rows[i] + r * kWidth);
        largest[r] = max(largest[r], max(value, -value));
      }
    }
  });
  Floats inverse[kGroupRegisters];
  Ints sums[kGroupRegisters] = {};
  auto* scales = reinterpret_cast<float*>(packed + layout.scale_words(group));
  for (int r = 0; r < kGroupRegisters; ++r) {
    const Floats scale = largest[r] / broadcast(float{kLargest});
    store(scales + r * kWidth, scale);
    inverse[r] = scale > broadcast(0.0f) ? broadcast(1.0f) / scale : broadcast(0.0f);
  }
  const int width = layout.width(group);
  std::uint32_t* to = packed + layout.group_words(group);
  stage_rows(layout.num_inputs, fill, [&](const GroupRow* rows, int, int count) {
    for (int i = 0; i < count; i += kInt8PerWord, to += width) {
      alignas(64) std::uint32_t words[kGroup];
      for (int r = 0; r < kGroupRegisters; ++r) {
        Words word = broadcast(std::uint32_t{0});
        for (int part = 0; part < kInt8PerWord; ++part) {
          constexpr int kBits = 32 / kInt8PerWord;
          const Floats scaled = load(rows[i + part] + r * kWidth) * inverse[r];
          const Ints value =
              rounded(min(max(scaled, broadcast(float{-kLargest})), broadcast(float{kLargest})));
          sums[r] += value;
          word |= (as_words(value) & broadcast((std::uint32_t{1} << kBits) - 1)) << (kBits * part);
        }
        store(words + r * kWidth, word);
      }
      write_words(words, width, to);
    }
  });
  for (int r = 0; r < kGroupRegisters; ++r) {
    store(packed + layout.sum_words(group) + r * kWidth, as_words(sums[r]));
  }
}

// Packs one group whose rows `fill(rows, first, count)` computes; it may be asked for rows twice.
template <class Fill>
RF_INLINE void pack_group(const Layout& layout, int group, Precision precision, void* packed_to,
                          Fill fill) {
  auto* packed = static_cast<std::uint32_t*>(packed_to);
  if (precision == Precision::kInt8) return pack_int8_group(layout, group, packed, fill);
  const int width = layout.width(group);
  std::uint32_t* to = packed + layout.group_words(group);
  if (precision == Precision::kFloat32 && width == kGroup) {
    return fill(reinterpret_cast<GroupRow*>(to), 0, layout.num_inputs);
  }
  const int per_word = precision == Precision::kFloat32 ? 1 : 2;
  stage_rows(layout.num_inputs, fill, [&](const GroupRow* rows, int, int count) {
    for (int i = 0; i < count; i += per_word, to += width) {
      alignas(64) std::uint32_t words[kGroup];
      RF_UNROLL
      for (int r = 0; r < kGroupRegisters; ++r) {
        const Floats value = load(rows[i] + r * kWidth);
        store(words + r * kWidth, per_word == 1
                                      ? as_words(value)
                                      : bfloat16_pairs(value, load(rows[i + 1] + r * kWidth)));
      }
      write_words(words, width, to);
    }
  });
}

inline std::size_t packed_bytes(int num_outputs, int num_inputs, Precision precision) {
  return Layout(num_outputs, num_inputs, precision).bytes();
}

inline void pack(const float* weight, int num_outputs, int num_inputs, Precision precision,
                 void* packed) {
  const Layout layout(num_outputs, num_inputs, precision);
  for (int group = 0; group < layout.num_groups; ++group) {
    pack_group(layout, group, precision, packed, [&](GroupRow* rows, int first, int count) {
      for (int i = 0; i < count; ++i) {
        for (int j = 0; j < kGroup; ++j) {
          const std::ptrdiff_t output = std::ptrdiff_t{group} * kGroup + j;
          rows[i][j] = output < num_outputs ? weight[output * num_inputs + first + i] : 0.0f;
        }
      }
    });
  }
}

// Weights (N, V·U) as [group][v][u][output], outputs filled up to whole groups.
inline std::size_t packed_cross_bytes(int num_outputs, int num_x, int num_y) {
  const std::size_t num_groups = (num_outputs + kGroup - 1) / kGroup;
  return num_groups * num_x * num_y * sizeof(GroupRow);
}

inline void pack_cross(const float* weight, int num_outputs, int num_x, int num_y, void* packed) {
  auto* rows = static_cast<GroupRow*>(packed);
  const std::ptrdiff_t num_inputs = std::ptrdiff_t{num_x} * num_y;
  for (int first = 0; first < num_outputs; first += kGroup) {
    for (std::ptrdiff_t input = 0; input < num_inputs; ++input, ++rows) {
      for (int j = 0; j < kGroup; ++j) {
        const int output = first + j;
        (*rows)[j] = output < num_outputs ? weight[output * num_inputs + input] : 0.0f;
      }
    }
  }
}

// rows[i] = sum over u of weight[u] · y[u · dim + i], for Count values of i.
template <int Count>
RF_INLINE void cross_rows(const GroupRow* weight, const float* y, int num_y, int dim,
                          GroupRow* rows) {
  Floats sums[Count][kGroupRegisters] = {};
  for (int u = 0; u < num_y; ++u, y += dim) {
    RF_UNROLL
    for (int r = 0; r < kGroupRegisters; ++r) {
      const Floats factor = load(weight[u] + r * kWidth);
      RF_UNROLL
      for (int i = 0; i < Count; ++i) {
        sums[i][r] = multiply_added(sums[i][r], broadcast(y[i]), factor);
      }
    }
  }
  RF_UNROLL
  for (int i = 0; i < Count; ++i) {
    RF_UNROLL
    for (int r = 0; r < kGroupRegisters; ++r) store(rows[i] + r * kWidth, sums[i][r]);
  }
}

inline void build_cross(const void* weight_cross, const float* y, int num_outputs, int num_x,
                        int num_y, int dim, Precision precision, void* packed) {
  constexpr int kBlock = 8 / kGroupRegisters;
  const Layout layout(num_outputs, num_x * dim, precision);
  const auto* weight = static_cast<const GroupRow*>(weight_cross);
  for (int group = 0; group < layout.num_groups; ++group) {
    const GroupRow* of_group = weight + std::ptrdiff_t{group} * num_x * num_y;
    pack_group(layout, group, precision, packed, [&](GroupRow* rows, int first, int count) {
      for (int done = 0; done < count;) {
        const int v = (first + done) / dim;
        const int i = (first + done) % dim;
        const int block = smaller(kBlock, smaller(dim - i, count - done));
        with_constant<kBlock>(block, [&](auto constant) {
          cross_rows<decltype(constant)::value>(of_group + std::ptrdiff_t{v} * num_y, y + i, num_y,
                                                dim, rows + done);
        });
        done += block;
      }
    });
  }
}

inline void build_scaled(const void* base, const void* weight, const float* y, int num_outputs,
                         int num_inputs, Precision precision, void* packed) {
  const Layout layout(num_outputs, num_inputs, precision);
  const Layout given(num_outputs, num_inputs, Precision::kFloat32);
  for (int group = 0; group < layout.num_groups; ++group) {
    const int width = given.width(group);
    const auto* weights = static_cast<const float*>(weight) + given.group_words(group);
    const auto* bases =
        base == nullptr ? nullptr : static_cast<const float*>(base) + given.group_words(group);
    pack_group(layout, group, precision, packed, [&](GroupRow* rows, int first, int count) {
      for (int i = 0; i < count; ++i) {
        const std::ptrdiff_t at = std::ptrdiff_t{first + i} * width;
        const float factor = y[first + i];
        if (width == kGroup) {
          RF_UNROLL
          for (int r = 0; r < kGroup; r += kWidth) {
            Floats value = load(weights + at + r) * broadcast(factor);
            if (bases != nullptr) value += load(bases + at + r);
            store(rows[i] + r, value);
          }
          continue;
        }
        for (int j = 0; j < kGroup; ++j) {
          rows[i][j] = j < width ? weights[at + j] * factor : 0.0f;
          if (j < width && bases != nullptr) rows[i][j] += bases[at + j];
        }
      }
    });
  }
}

}  // namespace recfunnel::RECFUNNEL_SET
