// Linear layers on tiles.
//
// An output of a candidate is one chain of multiply-adds over the inputs, in order, whatever the
// number of lanes and the place among them: results depend on the candidate alone. (The only output
// of a group 1 wide is summed in kChains chains, again the same ones for any number of lanes.)
#pragma once

#include "kernels.hpp"
#include "kinds.hpp"
#include "packing.hpp"
#include "pairs.hpp"
#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

// What a sum becomes: an output.
template <class Kind>
struct Finish {
  const LinearArgs& args;
  const Kind& kind;
  const float* weight_scales = nullptr;       // of all outputs; Int8
  const std::int32_t* weight_sums = nullptr;  // Int8

  RF_INLINE Floats start(int output, int lane) const {
    Floats value = args.bias != nullptr ? broadcast(args.bias[output]) : Floats{};
    if (args.addend != nullptr) {
      value += load(args.addend + std::ptrdiff_t{output} * args.lanes + lane);
    }
    return value;
  }
  // lanes = 1: of the first `count` outputs from `output` on.
  RF_INLINE Floats start_outputs(int output, int count) const {
    Floats value = args.bias != nullptr ? load_first(args.bias + output, count) : Floats{};
    if (args.addend != nullptr) value += load_first(args.addend + output, count);
    return value;
  }
  RF_INLINE Floats scaled(Ints sum, int output, int lane, Floats start) const {
    const Ints zeros = as_ints(load(reinterpret_cast<const std::uint32_t*>(kind.zeros + lane)));
    const Ints exact = sum - zeros * weight_sums[output];
    const Floats scale = load(kind.scales + lane) * broadcast(weight_scales[output]);
    return multiply_added(start, __builtin_convertvector(exact, Floats), scale);
  }
  RF_INLINE Floats scaled_outputs(Ints sum, int output, Floats start) const {
    const auto* sums = reinterpret_cast<const std::uint32_t*>(weight_sums + output);
    const Ints exact = sum - as_ints(load(sums)) * kind.zeros[0];
    const Floats scale = broadcast(kind.scales[0]) * load(weight_scales + output);
    return multiply_added(start, __builtin_convertvector(exact, Floats), scale);
  }
  // Count outputs from an even one on, of kWidth lanes; `valid` of them are there.
  template <int Count>
  RF_INLINE void put(Floats (&values)[Count], int output, int lane, int valid) const {
    RF_UNROLL
    for (int n = 0; n < Count; ++n) {
      if (args.relu) values[n] = positive(values[n]);
    }
    if (!args.out_pairs) {
      float* to = static_cast<float*>(args.out) + std::ptrdiff_t{output} * args.lanes + lane;
      RF_UNROLL
      for (int n = 0; n < Count; ++n) {
        if (n < valid) store(to + std::ptrdiff_t{n} * args.lanes, values[n]);
      }
      return;
    }
    auto* to =
        static_cast<std::uint32_t*>(args.out) + std::ptrdiff_t{output} / 2 * args.lanes + lane;
    RF_UNROLL
    for (int n = 0; n < Count; n += 2) {
      if (n >= valid) break;
      const Floats high = n + 1 < Count ? values[n + 1 < Count ? n + 1 : n] : Floats{};
      store(to + std::ptrdiff_t{n / 2} * args.lanes,
            bfloat16_pairs(values[n], n + 1 < valid ? high : Floats{}));
    }
  }
  RF_INLINE void put_outputs(Floats value, int output, int count) const {
    if (count <= 0) return;
    if (args.relu) value = positive(value);
    if (!args.out_pairs) return store_first(static_cast<float*>(args.out) + output, value, count);
    store_rounded(static_cast<std::uint32_t*>(args.out) + output / 2, first_of(value, count), count);
  }
};

// Outputs × registers of lanes: as many sums as registers leave room for, and enough of them to
// cover the time a multiply-add takes.
inline constexpr bool kManyRegisters = kWidth == 16;
template <class Kind>
inline constexpr int kMostLaneRegisters = kManyRegisters || Kind::kRegistersAnInput == 1 ? 3 : 2;
constexpr int num_block_outputs(int lane_registers, int width) {
  const int wanted = kManyRegisters ? (lane_registers == 1 ? 16 : 8) : 4;
  return width < wanted ? width : wanted;
}

// Calls `call` with a number of registers, as a constant, and the first lane, for stretches of
// lanes.
template <int Most, class Call>
RF_INLINE void in_stretches(int lanes, Call call) {
  const int num_registers = lanes / kWidth;
  for (int done = 0; done < num_registers;) {
    const int left = num_registers - done;
    const int now = Most == 3 && left == 4 ? 2 : smaller(left, Most);
    with_constant<Most>(now, [&](auto constant) { call(constant, done * kWidth); });
    done += now;
  }
}

