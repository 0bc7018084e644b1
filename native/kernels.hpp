// What the ranking engine computes with: a handful of kernels over tiles, one set for each
// instruction set, chosen when the library is loaded.
//
// A *tile* holds float32 values of `lanes` candidates: value k of candidate c is
// tile[k * lanes + c]. `lanes` is 1 (one query, or one candidate) or a multiple of kLanes; a block
// with fewer candidates than lanes is padded by repeating one of them. All arithmetic is laid out
// so that one vector register holds one value of several candidates: no transposing, no horizontal
// sums, and concatenation is a matter of where a kernel writes.
//
// A tile of *pairs* holds bfloat16 numbers, two in a 32-bit word: values 2p and 2p + 1 of candidate
// c are the low and the high half of tile[p * lanes + c]; past an odd number of values stands a 0.
// What is only read as bfloat16 is kept so: it is rounded once, and half as long.
#pragma once

#include <cstddef>
#include <cstdint>

namespace recfunnel {

inline constexpr int kLanes = 16;  // candidates in the smallest block wider than one
inline constexpr int kMaxLanes = 48;

// Of weights; sums are float32. With kBFloat16, inputs are rounded too where the processor
// multiplies bfloat16, else they stay float32. With kInt8, inputs of each candidate are rounded to
// 256 levels between its smallest and largest, and sums are exact for up to kMostInt8Inputs inputs.
enum class Precision : std::uint8_t { kFloat32, kBFloat16, kInt8 };
inline constexpr int kMostInt8Inputs = 66'000;  // 255 · 127 of each, in 32 bits
enum class Storage : std::uint8_t { kFloat32, kFloat16, kBFloat16, kInt8 };

// Rows of an embedding table or of a compiled catalogue. Int8 rows begin with one float32 scale.
struct Table {
  const std::byte* data = nullptr;
  std::int64_t num_rows = 0;
  std::int64_t row_bytes = 0;  // distance between rows
  std::int32_t dim = 0;
  Storage storage = Storage::kFloat32;
};

// Weights (num_outputs, num_inputs), packed by `pack` of the same kernel set and precision.
struct Matrix {
  const void* data = nullptr;
  std::int32_t num_outputs = 0;
  std::int32_t num_inputs = 0;
  Precision precision = Precision::kFloat32;
};

// out = start + matrix · in, then max(·, 0) if `relu`. `start` is the sum of what is given of:
// `bias` (num_outputs values, the same for every lane) and `addend` (a tile, num_outputs rows; may
// be `out` itself).
struct LinearArgs {
  Matrix matrix;
  const void* in = nullptr;  // float32, or pairs (of a bfloat16 matrix)
  void* out = nullptr;       // float32, or pairs
  bool in_pairs = false;
  bool in_levels = false;    // of an int8 matrix: `in` is what `codes` makes
  bool out_pairs = false;
  const float* bias = nullptr;
  const float* addend = nullptr;
  std::int32_t lanes = 1;
  bool relu = false;
  void* scratch = nullptr;  // `linear_scratch_bytes` of it, 64-byte aligned
};

// Dots of vectors of `dim` values each, side by side in tiles: of all pairs of x, in the order
// (1,0), (2,0), (2,1), ...; or of each of x with each of y, x outermost. Of pairs, whose dim is
// even, products are exact and added in float32.
struct DotsArgs {
  const void* x = nullptr;
  const void* y = nullptr;
  void* out = nullptr;
  std::int32_t num_x = 0;
  std::int32_t num_y = 0;
  std::int32_t dim = 0;
  std::int32_t lanes = 1;
  std::int32_t lanes_y = 1;  // `lanes`, or 1
  bool in_pairs = false;     // x
  bool y_in_pairs = false;   // else float32, and rounded here where x is pairs
  bool out_pairs = false;
  void* scratch = nullptr;  // `dots_scratch_bytes` of it, 64-byte aligned
};

// Of pair dots, num_y is num_x.
inline std::size_t dots_scratch_bytes(std::int64_t num_x, std::int64_t num_y, std::int64_t dim) {
  return 4 * static_cast<std::size_t>(num_x * num_y + num_y * dim + kLanes);
}

// What the score of a record is made of: a hidden layer on `width` columns of it or, with `num_y`
// vectors of `dim` numbers from the query, on the dots of each vector of these columns with each of
// those.
struct RecordShape {
  std::int32_t width = 0;        // columns
  std::int32_t num_y = 0, dim = 1;
  std::int32_t num_outputs = 0;  // of the hidden layer, a multiple of kRecordOutputs

