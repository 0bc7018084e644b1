// What the hidden layer of `records.hpp` reads of each record: the record itself where it is stored
// as the layer multiplies it, else a copy; or the dots of its vectors with vectors of the query.
#pragma once

#include "kernels.hpp"
#include "kinds.hpp"
#include "pairs.hpp"
#include "rows.hpp"
#include "simd.hpp"

namespace recfunnel::RECFUNNEL_SET {

template <class Kind>
inline constexpr bool kIsBFloat16 = false;
template <>
inline constexpr bool kIsBFloat16<BFloat16> = true;

// A kind of arithmetic on one row of words.
template <class Kind>
RF_INLINE Kind row_kind(const std::uint32_t* words) {
  Kind kind{};
  kind.in = reinterpret_cast<decltype(Kind::in)>(words);
  kind.lanes = 1;
  return kind;
}

// Sums over the lanes of four registers.
RF_INLINE void lane_sums(const Floats (&x)[4], float* sums) {
  const auto sum_of = [](Words low, Words high) { return as_floats(low) + as_floats(high); };
  const auto halves = [&](Floats x, Floats y) {
    const Words a = as_words(x), b = as_words(y);
    return as_words(sum_of(shuffled<0, 4, 1, 5>(a, b), shuffled<2, 6, 3, 7>(a, b)));
  };
  const Words first = halves(x[0], x[1]), second = halves(x[2], x[3]);
  const Floats quads =
      sum_of(shuffled<0, 1, 4, 5>(first, second), shuffled<2, 3, 6, 7>(first, second));
#if defined(__AVX512F__)
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(quads), _mm512_extractf32x8_ps(quads, 1));
#elif defined(__AVX2__)
  const __m256 eight = quads;
#endif
#if defined(__AVX2__)
  _mm_storeu_ps(sums, _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1)));
#else
  store(sums, quads);
#endif
}

constexpr int whole_lines(int words) { return (words + 15) / 16 * 16; }

// Dots in the order a layer reads them. Vectors of the query go into lanes, kWidth at a time, and
// those of a record follow each other: (query's register, record's vector, lane). One or two that
// are left over would fill few lanes; they come last, as (query's vector, record's vector).
struct DotsOrder {
  static constexpr int kFewVectors = 2;
  int num_x, num_y;
  int num_registers;  // of vectors of the query
  int num_left;

  explicit DotsOrder(const RecordShape& shape)
      : num_x(shape.width / shape.dim), num_y(shape.num_y) {
    num_left = num_y % kWidth;
    if (num_left > kFewVectors) num_left = 0;
    num_registers = (num_y - num_left + kWidth - 1) / kWidth;
  }
  int in_lanes() const { return num_registers * num_x * kWidth; }
  int size() const { return in_lanes() + num_left * num_x; }
};

// Where each of the inputs a layer reads stands in the order (record's vector, query's vector), -1
// for nothing; `order` may be null. Returns how many there are.
inline int record_order(const RecordShape& shape, std::int32_t* order) {
  const DotsOrder dots(shape);
  if (order == nullptr) return dots.size();
  for (int r = 0; r < dots.num_registers; ++r) {
    for (int v = 0; v < dots.num_x; ++v) {
      for (int lane = 0; lane < kWidth; ++lane) {
        const int u = r * kWidth + lane;
        *order++ = u < dots.num_y - dots.num_left ? v * dots.num_y + u : -1;
      }
    }
  }
  for (int u = dots.num_y - dots.num_left; u < dots.num_y; ++u) {
    for (int v = 0; v < dots.num_x; ++v) *order++ = v * dots.num_y + u;
  }
  return dots.size();
}

// The level of 0 among those of a record that is stored in int8.
inline constexpr std::int32_t kOwnZero = kInt8PerWord == 4 ? 128 : 0;

// What the query's vectors are rounded to in int8: one scale each, and what a sum of products with a
// record's own levels begins with, which takes off their zeros.
struct QueryLevels {
  float* scales;
  std::int32_t* starts;
};