// Outputs [output, output + NumOutputs) for LaneRegisters · kWidth lanes from `lane` on. `words`
// begins at the first of these outputs, in a group `Width` wide.
template <int Width, int NumOutputs, int LaneRegisters, class Kind>
void linear_block(const std::uint32_t* words, const Layout& layout, const Kind& kind,
                  const Finish<Kind>& finish, int output, int lane) {
  typename Kind::Sum sums[NumOutputs][LaneRegisters];
  const int num_valid = smaller(NumOutputs, layout.num_outputs - output);
  RF_UNROLL
  for (int n = 0; n < NumOutputs; ++n) {
    RF_UNROLL
    for (int m = 0; m < LaneRegisters; ++m) {
      sums[n][m] = typename Kind::Sum{};
      if constexpr (!Kind::kIsInteger) {
        if (n < num_valid) sums[n][m] = finish.start(output + n, lane + m * kWidth);
      }
    }
  }
  const auto step = [&](auto input_at) {
    decltype(input_at(0)) inputs[LaneRegisters];
    RF_UNROLL
    for (int m = 0; m < LaneRegisters; ++m) inputs[m] = input_at(m);
    RF_UNROLL
    for (int n = 0; n < NumOutputs; ++n) {
      const auto weight = Kind::weights(broadcast(words[n]));
      RF_UNROLL
      for (int m = 0; m < LaneRegisters; ++m) {
        Kind::multiply_add(sums[n][m], weight, inputs[m]);
      }
    }
    words += Width;
  };
  const bool half = Kind::kReadsPairs && layout.num_inputs % 2 != 0;
  const int num_whole = layout.num_steps - half;
  for (int s = 0; s < num_whole; ++s) {
    step([&](int m) { return kind.at(s, lane + m * kWidth); });
  }
  if constexpr (Kind::kReadsPairs) {
    if (half) step([&](int m) { return kind.at_half(num_whole, lane + m * kWidth); });
  }
  RF_UNROLL
  for (int m = 0; m < LaneRegisters; ++m) {
    const int at = lane + m * kWidth;
    Floats values[NumOutputs];
    RF_UNROLL
    for (int n = 0; n < NumOutputs; ++n) {
      if constexpr (Kind::kIsInteger) {
        values[n] = Floats{};
        if (n < num_valid) {
          values[n] = finish.scaled(sums[n][m], output + n, at, finish.start(output + n, at));
        }
      } else {
        values[n] = sums[n][m];
      }
    }
    finish.put(values, output, at, num_valid);
  }
}

// A group `Width` wide for all lanes.
template <int Width, class Kind>
void linear_group(const std::uint32_t* words, const Layout& layout, const Kind& kind,
                  const Finish<Kind>& finish, int first_output) {
  in_stretches<kMostLaneRegisters<Kind>>(finish.args.lanes, [&](auto constant, int lane) {
    constexpr int kRegisters = decltype(constant)::value;
    constexpr int kOutputs = num_block_outputs(kRegisters, Width);
    for (int n = 0; n < Width && first_output + n < layout.num_outputs; n += kOutputs) {
      linear_block<Width, kOutputs, kRegisters>(words + n, layout, kind, finish, first_output + n,
                                                lane);
    }
  });
}

// Adds up kChains values, in the same order whether they are registers of lanes or single numbers.
template <class Value>
RF_INLINE Value chains_sum(const Value (&chains)[kChains]) {
  Value values[kChains];
  RF_UNROLL
  for (int i = 0; i < kChains; ++i) values[i] = chains[i];
  RF_UNROLL
  for (int half = kChains / 2; half > 0; half /= 2) {
    RF_UNROLL
    for (int i = 0; i < half; ++i) values[i] += values[i + half];
  }
  return values[0];
}

// A group 1 wide: step s goes to chain s mod kChains.
template <int LaneRegisters, class Kind>
void linear_single(const std::uint32_t* words, const Layout& layout, const Kind& kind,
                   const Finish<Kind>& finish, int output, int lane) {
  const bool half = Kind::kReadsPairs && layout.num_inputs % 2 != 0;
  const int num_whole = layout.num_steps - half;
  typename Kind::Sum sums[LaneRegisters][kChains] = {};
  const auto step = [&](int s, int chain, auto input_at) {
    const auto weight = Kind::weights(broadcast(words[s]));
    RF_UNROLL
    for (int m = 0; m < LaneRegisters; ++m) {
      Kind::multiply_add(sums[m][chain], weight, input_at(m));
    }
  };
  int first = 0;
  for (; first + kChains <= num_whole; first += kChains) {
    RF_UNROLL
    for (int i = 0; i < kChains; ++i) {
      step(first + i, i, [&](int m) { return kind.at(first + i, lane + m * kWidth); });
    }
  }
  RF_UNROLL
  for (int i = 0; i < kChains; ++i) {
    if (first + i < num_whole) {
      step(first + i, i, [&](int m) { return kind.at(first + i, lane + m * kWidth); });
    } else if constexpr (Kind::kReadsPairs) {
      if (half && first + i == num_whole) {
        step(first + i, i, [&](int m) { return kind.at_half(first + i, lane + m * kWidth); });
      }
    }
  }
  RF_UNROLL
  for (int m = 0; m < LaneRegisters; ++m) {
    const int at = lane + m * kWidth;
    Floats value[1] = {finish.start(output, at)};
    if constexpr (Kind::kIsInteger) {
      value[0] = finish.scaled(chains_sum(sums[m]), output, at, value[0]);
    } else {
      value[0] = chains_sum(sums[m]) + value[0];
    }
    finish.put(value, output, at, 1);
  }
}

