// A program: instructions over tiles, with the packed weights and the tables they use.
//
// Two lists: `query` runs once a query, `block` for each block of candidates. Every method that adds
// an instruction checks it against the arenas and arrays, so that a program that exists can be run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.hpp"
#include "memory.hpp"

namespace recfunnel {

class ComputedTable;
class HotRows;

// A program that contradicts itself or its arrays.
struct ProgramError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Rows of an arena: of the block's, or of the query's.
struct Tile {
  bool per_block = false;
  std::int32_t row = 0;
  std::int32_t width = 0;   // values
  bool pairs = false;       // bfloat16, two values a row

  std::int32_t rows() const { return pairs ? (width + 1) / 2 : width; }
};

enum class Op : std::uint8_t {
  kLookup, kPool, kRowSum, kDense, kGiven, kRecord, kAffine, kLinear, kBuildCross, kBuildScaled,
  kRelu, kAdd, kMultiply, kCopy, kPairDots, kCrossDots, kRecordScore,
};

const char* name_of(Op op);

enum class Norm : std::uint8_t { kSum, kMean, kL2 };

inline constexpr std::int32_t kNone = -1;

// Neighbouring columns that go to neighbouring rows of a tile.
struct Run {
  std::int32_t start = 0;
  std::int32_t width = 0;
};

struct Instruction {
  Op op = Op::kCopy;
  bool relu = false;
  bool has_addend = false;
  Norm norm = Norm::kSum;
  Tile out, x, y;              // y: second operand, or addend
  std::int32_t column = kNone;  // of categorical or multi-valued features; of ids in RowSum
  std::int32_t list = kNone;    // RowSum: multi-valued column of the context
  std::int32_t table = kNone;
  std::int32_t matrix = kNone;  // packed weights
  std::int32_t slot = kNone;    // matrix built for the query
  std::int32_t base = kNone;    // BuildScaled: packed base
  std::int32_t start = 0;       // Record, RecordScore: first column
  std::int32_t width = 0;       // RecordScore: columns
  std::int32_t constant = kNone;  // RecordScore: first column of what sums begin with
  std::int32_t head = kNone;      // RecordScore: index of a vector
  std::int32_t head_bias = kNone;
  std::int32_t dim = 0;
  std::int32_t bias = kNone;     // index of a vector
  Tile bias_at;                  // of the query; width 0: none
  std::int32_t subtract = kNone;  // index of a vector
  std::int32_t scale = kNone;     // index of a vector
  std::vector<std::int32_t> columns;  // Dense
  std::vector<Run> runs;              // Dense: the same columns, neighbours together
  std::int32_t id_slot = kNone;  // block Lookup and RowSum: place in the block's buffer of ids
  std::int32_t computed = kNone;  // Lookup, Pool and RowSum of a computed table: its input
};

// Ids that look up rows of a computed table: a feature of one side.
struct ComputedInput {
  std::int32_t table = kNone;
  std::int32_t column = kNone;
  bool of_items = false;
  bool listed = false;  // a multi-valued feature
};

// A matrix that is built for each query.
struct Slot {
  std::int32_t num_outputs = 0;
  std::int32_t num_inputs = 0;
  Precision precision = Precision::kFloat32;
  std::size_t offset = 0;  // bytes into the query's matrix memory
};

// Numbers somewhere in memory, kept alive by their owner.
struct Array {
  const void* data = nullptr;
  std::vector<std::int64_t> shape;
  std::int32_t item_bytes = 0;
  bool is_float32 = false;
  std::shared_ptr<const void> owner;
};

struct FeatureNames {
  std::vector<std::string> categorical, dense, multi_valued;
};

// Rows of a table from an array; throws ProgramError where they do not fit the storage.
Table make_table(const Array& rows, const std::string& storage);

class Program {
 public:
  // isa: name of a kernel set; empty takes the best.
  Program(std::int32_t query_rows, std::int32_t block_rows, Tile result, const std::string& isa);

  void array(const std::string& name, Array array);  // before what names it
  void table(const std::string& name, const std::string& storage);
  // A table whose rows are made for each call; `hot` holds some of them, and may be null.
  void computed(const std::string& name, std::shared_ptr<const ComputedTable> table,
                std::shared_ptr<const HotRows> hot);
  void context_names(FeatureNames names) { context_ = std::move(names); }
  void item_names(FeatureNames names) { items_ = std::move(names); }