// Where a call keeps what it makes of its records.
struct RecordScratch {
  std::size_t bytes = 0;
  int width, num_inputs, num_left, num_outputs;  // distance between records of what follows
  float* sums;            // (lanes, kWidth): outputs times the head, added up so far
  float* values;          // (lanes, width): columns of records
  std::uint32_t* inputs;  // (lanes, num_inputs): of the layer, as it reads them
  std::uint32_t* levels;  // (lanes, num_inputs): the same of int8 dots, rounded
  float* left;            // (lanes, num_left): dots that come last
  float* constants;       // (lanes, num_outputs)
  std::int32_t* starts;   // (num_outputs), of int8: what sums begin with
  std::uint32_t* y_words;  // vectors of the query, in pairs
  QueryLevels y_levels;    // of int8
  float* turned;           // (words of a vector, kWidth): some of these, one a lane

  RecordScratch(void* base, const RecordShape& shape, int lanes)
      : width(whole_lines(shape.width + 1)),
        num_inputs(shape.num_y == 0 ? width : whole_lines(DotsOrder(shape).size() + 1)),
        num_left(shape.num_y == 0 ? 0 : whole_lines(2 * DotsOrder(shape).num_x + 4)),
        num_outputs(whole_lines(shape.num_outputs + 1)) {
    const auto take = [&](int words_each, int count) {
      const auto at = reinterpret_cast<std::uintptr_t>(base) + bytes;
      bytes += std::size_t{4} * whole_lines(words_each) * count;
      return at;
    };
    sums = reinterpret_cast<float*>(take(kWidth, lanes));
    values = reinterpret_cast<float*>(take(width, lanes));
    inputs = reinterpret_cast<std::uint32_t*>(take(num_inputs, lanes));
    levels = reinterpret_cast<std::uint32_t*>(take(shape.num_y == 0 ? 0 : num_inputs, lanes));
    left = reinterpret_cast<float*>(take(num_left, lanes));
    constants = reinterpret_cast<float*>(take(num_outputs, lanes));
    starts = reinterpret_cast<std::int32_t*>(take(shape.num_outputs, 1));
    y_words = reinterpret_cast<std::uint32_t*>(take(shape.num_y * shape.dim, 1));
    y_levels.scales = reinterpret_cast<float*>(take(shape.num_y + kWidth, 1));
    y_levels.starts = reinterpret_cast<std::int32_t*>(take(shape.num_y + kWidth, 1));
    turned = reinterpret_cast<float*>(take(kWidth, shape.dim));
  }
};

// What the hidden layer reads of each record.
struct RecordInputs {
  const std::uint32_t* rows[kMaxLanes];   // as its kind of arithmetic reads them
  const std::byte* constants[kMaxLanes];  // what it adds to the layer's outputs; null: nothing
  Storage constants_are = Storage::kFloat32;  // or bfloat16; int8 where `rows` are its own levels
  // Of int8: what an input is worth, its zero, and what sums begin with where it is the same.
  float scales[kMaxLanes];
  std::int32_t zeros[kMaxLanes];
  const std::int32_t* starts = nullptr;
};

// Columns of each record as float32, and a zero behind them.
inline void copy_records(const RecordScoreArgs& args, int start, int width, float* to,
                         std::ptrdiff_t stride) {
  with_format(args.records.storage, [&](auto format) {
    for (int lane = 0; lane < args.lanes; ++lane, to += stride) {
      read_row<decltype(format)>(
          row_of(args.records, args.rows[lane]), start, width,
          [to](int first, Floats values, int count) { store_first(to + first, values, count); });
      to[width] = 0.0f;
    }
  });
}

// Rows in the records themselves, if they are stored so and lie at whole words.
inline bool find_in_place(const RecordScoreArgs& args, Storage storage,
                          const std::uint32_t** rows) {
  const Table& records = args.records;
  const int value_bytes = storage == Storage::kFloat32 ? 4 : 2;
  const std::byte* first = records.data + std::ptrdiff_t{args.start} * value_bytes;
  if (records.storage != storage || records.row_bytes % 4 != 0 ||
      reinterpret_cast<std::uintptr_t>(first) % 4 != 0) {
    return false;
  }
  for (int lane = 0; lane < args.lanes; ++lane) {
    rows[lane] =
        reinterpret_cast<const std::uint32_t*>(first + args.rows[lane] * records.row_bytes);
  }
  return true;
}

