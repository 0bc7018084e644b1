#include "program.hpp"

#include <algorithm>
#include <cstring>

#include "computed.hpp"

namespace recfunnel {
namespace {

Precision precision_named(const std::string& name) {
  if (name == "float32") return Precision::kFloat32;
  if (name == "bfloat16") return Precision::kBFloat16;
  if (name == "int8") return Precision::kInt8;
  throw ProgramError("no precision is called '" + name + "'; known: float32, bfloat16, int8");
}

Storage storage_named(const std::string& name) {
  if (name == "float32") return Storage::kFloat32;
  if (name == "float16") return Storage::kFloat16;
  if (name == "bfloat16") return Storage::kBFloat16;
  if (name == "int8") return Storage::kInt8;
  throw ProgramError("rows cannot be stored as '" + name +
                     "'; known: float32, float16, bfloat16, int8");
}

Norm norm_named(const std::string& name) {
  if (name == "sum") return Norm::kSum;
  if (name == "mean") return Norm::kMean;
  if (name == "l2") return Norm::kL2;
  throw ProgramError("no norm is called '" + name + "'; known: sum, mean, l2");
}

void require(bool condition, const std::string& message) {
  if (!condition) throw ProgramError(message);
}

void require_width(std::int64_t has, std::int64_t wants, const char* what) {
  require(has == wants, std::string(what) + " is " + std::to_string(has) + " wide, must be " +
                            std::to_string(wants));
}

Instruction make(Op op, Tile out, Tile x = {}, Tile y = {}) {
  Instruction made;
  made.op = op;
  made.out = out;
  made.x = x;
  made.y = y;
  return made;
}

// One part of an arena may be read and written at once only as a whole.
bool overlap(const Tile& a, const Tile& b) {
  return a.per_block == b.per_block && a.row < b.row + b.rows() && b.row < a.row + a.rows();
}

void require_apart(const Tile& out, const Tile& x, const char* what) {
  require(!overlap(out, x), std::string("the result of ") + what + " lies on what it reads");
}

void require_apart_or_same(const Tile& out, const Tile& x, const char* what) {
  if (out.row != x.row || out.per_block != x.per_block) require_apart(out, x, what);
}

}  // namespace

const char* name_of(Op op) {
  static constexpr const char* kNames[] = {
      "lookup", "pool",        "row_sum",      "dense", "given", "record",   "affine",
      "linear", "build_cross", "build_scaled", "relu",  "add",   "multiply", "copy",
      "pair_dots", "cross_dots", "record_score"};
  return kNames[static_cast<int>(op)];
}

Table make_table(const Array& rows, const std::string& storage) {
  Table table;
  table.storage = storage_named(storage);
  const int item = table.storage == Storage::kFloat32 ? 4 : table.storage == Storage::kInt8 ? 1 : 2;
  require(rows.shape.size() == 2 && rows.item_bytes == item,
          "rows stored as " + storage + " must be a matrix of items of " + std::to_string(item) +
              " bytes");
  const std::int64_t head = table.storage == Storage::kInt8 ? 4 : 0;
  require(rows.shape[1] > head && rows.shape[1] < (1 << 30), "rows of a table must hold numbers");
  table.data = static_cast<const std::byte*>(rows.data);
  table.num_rows = rows.shape[0];
  table.row_bytes = rows.shape[1] * item;
  table.dim = static_cast<std::int32_t>(rows.shape[1] - head);
  return table;
}

Program::Program(std::int32_t query_rows, std::int32_t block_rows, Tile result,
                 const std::string& isa)
    : kernels_(isa.empty() ? &recfunnel::kernels() : &kernels_named(isa.c_str())),
      query_rows_(query_rows),
      block_rows_(block_rows),
      result_(result) {
  require(query_rows >= 0 && block_rows >= 0 && query_rows < (1 << 28) && block_rows < (1 << 24),
          "a program's arenas have from 0 to 16 million rows");
  check(result, "the result");
  require(result.per_block && result.width >= 1 && !result.pairs,
          "the result must be a tile of the block, in float32");
}

void Program::check(const Tile& tile, const char* what) const {
  const std::int64_t rows = tile.per_block ? block_rows_ : query_rows_;
  require(tile.row >= 0 && tile.width >= 0 && tile.width < (1 << 30) &&
              std::int64_t{tile.row} + tile.rows() <= rows,
          std::string(what) + ": rows " + std::to_string(tile.row) + " to " +
              std::to_string(std::int64_t{tile.row} + tile.rows()) + " of an arena of " +
              std::to_string(rows));
}

void Program::push(Instruction instruction) {
  check(instruction.out, name_of(instruction.op));
  check(instruction.x, name_of(instruction.op));
  check(instruction.y, name_of(instruction.op));
  check(instruction.bias_at, name_of(instruction.op));
  const auto takes_pairs = {Op::kLookup, Op::kLinear, Op::kCopy, Op::kPairDots, Op::kCrossDots};
  const bool has_pairs = instruction.out.pairs || instruction.x.pairs || instruction.y.pairs;
  require(!has_pairs || (instruction.out.per_block && std::ranges::count(takes_pairs, instruction.op)),
          std::string(name_of(instruction.op)) + " of pairs of bfloat16 is not known");
  const bool builds = instruction.op == Op::kBuildCross || instruction.op == Op::kBuildScaled;
  if (!instruction.out.per_block) {
    require(!instruction.x.per_block && !instruction.y.per_block,
            std::string(name_of(instruction.op)) + " of the query reads a block's tile");
  }
  (instruction.out.per_block && !builds ? block_ : query_).push_back(std::move(instruction));
}

const Array& Program::found(const std::string& name, const char* what) const {
  const auto place = arrays_.find(name);
  require(place != arrays_.end(), std::string("no array is called '") + name + "', read by " + what);
  return place->second;
}

void Program::array(const std::string& name, Array array) { arrays_[name] = std::move(array); }

void Program::table(const std::string& name, const std::string& storage) {
  tables_.push_back(make_table(found(name, "a table"), storage));
  table_names_[name] = static_cast<std::int32_t>(tables_.size() - 1);
}

void Program::computed(const std::string& name, std::shared_ptr<const ComputedTable> table,
                       std::shared_ptr<const HotRows> hot) {
  Table rows;  // without data: a call's own
  rows.num_rows = table->num_ids();
  rows.dim = table->dim();
  rows.row_bytes = std::int64_t{4} * rows.dim;
  tables_.push_back(rows);
  const auto index = static_cast<std::int32_t>(tables_.size() - 1);
  table_names_[name] = index;
  computed_[index] = {std::move(table), std::move(hot)};
}

const Program::Computed* Program::computed_at(std::int32_t index) const {
  const auto place = computed_.find(index);
  return place == computed_.end() ? nullptr : &place->second;
}

std::int32_t Program::computed_input(const Instruction& step, bool listed) {
  if (!computed_.contains(step.table)) return kNone;
  const ComputedInput wanted{step.table, step.column, step.out.per_block, listed};
  for (std::size_t i = 0; i < computed_inputs_.size(); ++i) {
    const ComputedInput& known = computed_inputs_[i];
    if (known.table == wanted.table && known.column == wanted.column &&
        known.of_items == wanted.of_items && known.listed == wanted.listed) {
      return static_cast<std::int32_t>(i);
    }
  }
  computed_inputs_.push_back(wanted);
  return static_cast<std::int32_t>(computed_inputs_.size() - 1);
}

std::int32_t Program::table_named(const std::string& name) const {
  const auto place = table_names_.find(name);
  require(place != table_names_.end(), "no table is called '" + name + "'");
  return place->second;
}

std::int32_t Program::vector_named(const std::string& name, std::int32_t width) {
  if (name.empty()) return kNone;
  const Array& array = found(name, "a vector");
  require(array.is_float32 && array.shape.size() == 1, "'" + name + "' must be a float32 vector");
  if (width != kNone) require_width(array.shape[0], width, name.c_str());
  const auto [place, is_new] =
      vector_names_.try_emplace(name, static_cast<std::int32_t>(vectors_.size()));
  if (is_new) {
    const auto* data = static_cast<const float*>(array.data);
    vectors_.emplace_back(data, data + array.shape[0]);
  }
  return place->second;
}

namespace {

void require_summable(const std::string& name, std::int64_t num_inputs, Precision precision) {
  require(precision != Precision::kInt8 || num_inputs <= kMostInt8Inputs,
          "'" + name + "' has " + std::to_string(num_inputs) + " inputs, int8 adds up at most " +
              std::to_string(kMostInt8Inputs) + "; take bfloat16");
}

}  // namespace
// The one output of a layer, as a vector.
std::int32_t Program::row_named(const std::string& name, std::int32_t width) {
  const Array& array = found(name, "a head");
  require(array.is_float32 && array.shape.size() == 2 && array.shape[0] == 1,
          "'" + name + "' must be a float32 matrix of one output");
  require_width(array.shape[1], width, name.c_str());
  const auto* data = static_cast<const float*>(array.data);
  vectors_.emplace_back(data, data + array.shape[1]);
  return static_cast<std::int32_t>(vectors_.size() - 1);
}

std::int32_t Program::zeros(std::int32_t width) {
  vectors_.emplace_back(static_cast<std::size_t>(width), 0.0f);
  return static_cast<std::int32_t>(vectors_.size() - 1);
}

std::int32_t Program::packed(const std::string& name, Precision precision) {
  const std::string key = name + " " + std::to_string(static_cast<int>(precision));
  const auto place = matrix_names_.find(key);
  if (place != matrix_names_.end()) return place->second;
  const Array& array = found(name, "a layer");
  require(array.is_float32 && array.shape.size() == 2 && array.shape[0] > 0 &&
              array.shape[0] < (1 << 24) && array.shape[1] < (1 << 24),
          "'" + name + "' must be a float32 matrix with outputs");
  require_summable(name, array.shape[1], precision);
  Matrix matrix{nullptr, static_cast<std::int32_t>(array.shape[0]),
                static_cast<std::int32_t>(array.shape[1]), precision};
  if (matrix.num_inputs > 0) {
    const int outputs = matrix.num_outputs, inputs = matrix.num_inputs;
    packed_.emplace_back(kernels_->packed_bytes(outputs, inputs, precision) + kCacheLine);
    kernels_->pack(static_cast<const float*>(array.data), outputs, inputs, precision,
                   packed_.back().data());
    matrix.data = packed_.back().data();
    for (int lanes : {1, 16, 32, 48}) {
      scratch_bytes_ =
          std::max(scratch_bytes_, kernels_->linear_scratch_bytes(inputs, lanes, precision));
    }
  }
  matrices_.push_back(matrix);
  return matrix_names_[key] = static_cast<std::int32_t>(matrices_.size() - 1);
}

// A layer on dots, its inputs in the order in which a record's are made.
std::int32_t Program::packed_for_dots(const std::string& name, const RecordShape& shape,
                                      Precision precision) {
  const Array& array = found(name, "a layer");
  require(array.is_float32 && array.shape.size() == 2, "'" + name + "' must be a float32 matrix");
  require_width(array.shape[1], shape.num_inputs(), name.c_str());
  std::vector<std::int32_t> order(kernels_->record_order(shape, nullptr));
  kernels_->record_order(shape, order.data());
  const auto* from = static_cast<const float*>(array.data);
  auto ordered = std::make_shared<std::vector<float>>();
  for (std::int64_t output = 0; output < array.shape[0]; ++output) {
    for (std::int32_t input : order) {
      ordered->push_back(input < 0 ? 0.0f : from[output * array.shape[1] + input]);
    }
  }
  Array made = array;
  made.data = ordered->data();
  made.shape[1] = static_cast<std::int64_t>(order.size());
  made.owner = ordered;
  const std::string own_name = name + " on " + std::to_string(shape.num_y) + " vectors of " +
                               std::to_string(shape.dim);
  arrays_[own_name] = made;
  const std::int32_t place = packed(own_name, precision);
  arrays_.erase(own_name);
  return place;
}

std::int32_t Program::packed_cross(const std::string& name, int num_x, int num_y) {
  const std::string key = name + " crossed " + std::to_string(num_x);
  const auto place = matrix_names_.find(key);
  if (place != matrix_names_.end()) return place->second;
  const Array& array = found(name, "a layer");
  require(array.is_float32 && array.shape.size() == 2 && array.shape[0] > 0,
          "'" + name + "' must be a float32 matrix with outputs");
  require_width(array.shape[1], std::int64_t{num_x} * num_y, name.c_str());
  const int outputs = static_cast<int>(array.shape[0]);
  packed_.emplace_back(kernels_->packed_cross_bytes(outputs, num_x, num_y) + kCacheLine);
  kernels_->pack_cross(static_cast<const float*>(array.data), outputs, num_x, num_y,
                       packed_.back().data());
  matrices_.push_back({packed_.back().data(), outputs, num_x * num_y, Precision::kFloat32});
  return matrix_names_[key] = static_cast<std::int32_t>(matrices_.size() - 1);
}

std::int32_t Program::new_slot(const std::string& name, int num_outputs, int num_inputs,
                               Precision precision) {
  require(!slot_names_.contains(name), "the slot '" + name + "' is built twice");
  require_summable(name, num_inputs, precision);
  slots_.push_back({num_outputs, num_inputs, precision, slot_bytes_});
  slot_bytes_ += round_up(kernels_->packed_bytes(num_outputs, num_inputs, precision), kCacheLine) +
                 kCacheLine;
  for (int lanes : {1, 16, 32, 48}) {
    scratch_bytes_ =
        std::max(scratch_bytes_, kernels_->linear_scratch_bytes(num_inputs, lanes, precision));
  }
  return slot_names_[name] = static_cast<std::int32_t>(slots_.size() - 1);
}

std::int32_t Program::id_slot(int column) {
  const auto place = std::find(id_columns_.begin(), id_columns_.end(), column);
  if (place == id_columns_.end()) {
    id_columns_.push_back(column);
    return static_cast<std::int32_t>(id_columns_.size() - 1);
  }
  return static_cast<std::int32_t>(place - id_columns_.begin());
}

void Program::lookup(Tile out, int column, const std::string& table) {
  Instruction made = make(Op::kLookup, out);
  made.table = table_named(table);
  made.column = column;
  require(column >= 0, "lookup reads a column before the first");
  require_width(out.width, tables_[made.table].dim, "a looked-up row");
  made.computed = computed_input(made, false);
  if (out.per_block && made.computed == kNone) made.id_slot = id_slot(column);
  push(std::move(made));
}

void Program::pool(Tile out, int column, const std::string& table, const std::string& norm) {
  Instruction made = make(Op::kPool, out);
  made.norm = norm_named(norm);
  made.table = table_named(table);
  made.column = column;
  require(column >= 0, "pool reads a column before the first");
  require_width(out.width, tables_[made.table].dim, "a pooled row");
  made.computed = computed_input(made, true);
  push(std::move(made));
}

void Program::row_sum(Tile out, int list_column, int id_column, const std::string& table,
                      const std::string& weighting) {
  Instruction made = make(Op::kRowSum, out);
  made.table = table_named(table);
  made.list = list_column;
  made.column = id_column;
  made.scale = vector_named(weighting, kNone);
  require(out.per_block && list_column >= 0 && id_column >= 0,
          "row_sum runs for blocks, on columns from 0");
  require(tables_[made.table].storage == Storage::kFloat32, "row_sum reads a float32 table");
  require(!computed_.contains(made.table), "row_sum reads a stored table, not a computed one");
  require(made.scale == kNone || vector_size(made.scale) > 0, "row_sum's weighting is empty");
  require_width(out.width, 1, "a row sum");
  made.id_slot = id_slot(id_column);
  push(std::move(made));
}

void Program::dense(Tile out, std::vector<std::int32_t> columns) {
  require_width(out.width, static_cast<std::int64_t>(columns.size()), "dense features");
  for (std::int32_t column : columns) require(column >= 0, "dense reads a column before the first");
  Instruction made = make(Op::kDense, out);
  for (std::int32_t column : columns) {
    if (!made.runs.empty() && column == made.runs.back().start + made.runs.back().width) {
      ++made.runs.back().width;
    } else {
      made.runs.push_back({column, 1});
    }
  }
  made.columns = std::move(columns);
  push(std::move(made));
}

void Program::given(Tile out) {
  require(out.per_block, "given scores are read for blocks");
  require(given_width_ == 0 || given_width_ == out.width, "given scores are read in two widths");
  given_width_ = out.width;
  push(make(Op::kGiven, out));
}

void Program::record(Tile out, int start) {
  require(out.per_block && start >= 0 && start < (1 << 24), "records are read for blocks, from 0");
  record_width_ = std::max(record_width_, start + out.width);
  Instruction made = make(Op::kRecord, out);
  made.start = start;
  push(std::move(made));
}

void Program::affine(Tile out, Tile x, const std::string& subtract, const std::string& scale) {
  require_width(x.width, out.width, "what affine reads");
  require(x.per_block == out.per_block, "affine stays within its arena");
  require_apart_or_same(out, x, "affine");
  Instruction made = make(Op::kAffine, out, x);
  made.subtract = vector_named(subtract, out.width);
  made.scale = vector_named(scale, out.width);
  push(std::move(made));
}

void Program::linear(Tile out, Tile x, const std::string& weight, bool built,
                     const std::string& precision, const std::string& bias,
                     std::optional<Tile> bias_at, std::optional<Tile> addend, bool relu) {
  Instruction made = make(Op::kLinear, out, x);
  made.relu = relu;
  require(x.per_block == out.per_block, "a layer stays within its arena");
  require_apart(out, x, "a layer");
  if (built) {
    const auto place = slot_names_.find(weight);
    require(place != slot_names_.end(), "the slot '" + weight + "' was not built");
    require(out.per_block, "a built matrix is for blocks");
    made.slot = place->second;
    require_width(out.width, slots_[made.slot].num_outputs, "a layer's result");
    require_width(x.width, slots_[made.slot].num_inputs, "a layer's input");
  } else {
    made.matrix = packed(weight, precision_named(precision));
    require_width(out.width, matrices_[made.matrix].num_outputs, "a layer's result");
    require_width(x.width, matrices_[made.matrix].num_inputs, "a layer's input");
  }
  const Precision precise = built ? slots_[made.slot].precision : matrices_[made.matrix].precision;
  require(!x.pairs || precise == Precision::kBFloat16, "a layer of pairs multiplies in bfloat16");
  made.bias = vector_named(bias, out.width);
  if (bias_at) {
    require(!bias_at->per_block && made.bias == kNone, "a layer's bias is a vector or a query tile");
    require_width(bias_at->width, out.width, "a layer's bias");
    require_apart(out, *bias_at, "a layer");
    made.bias_at = *bias_at;
  }
  if (addend) {
    require(addend->per_block == out.per_block && !addend->pairs,
            "a layer's addend is of the same arena, in float32");
    require(!out.pairs || !overlap(out, *addend), "a layer of pairs lies on its addend");
    require_width(addend->width, out.width, "a layer's addend");
    require_apart_or_same(out, *addend, "a layer");
    made.y = *addend;
    made.has_addend = true;
  }
  push(std::move(made));
}

void Program::build_cross(const std::string& slot, Tile y, const std::string& weight, int dim,
                          const std::string& precision) {
  require(dim >= 1 && y.width >= dim && y.width % dim == 0 && !y.per_block,
          "build_cross reads whole vectors of the query");
  const Array& array = found(weight, "build_cross");
  const int num_y = y.width / dim;
  require(array.shape.size() == 2 && array.shape[1] > 0 && array.shape[1] % num_y == 0 &&
              array.shape[1] / num_y < (1 << 24) / dim,
          "'" + weight + "' does not fit the vectors it is crossed with");
  const int num_x = static_cast<int>(array.shape[1] / num_y);
  Instruction made = make(Op::kBuildCross, {}, {}, y);
  made.dim = dim;
  made.start = num_x;
  made.matrix = packed_cross(weight, num_x, num_y);
  made.slot = new_slot(slot, matrices_[made.matrix].num_outputs, num_x * dim,
                       precision_named(precision));
  push(std::move(made));
}

void Program::build_scaled(const std::string& slot, Tile y, const std::string& weight,
                           const std::string& base, const std::string& precision) {
  require(!y.per_block && y.width >= 1, "build_scaled reads a query tile");
  Instruction made = make(Op::kBuildScaled, {}, {}, y);
  made.matrix = packed(weight, Precision::kFloat32);
  require_width(y.width, matrices_[made.matrix].num_inputs, "what scales a layer");
  if (!base.empty()) {
    made.base = packed(base, Precision::kFloat32);
    require(matrices_[made.base].num_outputs == matrices_[made.matrix].num_outputs &&
                matrices_[made.base].num_inputs == matrices_[made.matrix].num_inputs,
            "base and weight of a scaled layer differ in shape");
  }
  made.slot = new_slot(slot, matrices_[made.matrix].num_outputs, y.width,
                       precision_named(precision));
  push(std::move(made));
}

void Program::relu(Tile out, Tile x) {
  require_width(x.width, out.width, "what relu reads");
  require(x.per_block == out.per_block, "relu stays within its arena");
  require_apart_or_same(out, x, "relu");
  push(make(Op::kRelu, out, x));
}

void Program::add(Tile out, Tile x, Tile y) {
  require_width(x.width, out.width, "a term");
  require_width(y.width, out.width, "a term");
  require(x.per_block == out.per_block, "a sum's first term is of its own arena");
  require_apart_or_same(out, x, "add");
  require_apart_or_same(out, y, "add");
  push(make(Op::kAdd, out, x, y));
}

void Program::multiply(Tile out, Tile x, Tile y) {
  require_width(x.width, out.width, "a factor");
  require_width(y.width, out.width, "a factor");
  require(x.per_block == out.per_block, "a product's first factor is of its own arena");
  require_apart_or_same(out, x, "multiply");
  require_apart_or_same(out, y, "multiply");
  push(make(Op::kMultiply, out, x, y));
}

void Program::copy(Tile out, Tile x) {
  require_width(x.width, out.width, "what is copied");
  require(x.pairs == out.pairs && (!x.pairs || x.per_block), "copy changes no numbers");
  require_apart(out, x, "copy");
  push(make(Op::kCopy, out, x));
}

void Program::pair_dots(Tile out, Tile x, int dim) {
  require(dim >= 1 && x.width % dim == 0, "pair_dots reads whole vectors");
  require(x.per_block == out.per_block, "pair_dots stays within its arena");
  require_apart(out, x, "pair_dots");
  const std::int64_t count = x.width / dim;
  require_width(out.width, count * (count - 1) / 2, "dots of pairs");
  Instruction made = make(Op::kPairDots, out, x);
  made.dim = dim;
  push_dots(std::move(made), count, count);
}

void Program::cross_dots(Tile out, Tile x, Tile y, int dim) {
  require(dim >= 1 && x.width % dim == 0 && y.width % dim == 0, "cross_dots reads whole vectors");
  require(x.per_block == out.per_block, "cross_dots' first vectors are of its own arena");
  require_apart(out, x, "cross_dots");
  require_apart(out, y, "cross_dots");
  require_width(out.width, std::int64_t{x.width / dim} * (y.width / dim), "dots across");
  require(!y.pairs || x.pairs, "cross_dots of float32 reads no pairs");
  require(!x.pairs || y.pairs == y.per_block, "cross_dots of pairs reads pairs of the block");
  Instruction made = make(Op::kCrossDots, out, x, y);
  made.dim = dim;
  push_dots(std::move(made), x.width / dim, y.width / dim);
}

void Program::push_dots(Instruction made, std::int64_t num_x, std::int64_t num_y) {
  require(!made.x.pairs || made.dim % 2 == 0, "dots of pairs are of vectors of even length");
  if (made.x.pairs || made.out.pairs) {
    scratch_bytes_ = std::max(scratch_bytes_, dots_scratch_bytes(num_x, num_y, made.dim));
  }
  push(std::move(made));
}

void Program::record_score(Tile out, int start, int width, int constant, std::optional<Tile> y,
                           int dim, const std::string& weight, bool built,
                           const std::string& precision, const std::string& bias,
                           std::optional<Tile> bias_at, const std::string& head,
                           const std::string& head_bias) {
  constexpr int kMost = 1 << 24;
  require(out.per_block && out.width == 1, "record_score leaves one number of each candidate");
  require(start >= 0 && start < kMost && width > 0 && width < kMost && constant >= kNone &&
              constant < kMost,
          "records are read from 0 on");
  Instruction made = make(Op::kRecordScore, out);
  made.start = start;
  made.width = width;
  made.constant = constant;
  made.dim = 1;
  if (y) {
    require(!y->per_block && dim >= 1 && y->width >= dim && y->width % dim == 0 && width % dim == 0,
            "record_score reads whole vectors, of records and of the query");
    require(std::int64_t{width / dim} * (y->width / dim) < kMost, "record_score has too many dots");
    made.y = *y;
    made.dim = dim;
  }
  require(!(built && y), "a built matrix meets records, not dots");
  RecordShape shape{width, made.y.width / made.dim, made.dim, 0};
  Precision used;
  std::int32_t num_inputs;
  if (built) {
    const auto place = slot_names_.find(weight);
    require(place != slot_names_.end(), "the slot '" + weight + "' was not built");
    made.slot = place->second;
    const Slot& slot = slots_[made.slot];
    used = slot.precision, shape.num_outputs = slot.num_outputs, num_inputs = slot.num_inputs;
  } else {
    used = precision_named(precision);
    made.matrix = y ? packed_for_dots(weight, shape, used) : packed(weight, used);
    const Matrix& matrix = matrices_[made.matrix];
    shape.num_outputs = matrix.num_outputs, num_inputs = matrix.num_inputs;
  }
  require_width(y ? kernels_->record_order(shape, nullptr) : width, num_inputs,
                "what record_score's layer reads");
  require(shape.num_outputs % kRecordOutputs == 0,
          "record_score's layer has a multiple of 16 outputs");
  require(used != Precision::kInt8 || num_inputs <= kMostInt8Inputs,
          "record_score's int8 layer reads at most 66000 inputs");
  made.bias = vector_named(bias, shape.num_outputs);
  if (bias_at) {
    require(!bias_at->per_block && made.bias == kNone, "a layer's bias is a vector or a query tile");
    require_width(bias_at->width, shape.num_outputs, "a layer's bias");
    made.bias_at = *bias_at;
  } else if (made.bias == kNone) {
    made.bias = zeros(shape.num_outputs);
  }
  made.head = row_named(head, shape.num_outputs);
  made.head_bias = vector_named(head_bias, 1);
  record_width_ = std::max(record_width_, start + width);
  if (constant != kNone) record_width_ = std::max(record_width_, constant + shape.num_outputs);
  for (int lanes : {1, 16, 32, 48}) {
    scratch_bytes_ = std::max(scratch_bytes_, kernels_->record_scratch_bytes(shape, lanes));
  }
  push(std::move(made));
}

RecordShape Program::record_shape(const Instruction& step) const {
  RecordShape shape;
  shape.width = step.width;
  shape.dim = step.dim;
  shape.num_y = step.y.width / step.dim;
  shape.num_outputs = step.slot == kNone ? matrices_[step.matrix].num_outputs
                                         : slots_[step.slot].num_outputs;
  return shape;
}

}  // namespace recfunnel