  void lookup(Tile out, int column, const std::string& table);
  void pool(Tile out, int column, const std::string& table, const std::string& norm);
  void row_sum(Tile out, int list_column, int id_column, const std::string& table,
               const std::string& weighting);
  void dense(Tile out, std::vector<std::int32_t> columns);
  void given(Tile out);
  void record(Tile out, int start);
  void affine(Tile out, Tile x, const std::string& subtract, const std::string& scale);
  void linear(Tile out, Tile x, const std::string& weight, bool built, const std::string& precision,
              const std::string& bias, std::optional<Tile> bias_at, std::optional<Tile> addend,
              bool relu);
  void build_cross(const std::string& slot, Tile y, const std::string& weight, int dim,
                   const std::string& precision);
  void build_scaled(const std::string& slot, Tile y, const std::string& weight,
                    const std::string& base, const std::string& precision);
  void relu(Tile out, Tile x);
  void add(Tile out, Tile x, Tile y);
  void multiply(Tile out, Tile x, Tile y);
  void copy(Tile out, Tile x);
  void pair_dots(Tile out, Tile x, int dim);
  void cross_dots(Tile out, Tile x, Tile y, int dim);
  // y: vectors of the query whose dots with the record's are what the layer reads; none: the
  // record's columns themselves. constant: first column of what its sums begin with, or -1.
  void record_score(Tile out, int start, int width, int constant, std::optional<Tile> y, int dim,
                    const std::string& weight, bool built, const std::string& precision,
                    const std::string& bias, std::optional<Tile> bias_at, const std::string& head,
                    const std::string& head_bias);

  struct Computed {
    std::shared_ptr<const ComputedTable> table;
    std::shared_ptr<const HotRows> hot;
  };

  const Kernels& kernels() const { return *kernels_; }
  const std::vector<Instruction>& query() const { return query_; }
  const std::vector<Instruction>& block() const { return block_; }
  std::int32_t query_rows() const { return query_rows_; }
  std::int32_t block_rows() const { return block_rows_; }
  Tile result() const { return result_; }
  std::size_t slot_bytes() const { return slot_bytes_; }
  std::size_t scratch_bytes() const { return scratch_bytes_; }
  std::int32_t given_width() const { return given_width_; }
  std::int32_t record_width() const { return record_width_; }
  const std::vector<std::int32_t>& id_columns() const { return id_columns_; }
  const FeatureNames& context() const { return context_; }
  const FeatureNames& items() const { return items_; }
  std::int32_t num_tables() const { return static_cast<std::int32_t>(tables_.size()); }
  const Table& table_at(std::int32_t index) const { return tables_[index]; }
  const Computed* computed_at(std::int32_t index) const;  // null for a stored table
  const std::vector<ComputedInput>& computed_inputs() const { return computed_inputs_; }
  const float* vector_at(std::int32_t index) const { return vectors_[index].data(); }
  std::int32_t vector_size(std::int32_t index) const {
    return static_cast<std::int32_t>(vectors_[index].size());
  }
  const Matrix& matrix_at(std::int32_t index) const { return matrices_[index]; }
  // BuildCross: `data` is what `pack_cross` made; num_inputs is V·U.
  const Slot& slot_at(std::int32_t index) const { return slots_[index]; }
  RecordShape record_shape(const Instruction& step) const;  // of a RecordScore

 private:
  void check(const Tile& tile, const char* what) const;
  void push(Instruction instruction);
  void push_dots(Instruction instruction, std::int64_t num_x, std::int64_t num_y);
  const Array& found(const std::string& name, const char* what) const;
  std::int32_t table_named(const std::string& name) const;
  std::int32_t vector_named(const std::string& name, std::int32_t width);
  std::int32_t row_named(const std::string& name, std::int32_t width);
  std::int32_t zeros(std::int32_t width);
  std::int32_t packed(const std::string& name, Precision precision);
  std::int32_t packed_for_dots(const std::string& name, const RecordShape& shape,
                               Precision precision);
  std::int32_t packed_cross(const std::string& name, int num_x, int num_y);
  std::int32_t new_slot(const std::string& name, int num_outputs, int num_inputs, Precision);
  std::int32_t id_slot(int column);
  std::int32_t computed_input(const ComputedInput& wanted);  // kNone for a stored table

  const Kernels* kernels_;
  std::int32_t query_rows_, block_rows_;
  Tile result_;
  std::vector<Instruction> query_, block_;
  std::map<std::string, Array> arrays_;
  std::map<std::string, std::int32_t> table_names_, vector_names_, matrix_names_, slot_names_;
  std::vector<Table> tables_;
  std::vector<AlignedVector<float>> vectors_;
  std::vector<AlignedVector<std::byte>> packed_;
  std::vector<Matrix> matrices_;
  std::vector<Slot> slots_;
  std::vector<std::int32_t> id_columns_;
  std::map<std::int32_t, Computed> computed_;  // by index of the table
  std::vector<ComputedInput> computed_inputs_;
  FeatureNames context_, items_;
  std::size_t slot_bytes_ = 0, scratch_bytes_ = 0;
  std::int32_t given_width_ = 0, record_width_ = 0;
};

}  // namespace recfunnel