// Float32 values as a kind of arithmetic reads them. There is room for one more, and it is zero.
template <class Kind>
RF_INLINE void put_values(const float* values, int count, std::uint32_t* to) {
  if constexpr (kIsBFloat16<Kind>) return round_values(values, count, to);
  __builtin_memcpy(to, values, sizeof(float) * count);
  to[count] = 0;
}

// A register of values, as the ones from `position` on.
template <class Kind>
RF_INLINE void put_register(Floats values, int position, std::uint32_t* to) {
  if constexpr (kIsBFloat16<Kind>) return store_rounded(to + position / 2, values, kWidth);
  store(to + position, as_words(values));
}

// Calls `call` with the words of a vector as a constant, where they are as many as is usual: then
// all vectors of a record are at known distances; else with 0.
template <class Call>
RF_INLINE void with_usual_words(int vector_words, Call call) {
  switch (vector_words) {
    case 8:
      return call(Constant<8>{});
    case 16:
      return call(Constant<16>{});
    case 32:
      return call(Constant<32>{});
    default:
      return call(Constant<0>{});
  }
}

RF_INLINE Floats floats_of(Floats sums) { return sums; }
RF_INLINE Floats floats_of(Ints sums) { return __builtin_convertvector(sums, Floats); }

// The dots of Vectors vectors of a record with a register of the query's, put(v, dots) taking them;
// each sum begins with `start`.
template <int Vectors, int UsualWords, class Kind, class Put>
RF_INLINE void dots_with_turned(const Kind& row, int first, int words, const float* turned,
                                typename Kind::Sum start, Put put) {
  const int vector_words = UsualWords == 0 ? words : UsualWords;
  typename Kind::Sum dots[Vectors];
  RF_UNROLL
  for (int v = 0; v < Vectors; ++v) dots[v] = start;
  for (int s = 0; s < vector_words; ++s) {
    const auto y = Kind::weights(as_words(load(turned + s * kWidth)));
    RF_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      Kind::multiply_add(dots[v], y, row.one((first + v) * vector_words + s));
    }
  }
  RF_UNROLL
  for (int v = 0; v < Vectors; ++v) put(first + v, dots[v]);
}

// The dots of a record's vectors with one of the query's, four at a time, lanes being words. `out`
// has room for up to three more.
template <int UsualWords, class Kind>
RF_INLINE void dots_with_one(const Kind& row, int num_x, int words, const std::uint32_t* y_words,
                             float* out) {
  const int vector_words = UsualWords == 0 ? words : UsualWords;
  for (int v = 0; v < num_x; v += 4) {
    const int now = smaller(4, num_x - v);
    typename Kind::Sum sums[4] = {};
    for (int at = 0; at < vector_words; at += kWidth) {
      const int count = smaller(kWidth, vector_words - at);
      const auto y = Kind::weights(load_first(y_words + at, count));
      RF_UNROLL
      for (int i = 0; i < 4; ++i) {
        const int vector = v + smaller(i, now - 1);
        Kind::multiply_add(sums[i], y, row.consecutive(vector * vector_words + at, count));
      }
    }
    Floats dots[4];
    RF_UNROLL
    for (int i = 0; i < 4; ++i) dots[i] = floats_of(sums[i]);
    lane_sums(dots, out + v);
  }
}

// One value a lane, picked.
template <class Value>
RF_INLINE Floats load_lanes(const Value* values, const std::int64_t (&at)[kWidth]) {
  alignas(64) float picked[kWidth];
  for (int i = 0; i < kWidth; ++i) __builtin_memcpy(&picked[i], values + at[i], sizeof(float));
  return load(picked);
}