// The same with one lane: a register holds the chains.
template <class Kind>
void vector_single(const std::uint32_t* words, const Layout& layout, const Kind& kind,
                   const Finish<Kind>& finish, int output) {
  typename Kind::Sum sum = {};
  const int num_whole = layout.num_inputs / (Kind::kReadsPairs ? 2 : 1);
  int s = 0;
  for (; s + kChains <= layout.num_steps && s + kChains <= num_whole; s += kChains) {
    Kind::multiply_add(sum, Kind::weights(load_words<kChains>(words + s)),
                       kind.consecutive(s, kChains));
  }
  if (s < layout.num_steps) {
    const int left = layout.num_steps - s;
    Kind::multiply_add(sum, Kind::weights(load_first(words + s, left)), kind.consecutive(s, left));
  }
  decltype(sum[0] + sum[0]) chains[kChains];
  for (int i = 0; i < kChains; ++i) chains[i] = sum[i];
  typename Kind::Sum total = {};
  total[0] = chains_sum(chains);
  const Floats start = finish.start_outputs(output, 1);
  if constexpr (Kind::kIsInteger) {
    finish.put_outputs(finish.scaled_outputs(total, output, start), output, 1);
  } else {
    finish.put_outputs(total + start, output, 1);
  }
}

// lanes = 1: NumGroups groups, `Width` wide, whose words are `group_words` apart.
template <int Width, int NumGroups, class Kind>
void vector_groups(const std::uint32_t* words, std::size_t group_words, const Layout& layout,
                   const Kind& kind, const Finish<Kind>& finish, int first_output) {
  constexpr int kRegisters = Width > kWidth ? Width / kWidth : 1;
  typename Kind::Sum sums[NumGroups][kRegisters];
  const auto valid = [&](int group, int r) {
    const int left = layout.num_outputs - first_output - group * Width - r * kWidth;
    return left < 0 ? 0 : smaller(left, kWidth);
  };
  RF_UNROLL
  for (int g = 0; g < NumGroups; ++g) {
    RF_UNROLL
    for (int r = 0; r < kRegisters; ++r) {
      sums[g][r] = typename Kind::Sum{};
      if constexpr (!Kind::kIsInteger) {
        sums[g][r] = finish.start_outputs(first_output + g * Width + r * kWidth, valid(g, r));
      }
    }
  }
  const auto step = [&](auto input) {
    RF_UNROLL
    for (int g = 0; g < NumGroups; ++g) {
      RF_UNROLL
      for (int r = 0; r < kRegisters; ++r) {
        const Words word = load_words<Width>(words + g * group_words + r * kWidth);
        Kind::multiply_add(sums[g][r], Kind::weights(word), input);
      }
    }
    words += Width;
  };
  const bool half = Kind::kReadsPairs && layout.num_inputs % 2 != 0;
  const int num_whole = layout.num_steps - half;
  for (int s = 0; s < num_whole; ++s) step(kind.one(s));
  if constexpr (Kind::kReadsPairs) {
    if (half) step(kind.one_half(num_whole));
  }
  RF_UNROLL
  for (int g = 0; g < NumGroups; ++g) {
    RF_UNROLL
    for (int r = 0; r < kRegisters; ++r) {
      const int output = first_output + g * Width + r * kWidth;
      if constexpr (Kind::kIsInteger) {
        const Floats start = finish.start_outputs(output, valid(g, r));
        finish.put_outputs(finish.scaled_outputs(sums[g][r], output, start), output, valid(g, r));
      } else {
        finish.put_outputs(sums[g][r], output, valid(g, r));
      }
    }
  }
}

