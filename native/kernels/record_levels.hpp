// What an int8 hidden layer of `records.hpp` reads of each record: levels. Those of a record stored
// in int8 are its own, with its scale; other columns are rounded as everywhere, to 256 levels between
// the record's smallest and largest.
#pragma once

#include "kinds.hpp"
#include "record_dots.hpp"

namespace recfunnel::RECFUNNEL_SET {

// Vectors of int8 as long as a multiple of this begin at whole words in every instruction set.
inline constexpr int kWholeWords = 4;

// Values of an int8 row as levels above kOwnZero, kInt8PerWord to a word, zeros or what meets no
// weight after them.
RF_INLINE void put_own_levels(const std::byte* values, int count, std::uint32_t* to) {
#if defined(__AVX512VNNI__)
  const __m512i flip = _mm512_set1_epi8(-128);  // -128 .. 127 to 0 .. 255
  for (int i = 0; i < count; i += 64) {
    const int now = smaller(64, count - i);
    const auto valid = static_cast<__mmask64>(~std::uint64_t{0} >> (64 - now));
    const __m512i levels = _mm512_xor_si512(flip, _mm512_maskz_loadu_epi8(valid, values + i));
    _mm512_storeu_si512(to + i / kInt8PerWord, levels);
  }
#else
  std::int16_t halves[2];
  for (int i = 0; i < count; i += 2) {
    for (int part = 0; part < 2; ++part) {
      halves[part] = i + part < count ? static_cast<std::int8_t>(values[i + part]) : std::int16_t{0};
    }
    __builtin_memcpy(to + i / 2, halves, sizeof halves);
  }
#endif
}

// Records stored in int8: `rows`, and what they add.
inline void take_own_levels(const RecordScoreArgs& args, const Layout& layout,
                            const RecordScratch& scratch, RecordInputs& inputs) {
  const auto* sums = static_cast<const std::int32_t*>(args.weights) + layout.sum_words(0);
  for (int i = 0; i < args.shape.num_outputs; ++i) scratch.starts[i] = -kOwnZero * sums[i];
  inputs.starts = scratch.starts;
  inputs.constants_are = Storage::kInt8;
  for (int lane = 0; lane < args.lanes; ++lane) {
    const std::byte* row = row_of(args.records, args.rows[lane]);
    const std::byte* values = row + Format<Storage::kInt8>::kHeaderBytes;
    std::uint32_t* to = scratch.inputs + std::ptrdiff_t{lane} * scratch.num_inputs;
    put_own_levels(values + args.start, args.shape.width, to);
    inputs.rows[lane] = to;
    inputs.scales[lane] = scale_of(row);
    inputs.constants[lane] = args.constant < 0 ? nullptr : values + args.constant;
  }
}

// Vectors whose dots are whole numbers that float32 tells apart, and that begin at whole words.
inline bool dots_in_levels(const RecordScoreArgs& args) {
  constexpr int kMostDim = (1 << 24) / (255 * 127);
  const int dim = args.shape.dim;
  return args.records.storage == Storage::kInt8 && dim % kWholeWords == 0 && dim <= kMostDim;
}

// The dots as float32.
inline void prepare_dots(const RecordScoreArgs& args, const RecordScratch& scratch,
                         const std::uint32_t** rows) {
  if (!dots_in_levels(args)) return prepare_dots_of<Float32, BFloat16>(args, scratch, rows);
  float scales[kMaxLanes];
  for (int lane = 0; lane < args.lanes; ++lane) {
    const std::byte* row = row_of(args.records, args.rows[lane]);
    auto* to = reinterpret_cast<std::uint32_t*>(scratch.values) +
               std::ptrdiff_t{lane} * scratch.width;
    put_own_levels(row + Format<Storage::kInt8>::kHeaderBytes + args.start, args.shape.width, to);
    scales[lane] = scale_of(row);
    rows[lane] = to;
  }
  record_dots<Int8, Float32>(args, scratch, rows, scales);
}

inline void prepare_levels(const RecordScoreArgs& args, const Layout& layout,
                           const RecordScratch& scratch, RecordInputs& inputs) {
  const bool has_dots = args.shape.num_y != 0;
  if (args.records.storage == Storage::kInt8 && !has_dots) {
    return take_own_levels(args, layout, scratch, inputs);
  }
  prepare_constants(args, scratch, inputs);
  if (has_dots) {
    prepare_dots(args, scratch, inputs.rows);
  } else {
    copy_records(args, args.start, args.shape.width, scratch.values, scratch.width);
  }
  for (int lane = 0; lane < args.lanes; ++lane) {
    const float* values = has_dots ? reinterpret_cast<const float*>(inputs.rows[lane])
                                   : scratch.values + std::ptrdiff_t{lane} * scratch.width;
    std::uint32_t* to = (has_dots ? scratch.levels : scratch.inputs) +
                        std::ptrdiff_t{lane} * scratch.num_inputs;
    quantise_row(values, layout.num_inputs, to, &inputs.scales[lane], &inputs.zeros[lane]);
    inputs.rows[lane] = to;
  }
}

}  // namespace recfunnel::RECFUNNEL_SET