// Rounds the query's vectors, each between minus and plus its largest value, and packs them as Int8
// reads weights.
inline void quantise_query(const RecordScoreArgs& args, const RecordScratch& scratch) {
  constexpr float kLargest = 127.0f;
  const int dim = args.shape.dim;
  for (int u = 0; u < args.shape.num_y; ++u) {
    const float* values = args.y + std::ptrdiff_t{u} * dim;
    std::uint32_t* to = scratch.y_words + std::ptrdiff_t{u} * (dim / kInt8PerWord);
    float low, high;
    span_of(values, dim, low, high);
    const float scale = (high > -low ? high : -low) / kLargest;
    const Floats inverse = broadcast(scale > 0.0f ? 1.0f / scale : 0.0f);
    Ints sums = {};
    for (int i = 0; i < dim; i += kWidth) {
      const int count = smaller(kWidth, dim - i);
      const Ints levels = rounded(load_first(values + i, count) * inverse);
      sums += levels;
      store_levels(to + i / kInt8PerWord, as_words(levels), count);
    }
    std::int32_t sum = 0;
    for (int i = 0; i < kWidth; ++i) sum += sums[i];
    scratch.y_levels.scales[u] = scale;
    scratch.y_levels.starts[u] = -kOwnZero * sum;
  }
}

// Dots of each record's vectors with the query's, by DotKind, as Kind reads them: what a layer
// multiplies. `rows` become theirs. Of records' own levels, x_scales are what these are worth.
template <class DotKind, class Kind>
void record_dots(const RecordScoreArgs& args, const RecordScratch& scratch,
                 const std::uint32_t** rows, const float* x_scales = nullptr) {
  using Float32Rows = Format<Storage::kFloat32>;
  constexpr int kMostVectors = kWidth == 16 ? 12 : 8;
  const RecordShape& shape = args.shape;
  const DotsOrder order(shape);
  int vector_words = shape.dim;
  const auto* y_words = reinterpret_cast<const std::uint32_t*>(args.y);
  if constexpr (kIsBFloat16<DotKind>) {
    vector_words = shape.dim / 2;
    round_values(args.y, std::ptrdiff_t{shape.num_y} * shape.dim, scratch.y_words);
    y_words = scratch.y_words;
  }
  if constexpr (DotKind::kIsInteger) {
    vector_words = shape.dim / kInt8PerWord;
    quantise_query(args, scratch);
    y_words = scratch.y_words;
  }
  const auto inputs_of = [&](int lane) {
    return scratch.inputs + std::ptrdiff_t{lane} * scratch.num_inputs;
  };
  const Table vectors{reinterpret_cast<const std::byte*>(y_words), shape.num_y,
                      std::int64_t{4} * vector_words, vector_words, Storage::kFloat32};
  const int num_chunks = (order.num_x + kMostVectors - 1) / kMostVectors;
  for (int r = 0; r < order.num_registers; ++r) {
    std::int64_t turned_rows[kWidth];
    for (int i = 0; i < kWidth; ++i) turned_rows[i] = smaller(r * kWidth + i, shape.num_y - 1);
    gather_lanes<Float32Rows>(vectors, turned_rows, 0, vector_words,
                              ToFloats<Float32Rows>{scratch.turned, kWidth});
    typename DotKind::Sum start = {};
    Floats y_scales = {};
    if constexpr (DotKind::kIsInteger) {
      start = as_ints(as_words(load_lanes(scratch.y_levels.starts, turned_rows)));
      y_scales = load_lanes(scratch.y_levels.scales, turned_rows);
    }
    for (int chunk = 0, v = 0; chunk < num_chunks; ++chunk) {
      const int left = num_chunks - chunk;
      const int now = (order.num_x - v + left - 1) / left;
      with_constant<kMostVectors>(now, [&](auto constant) {
        with_usual_words(vector_words, [&](auto usual) {
          for (int lane = 0; lane < args.lanes; ++lane) {
            std::uint32_t* to = inputs_of(lane);
            dots_with_turned<decltype(constant)::value, decltype(usual)::value>(
                row_kind<DotKind>(rows[lane]), v, vector_words, scratch.turned, start,
                [&](int vector, auto sums) {
                  Floats dots = floats_of(sums);
                  if constexpr (DotKind::kIsInteger) dots *= y_scales * broadcast(x_scales[lane]);
                  put_register<Kind>(dots, (r * order.num_x + vector) * kWidth, to);
                });
          }
        });
      });
      v += now;
    }
  }
  const int first_left = order.num_y - order.num_left;
  constexpr int kPer = kIsBFloat16<Kind> ? 2 : 1;
  with_usual_words(vector_words, [&](auto usual) {
    for (int lane = 0; lane < args.lanes; ++lane) {
      float* left = scratch.left + std::ptrdiff_t{lane} * scratch.num_left;
      for (int u = 0; u < order.num_left; ++u) {
        dots_with_one<decltype(usual)::value>(
            row_kind<DotKind>(rows[lane]), order.num_x, vector_words,
            y_words + (first_left + u) * std::ptrdiff_t{vector_words}, left + u * order.num_x);
        if constexpr (DotKind::kIsInteger) {
          const auto start = static_cast<float>(scratch.y_levels.starts[first_left + u]);
          const float scale = scratch.y_levels.scales[first_left + u] * x_scales[lane];
          float* dots = left + u * order.num_x;
          for (int v = 0; v < order.num_x; ++v) dots[v] = (dots[v] + start) * scale;
        }
      }
    }
  });
  for (int lane = 0; lane < args.lanes; ++lane) {
    put_values<Kind>(scratch.left + std::ptrdiff_t{lane} * scratch.num_left,
                     order.num_left * order.num_x, inputs_of(lane) + order.in_lanes() / kPer);
    rows[lane] = inputs_of(lane);
  }
}