template <class Kind>
void linear_of(const std::uint32_t* packed, const Layout& layout, const Kind& kind,
               const Finish<Kind>& finish) {
  constexpr int kGroupsAtOnce = kWidth == 4 ? 2 : 4;
  const auto with_last_width = [&](auto call) {
    switch (layout.last_width) {
      case 16:
        return call(Constant<16>{});
      case 8:
        return call(Constant<8>{});
      default:
        return call(Constant<4>{});
    }
  };
  const int last = layout.num_groups - 1;
  const int num_full = last + (layout.last_width == kGroup);
  const std::uint32_t* last_words = packed + layout.group_words(last);

  if (finish.args.lanes == 1) {
    for (int group = 0; group < num_full;) {
      const int now = smaller(kGroupsAtOnce, num_full - group);
      with_constant<kGroupsAtOnce>(now, [&](auto constant) {
        vector_groups<kGroup, decltype(constant)::value>(packed + layout.group_words(group),
                                                         std::size_t{kGroup} * layout.num_steps,
                                                         layout, kind, finish, group * kGroup);
      });
      group += now;
    }
    if (layout.last_width == 1)
      return vector_single(last_words, layout, kind, finish, last * kGroup);
    if (num_full <= last) {
      with_last_width([&](auto width) {
        vector_groups<decltype(width)::value, 1>(last_words, 0, layout, kind, finish,
                                                 last * kGroup);
      });
    }
    return;
  }
  for (int group = 0; group < num_full; ++group) {
    linear_group<kGroup>(packed + layout.group_words(group), layout, kind, finish, group * kGroup);
  }
  if (layout.last_width == 1) {
    constexpr int kMost = kManyRegisters && Kind::kRegistersAnInput == 1 ? 3 : 1;
    return in_stretches<kMost>(finish.args.lanes, [&](auto constant, int lane) {
      linear_single<decltype(constant)::value>(last_words, layout, kind, finish, last * kGroup,
                                               lane);
    });
  }
  if (num_full <= last) {
    with_last_width([&](auto width) {
      linear_group<decltype(width)::value>(last_words, layout, kind, finish, last * kGroup);
    });
  }
}

inline std::size_t linear_scratch_bytes(int num_inputs, int lanes, Precision precision) {
  const std::size_t words = Layout(1, num_inputs, precision).num_steps * std::size_t(lanes);
  switch (precision) {
    case Precision::kFloat32:
      return 0;
    case Precision::kBFloat16:
#if defined(__AVX512BF16__)
      return 4 * words;
#else
      return 0;
#endif
    case Precision::kInt8:
      return 4 * (words + 2 * std::size_t(lanes));
  }
  return 0;
}

inline void linear(const LinearArgs& args) {
  const Matrix& matrix = args.matrix;
  if (matrix.num_outputs == 0) return;
  const Layout layout(matrix.num_outputs, matrix.num_inputs, matrix.precision);
  const auto* packed = static_cast<const std::uint32_t*>(matrix.data);
  auto* scratch = static_cast<std::uint32_t*>(args.scratch);
  const auto* in = static_cast<const float*>(args.in);
  switch (matrix.precision) {
    case Precision::kFloat32: {
      const Float32 kind{in, args.lanes};
      return linear_of(packed, layout, kind, Finish<Float32>{args, kind});
    }
    case Precision::kBFloat16: {
      if (args.in_pairs) {
        const BFloat16 kind{static_cast<const std::uint32_t*>(args.in), args.lanes};
        return linear_of(packed, layout, kind, Finish<BFloat16>{args, kind});
      }
#if defined(__AVX512BF16__)
      if (args.lanes == 1) {
        round_values(in, matrix.num_inputs, scratch);
      } else {
        round_rows(in, matrix.num_inputs, args.lanes, scratch);
      }
      const BFloat16 kind{scratch, args.lanes};
      return linear_of(packed, layout, kind, Finish<BFloat16>{args, kind});
#else
      const BFloat16Weights kind{in, args.lanes, matrix.num_inputs};
      return linear_of(packed, layout, kind, Finish<BFloat16Weights>{args, kind});
#endif
    }
    case Precision::kInt8: {
      const std::ptrdiff_t num_words = std::ptrdiff_t{layout.num_steps} * args.lanes;
      const auto* levels = args.in_levels ? static_cast<const std::uint32_t*>(args.in) : scratch;
      const auto* scales = reinterpret_cast<const float*>(levels + num_words);
      const auto* zeros = reinterpret_cast<const std::int32_t*>(scales + args.lanes);
      if (!args.in_levels) {
        quantise_inputs(in, matrix.num_inputs, args.lanes, scratch,
                        reinterpret_cast<float*>(scratch + num_words),
                        reinterpret_cast<std::int32_t*>(scratch + num_words + args.lanes));
      }
      const Int8 kind{levels, args.lanes, scales, zeros};
      return linear_of(
          packed, layout, kind,
          Finish<Int8>{args, kind, reinterpret_cast<const float*>(packed),
                       reinterpret_cast<const std::int32_t*>(packed + layout.sum_words(0))});
    }
  }
}

}  // namespace recfunnel::RECFUNNEL_SET
