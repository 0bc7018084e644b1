#include "program.hpp"

#include <algorithm>

#include "computed.hpp"
#include "program_rules.hpp"

namespace recfunnel {
namespace {

Storage storage_named(const std::string& name) {
  if (name == "float32") return Storage::kFloat32;
  if (name == "float16") return Storage::kFloat16;
  if (name == "bfloat16") return Storage::kBFloat16;
  if (name == "int8") return Storage::kInt8;
  throw ProgramError("rows cannot be stored as '" + name +
                     "'; known: float32, float16, bfloat16, int8");
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

std::int32_t Program::computed_input(const ComputedInput& wanted) {
  if (!computed_.contains(wanted.table)) return kNone;
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

}  // namespace recfunnel