// Columns of the records as a kind of arithmetic reads them, copied.
template <class Kind>
void record_values(const RecordScoreArgs& args, const RecordScratch& scratch,
                   const std::uint32_t** rows) {
  copy_records(args, args.start, args.shape.width, scratch.values, scratch.width);
  for (int lane = 0; lane < args.lanes; ++lane) {
    const float* values = scratch.values + std::ptrdiff_t{lane} * scratch.width;
    rows[lane] = reinterpret_cast<const std::uint32_t*>(values);
    if constexpr (kIsBFloat16<Kind>) {
      std::uint32_t* words = scratch.inputs + std::ptrdiff_t{lane} * scratch.num_inputs;
      put_values<Kind>(values, args.shape.width, words);
      rows[lane] = words;
    }
  }
}

// Dots as Kind reads them; of vectors stored in bfloat16 they are made by LowKind.
template <class Kind, class LowKind>
void prepare_dots_of(const RecordScoreArgs& args, const RecordScratch& scratch,
                     const std::uint32_t** rows) {
  if constexpr (kIsBFloat16<LowKind>) {
    if (args.shape.dim % 2 == 0 && find_in_place(args, Storage::kBFloat16, rows)) {
      return record_dots<BFloat16, Kind>(args, scratch, rows);
    }
  }
  if (!find_in_place(args, Storage::kFloat32, rows)) record_values<Float32>(args, scratch, rows);
  record_dots<Float32, Kind>(args, scratch, rows);
}

template <class Kind>
void prepare_inputs(const RecordScoreArgs& args, const RecordScratch& scratch,
                    const std::uint32_t** rows) {
  constexpr Storage kWanted = kIsBFloat16<Kind> ? Storage::kBFloat16 : Storage::kFloat32;
  if (args.shape.num_y != 0) return prepare_dots_of<Kind, Kind>(args, scratch, rows);
  const bool whole_words = !kIsBFloat16<Kind> || args.shape.width % 2 == 0;
  if (!whole_words || !find_in_place(args, kWanted, rows)) {
    record_values<Kind>(args, scratch, rows);
  }
}

inline void prepare_constants(const RecordScoreArgs& args, const RecordScratch& scratch,
                              RecordInputs& inputs) {
  const Table& records = args.records;
  for (const std::byte*& each : inputs.constants) each = nullptr;
  if (args.constant < 0) return;
  if (records.storage == Storage::kFloat32 || records.storage == Storage::kBFloat16) {
    inputs.constants_are = records.storage;
    const int value_bytes = records.storage == Storage::kBFloat16 ? 2 : 4;
    for (int lane = 0; lane < args.lanes; ++lane) {
      inputs.constants[lane] =
          row_of(records, args.rows[lane]) + std::ptrdiff_t{args.constant} * value_bytes;
    }
    return;
  }
  copy_records(args, args.constant, args.shape.num_outputs, scratch.constants,
               scratch.num_outputs);
  for (int lane = 0; lane < args.lanes; ++lane) {
    inputs.constants[lane] = reinterpret_cast<const std::byte*>(
        scratch.constants + std::ptrdiff_t{lane} * scratch.num_outputs);
  }
}

}  // namespace recfunnel::RECFUNNEL_SET
