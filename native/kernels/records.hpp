// Scores straight from records: a hidden layer and the one output after it, with no tile between.
//
// A record is read where it lies. Here a register holds outputs of one record, not one value of
// several candidates: a word of a record meets a row of weights, and what a record adds to the
// hidden layer is where its sums begin, so that nothing is turned and no activation is written.
// A sum is one chain over the inputs, in order, whatever the place of the record in its block.
#pragma once

#include "kernels.hpp"
#include "kinds.hpp"
#include "packing.hpp"
#include "record_dots.hpp"
#include "record_levels.hpp"
#include "rows.hpp"
#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

inline constexpr int kMostPanelGroups = kWidth == 16 ? 4 : 1;
inline constexpr std::size_t kPanelBytes = 24 * 1024;  // weights that stay in the nearest cache

// As many records as leave each sum a register.
template <class Kind>
constexpr int num_block_rows(int groups) {
  if (kWidth == 16) return groups == 4 ? 6 : 8;
  return kWidth == 8 && Kind::kRegistersAnInput == 1 ? 4 : 2;
}

// What sums of one register of outputs begin with, and what they become: of floats, and of integers.
template <class Kind, class Values>
struct Hidden {
  const RecordScoreArgs& args;
  const RecordInputs& inputs;

  Hidden(const RecordScoreArgs& args, const Layout&, const RecordInputs& inputs)
      : args(args), inputs(inputs) {}

  RF_INLINE Floats start(int row, int output) const {
    const Floats bias = load(args.bias + output);
    if (inputs.constants[row] == nullptr) return bias;
    return bias + row_values<Values>(inputs.constants[row], output);
  }
  RF_INLINE Floats end(Floats sum, int, int) const { return sum; }
};

template <class Values>
struct Hidden<Int8, Values> {
  static constexpr bool kSharesScale = Values::kHeaderBytes != 0;  // what is added and multiplied

  const RecordScoreArgs& args;
  const RecordInputs& inputs;
  const float* weight_scales;
  const std::int32_t* weight_sums;

  Hidden(const RecordScoreArgs& args, const Layout& layout, const RecordInputs& inputs)
      : args(args),
        inputs(inputs),
        weight_scales(static_cast<const float*>(args.weights) + layout.scale_words(0)),
        weight_sums(static_cast<const std::int32_t*>(args.weights) + layout.sum_words(0)) {}

  // What the inputs' zeros add, taken off; of records' own levels the same for all.
  RF_INLINE Ints start(int row, int output) const {
    const auto* from = kSharesScale ? inputs.starts + output : weight_sums + output;
    const Ints words = as_ints(load(reinterpret_cast<const std::uint32_t*>(from)));
    if constexpr (kSharesScale) return words;
    return as_ints(broadcast(std::uint32_t{0})) - words * inputs.zeros[row];
  }
  RF_INLINE Floats end(Ints sum, int row, int output) const {
    const Floats scale = broadcast(inputs.scales[row]);
    const Floats product = __builtin_convertvector(sum, Floats);
    const Floats weight_scale = load(weight_scales + output), bias = load(args.bias + output);
    const std::byte* constant = inputs.constants[row];
    if constexpr (kSharesScale) {
      const Floats added = constant == nullptr ? Floats{} : row_values<Values>(constant, output);
      return multiply_added(bias, multiply_added(added, product, weight_scale), scale);
    }
    const Floats added =
        constant == nullptr ? bias : bias + row_values<Values>(constant, output);
    return multiply_added(added, product, weight_scale * scale);
  }
};

