// The steps of a program, each held to its rules as it is added.

#include <algorithm>

#include "program_rules.hpp"

namespace recfunnel {
namespace {

Norm norm_named(const std::string& name) {
  if (name == "sum") return Norm::kSum;
  if (name == "mean") return Norm::kMean;
  if (name == "l2") return Norm::kL2;
  throw ProgramError("no norm is called '" + name + "'; known: sum, mean, l2");
}

}  // namespace

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
  made.computed = computed_input({made.table, column, out.per_block, false});
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
  made.computed = computed_input({made.table, column, out.per_block, true});
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
  require(made.scale == kNone || vector_size(made.scale) > 0, "row_sum's weighting is empty");
  require_width(out.width, 1, "a row sum");
  made.computed = computed_input({made.table, list_column, false, true});
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

}  // namespace recfunnel