  int num_inputs() const { return num_y == 0 ? width : width / dim * num_y; }
};
inline constexpr int kRecordOutputs = 16;

// out = head_bias + head · max(constant + bias + weights · x, 0), one a record.
struct RecordScoreArgs {
  RecordShape shape;
  Table records;
  const std::int64_t* rows = nullptr;  // one a lane
  std::int32_t lanes = 1;
  std::int32_t start = 0;           // first column of x, or of the vectors
  std::int32_t constant = -1;       // first of num_outputs columns; below 0: none
  const float* y = nullptr;         // vectors of the query
  const void* weights = nullptr;    // packed; of dots, in `record_order`
  Precision precision = Precision::kFloat32;
  const float* bias = nullptr;      // num_outputs
  const float* head = nullptr;      // num_outputs
  float head_bias = 0;
  float* out = nullptr;             // lanes
  void* scratch = nullptr;          // `record_scratch_bytes` of it, 64-byte aligned
};

// The k-th largest of some values.
struct KthLargest {
  float value;
  int num_above;  // that are larger, fewer than k
};

// Functions of an id, each with a whole number from 0 to num_values - 1, m - 1 for short. Without
// primes code j of x is (multipliers[j] · mixed(x ^ seed_mix) + addends[j]) >> shift, in 32 bits,
// where `mixed` is murmur3's finaliser; with primes ((multipliers[j] · x + addends[j]) mod
// primes[j]) mod m, multipliers and addends below primes[j], primes below 2^31.
struct Hashes {
  std::int32_t num_codes = 0;
  std::int32_t num_values = 0;
  std::uint32_t seed_mix = 0;
  std::int32_t shift = 0;
  const std::uint32_t* multipliers = nullptr;
  const std::uint32_t* addends = nullptr;
  const std::int64_t* primes = nullptr;  // null: none
  const double* inverses = nullptr;      // 1 / primes
};

// The codes themselves; 2c - (m - 1) as float32 or as pairs (exact for m up to 256); or what an int8
// layer reads, for m up to 256: codes, then `level_scale` and `level_zero` of every lane.
enum class CodeForm : std::uint8_t { kIntegers, kCentred, kPairs, kLevels };

// A tile of codes, one row a function.
struct CodesArgs {
  const Hashes* hashes = nullptr;
  const std::uint32_t* ids = nullptr;  // one a lane
  std::int32_t lanes = 1;
  CodeForm form = CodeForm::kIntegers;
  float level_scale = 1;
  std::int32_t level_zero = 0;
  void* out = nullptr;
};

struct Kernels {
  const char* name;  // avx512_bf16, avx512, avx2, portable

  // Packing. `weight` is row-major (num_outputs, num_inputs) float32.
  std::size_t (*packed_bytes)(int num_outputs, int num_inputs, Precision);
  void (*pack)(const float* weight, int num_outputs, int num_inputs, Precision, void* packed);

  std::size_t (*linear_scratch_bytes)(int num_inputs, int lanes, Precision);
  void (*linear)(const LinearArgs&);