// Sums of the hidden layer of Rows records, Groups groups of outputs from `group` on, in which
// every record's sum of clamped outputs times the head goes on. `Values` is the format of what a
// record adds.
template <int Rows, int Groups, class Kind, class Values>
void record_block(const RecordScoreArgs& args, const Layout& layout, const RecordInputs& inputs,
                  int group, int lane, float* sums) {
  constexpr int kRegisters = Groups * kGroupRegisters;
  const Hidden<Kind, Values> layer(args, layout, inputs);
  const std::uint32_t* words = static_cast<const std::uint32_t*>(args.weights) +
                               layout.group_words(group);
  const std::size_t group_words = layout.group_words(1) - layout.group_words(0);
  const int first = group * kGroup;
  typename Kind::Sum hidden[Rows][kRegisters];
  const std::uint32_t* rows[Rows];
  RF_UNROLL
  for (int m = 0; m < Rows; ++m) {
    const int row = smaller(lane + m, args.lanes - 1);
    rows[m] = inputs.rows[row];
    RF_UNROLL
    for (int r = 0; r < kRegisters; ++r) hidden[m][r] = layer.start(row, first + r * kWidth);
  }
  for (int s = 0; s < layout.num_steps; ++s, words += kGroup) {
    decltype(Kind::weights(Words{})) weights[kRegisters];
    RF_UNROLL
    for (int r = 0; r < kRegisters; ++r) {
      weights[r] = Kind::weights(
          load(words + (r / kGroupRegisters) * group_words + (r % kGroupRegisters) * kWidth));
    }
    RF_UNROLL
    for (int m = 0; m < Rows; ++m) {
      const auto input = row_kind<Kind>(rows[m]).one(s);
      RF_UNROLL
      for (int r = 0; r < kRegisters; ++r) Kind::multiply_add(hidden[m][r], weights[r], input);
    }
  }
  RF_UNROLL
  for (int m = 0; m < Rows; ++m) {
    if (lane + m >= args.lanes) break;
    float* total = sums + std::ptrdiff_t{lane + m} * kWidth;
    Floats sum = group == 0 ? Floats{} : load(total);
    RF_UNROLL
    for (int r = 0; r < kRegisters; ++r) {
      const int output = first + r * kWidth;
      sum = multiply_added(sum, positive(layer.end(hidden[m][r], lane + m, output)),
                           load(args.head + output));
    }
    store(total, sum);
  }
}

// Panels of groups whose weights stay near, outermost, over all records.
template <class Kind, class Values>
void record_layer(const RecordScoreArgs& args, const Layout& layout, const RecordInputs& inputs,
                  float* sums) {
  const std::size_t group_bytes = 4 * (layout.group_words(1) - layout.group_words(0));
  int most = kMostPanelGroups;
  while (most > 2 && most * group_bytes > kPanelBytes) --most;
  const int num_panels = (layout.num_groups + most - 1) / most;
  for (int panel = 0, group = 0; panel < num_panels; ++panel) {
    const int left = num_panels - panel;
    const int now = (layout.num_groups - group + left - 1) / left;
    with_constant<kMostPanelGroups>(now, [&](auto constant) {
      constexpr int kGroups = decltype(constant)::value;
      constexpr int kRows = num_block_rows<Kind>(kGroups);
      if (args.lanes == 1) {
        return record_block<1, kGroups, Kind, Values>(args, layout, inputs, group, 0, sums);
      }
      for (int lane = 0; lane < args.lanes; lane += kRows) {
        record_block<kRows, kGroups, Kind, Values>(args, layout, inputs, group, lane, sums);
      }
    });
    group += now;
  }
}

inline int record_inputs(const RecordShape& shape) {
  return shape.num_y == 0 ? shape.width : record_order(shape, nullptr);
}

template <class Kind>
void record_scores_of(const RecordScoreArgs& args, const RecordScratch& scratch) {
  const Layout layout(args.shape.num_outputs, record_inputs(args.shape), args.precision);
  RecordInputs inputs;
  if constexpr (Kind::kIsInteger) {
    prepare_levels(args, layout, scratch, inputs);
  } else {
    prepare_inputs<Kind>(args, scratch, inputs.rows);
    prepare_constants(args, scratch, inputs);
  }
  if (inputs.constants_are == Storage::kBFloat16) {
    record_layer<Kind, Format<Storage::kBFloat16>>(args, layout, inputs, scratch.sums);
  } else if (Kind::kIsInteger && inputs.constants_are == Storage::kInt8) {
    record_layer<Int8, Format<Storage::kInt8>>(args, layout, inputs, scratch.sums);
  } else {
    record_layer<Kind, Format<Storage::kFloat32>>(args, layout, inputs, scratch.sums);
  }
  for (int lane = 0; lane < args.lanes; lane += 4) {
    Floats sums[4];
    for (int i = 0; i < 4; ++i) {
      sums[i] = lane + i < args.lanes ? load(scratch.sums + std::ptrdiff_t{lane + i} * kWidth)
                                      : Floats{};
    }
    float totals[4];
    lane_sums(sums, totals);
    for (int i = 0; i < 4 && lane + i < args.lanes; ++i) {
      args.out[lane + i] = totals[i] + args.head_bias;
    }
  }
}

inline std::size_t record_scratch_bytes(const RecordShape& shape, int lanes) {
  return RecordScratch(nullptr, shape, lanes).bytes;
}

inline void record_scores(const RecordScoreArgs& args) {
  const RecordScratch scratch(args.scratch, args.shape, args.lanes);
  switch (args.precision) {
    case Precision::kFloat32:
      return record_scores_of<Float32>(args, scratch);
    case Precision::kBFloat16:
      return record_scores_of<BFloat16>(args, scratch);
    case Precision::kInt8:
      return record_scores_of<Int8>(args, scratch);
  }
}

}  // namespace recfunnel::RECFUNNEL_SET