  // Packed matrix of CrossLinear, (N, V·d), from y = U vectors (lanes 1):
  //   M[n][v·d + i] = sum over u of weight[n][v·U + u] · y[u·d + i].
  // `weight_cross` is `pack_cross` of weight (N, V·U). `packed` has packed_bytes(N, V·d,
  // precision).
  std::size_t (*packed_cross_bytes)(int num_outputs, int num_x, int num_y);
  void (*pack_cross)(const float* weight, int num_outputs, int num_x, int num_y, void* packed);
  void (*build_cross)(const void* weight_cross, const float* y, int num_outputs, int num_x,
                      int num_y, int dim, Precision, void* packed);
  // Packed matrix of ScaledLinear, (N, K): base[n][k] + weight[n][k] · y[k]; base and weight are
  // packed as float32 by `pack`; base may be null.
  void (*build_scaled)(const void* base, const void* weight, const float* y, int num_outputs,
                       int num_inputs, Precision, void* packed);

  // Tile rows 0 .. dim-1 from one table row a lane. `rows` are checked before.
  void (*gather)(const Table&, const std::int64_t* rows, int lanes, float* out);
  // The same to pairs.
  void (*gather_pairs)(const Table&, const std::int64_t* rows, int lanes, std::uint32_t* out);
  // Columns [start, start + width) of records, one a lane.
  void (*gather_columns)(const Table&, const std::int64_t* rows, int start, int width, int lanes,
                         float* out);
  void (*prefetch)(const Table&, const std::int64_t* rows, int count);
  void (*touch)(const Table&, std::int64_t first, int count);
  // out (dim values, contiguous) += weight[i] · table[row[i]] over i; out is set to 0 first.
  void (*pool)(const Table&, const std::int64_t* rows, const float* weights, std::int64_t count,
               float* out);

  void (*pair_dots)(const DotsArgs&);   // of x
  void (*cross_dots)(const DotsArgs&);  // of x with y

  // Elementwise over `width` rows; y has `lanes_y` = lanes, or 1 (one value a row, all lanes).
  void (*add)(const float* x, const float* y, int width, int lanes, int lanes_y, float* out);
  void (*multiply)(const float* x, const float* y, int width, int lanes, int lanes_y, float* out);
  // x · scale[row] + shift[row].
  void (*affine)(const float* x, const float* scale, const float* shift, int width, int lanes,
                 float* out);
  void (*relu)(const float* x, int width, int lanes, float* out);
  void (*sigmoid)(const float* x, int width, int lanes, float* out);
  void (*mish)(const float* x, int width, int lanes, float* out);

  // Of `out`, whatever the form: linear_scratch_bytes(num_codes, lanes, kInt8) bytes for kLevels,
  // four bytes a code and lane for the rest.
  void (*codes)(const CodesArgs&);

  // With kBFloat16 inputs are rounded too and, where records are stored so, the vectors whose dots
  // are taken. With kInt8 the levels of records stored so are the inputs, or are multiplied with the
  // query's vectors rounded to levels too; other inputs, and dots, are rounded.
  std::size_t (*record_scratch_bytes)(const RecordShape&, int lanes);
  void (*record_scores)(const RecordScoreArgs&);
  // How many inputs a layer on dots is packed with, and where each stands among (record's vector,
  // query's vector), -1 for one whose weights are 0. `order` may be null.
  int (*record_order)(const RecordShape&, std::int32_t* order);

  // Appends (value, position) of values above *threshold to the buffer; returns the new count.
  int (*collect_above)(const float* values, int count, float threshold, std::int64_t first_position,
                       float* kept_values, std::int64_t* kept_positions, int kept);
  // Of finite values, 1 <= k <= count.
  KthLargest (*kth_largest)(const float* values, int count, int k);
  // Leaves, in their order, the values above `bound` and the first `most_equal` of those that equal
  // it, and their positions; returns how many.
  int (*keep_from)(float* values, std::int64_t* positions, int count, float bound, int most_equal);
};

// The best set this processor can run, or the one named by RECFUNNEL_ISA.
// Throws std::runtime_error naming the instruction set and the processor's, if it cannot run it.
const Kernels& kernels();
// By name; throws std::invalid_argument for an unknown name, std::runtime_error as above.
const Kernels& kernels_named(const char* name);

}  // namespace recfunnel
