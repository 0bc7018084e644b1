// What is looked at before anything is read: ids, shapes, and numbers that are not finite.
#include <algorithm>

#include "machine_parts.hpp"

namespace recfunnel {
namespace {

// Four at a time.
bool all_finite(const float* values, std::ptrdiff_t count) {
  typedef std::uint32_t Four __attribute__((vector_size(16)));
  constexpr Four kExponent = {0x7f800000u, 0x7f800000u, 0x7f800000u, 0x7f800000u};
  Four bad = {};
  std::ptrdiff_t i = 0;
  for (; i + 4 <= count; i += 4) {
    Four bits;
    std::memcpy(&bits, values + i, sizeof bits);
    bad |= reinterpret_cast<Four>((bits & kExponent) == kExponent);
  }
  bool finite = (bad[0] | bad[1] | bad[2] | bad[3]) == 0;
  for (; i < count; ++i) finite &= is_finite(values[i]);
  return finite;
}

}  // namespace

std::string feature_name(const std::vector<std::string>& names, int column, const char* kind) {
  if (column < static_cast<int>(names.size())) return "'" + names[column] + "'";
  return std::string(kind) + " feature " + std::to_string(column);
}

[[noreturn]] void refuse_id(const std::string& feature, std::int64_t id, std::int64_t num_ids,
                            const std::string& where) {
  throw IdError(feature + " has id " + std::to_string(id) + where + ", allowed 0 to " +
                std::to_string(num_ids - 1) + " (0 is unknown)");
}

void check_offsets(const Lists& lists, std::int64_t num_rows, const ListedFeature& feature) {
  std::int64_t last = 0;
  for (std::int64_t row = 0; row <= num_rows; ++row) {
    if (lists.offsets[row] < last || lists.offsets[row] > lists.num_values) {
      throw InputError("offsets of " + feature.name() + " must rise from 0 to " +
                       std::to_string(lists.num_values) + "; offset " + std::to_string(row) +
                       " is " + std::to_string(lists.offsets[row]));
    }
    last = lists.offsets[row];
  }
}

void check_list(const Lists& lists, std::int64_t row, std::int64_t num_ids,
                const ListedFeature& feature) {
  for (std::int64_t i = lists.offsets[row]; i < lists.offsets[row + 1]; ++i) {
    if (outside(lists.values[i], num_ids)) {
      refuse_id(feature.name(), lists.values[i], num_ids, " in row " + std::to_string(row));
    }
    if (lists.weights != nullptr && !is_finite(lists.weights[i])) {
      throw NotFiniteError(feature.name() + " has a weight that is not finite in row " +
                           std::to_string(row));
    }
  }
}

// Everything the program will read of the items is looked at once, here.
void Machine::check_items() const {
  const std::int64_t rows = items_.num_rows;
  for (const Instruction& step : program_->block()) {
    const bool by_id = step.op == Op::kLookup || step.op == Op::kRowSum;
    if (by_id) {
      if (step.column >= items_.num_categorical) {
        throw InputError("the program reads categorical feature " + std::to_string(step.column) +
                         " of the items, which have " + std::to_string(items_.num_categorical));
      }
      const Table& table = program_->table_at(step.table);
      const std::int64_t num_ids = step.op == Op::kLookup ? table.num_rows : table.dim;
      for (std::int64_t row = 0; row < rows; ++row) {
        const std::int64_t id = items_.categorical[row * items_.num_categorical + step.column];
        if (outside(id, num_ids)) {
          refuse_id(feature_name(program_->items().categorical, step.column, "categorical"), id,
                    num_ids, " in row " + std::to_string(row));
        }
      }
    } else if (step.op == Op::kPool) {
      if (step.column >= static_cast<int>(items_.lists.size())) {
        throw InputError("the program reads multi-valued feature " + std::to_string(step.column) +
                         " of the items, which have " + std::to_string(items_.lists.size()));
      }
      const ListedFeature feature{program_->items().multi_valued, step.column};
      const Lists& lists = items_.lists[step.column];
      check_offsets(lists, rows, feature);
      for (std::int64_t row = 0; row < rows; ++row) {
        check_list(lists, row, program_->table_at(step.table).num_rows, feature);
      }
    } else if (step.op == Op::kDense) {
      for (std::int32_t column : step.columns) {
        if (column >= items_.num_dense) {
          throw InputError("the program reads dense feature " + std::to_string(column) +
                           " of the items, which have " + std::to_string(items_.num_dense));
        }
        for (std::int64_t row = 0; row < rows; ++row) {
          if (!is_finite(items_.dense[row * items_.num_dense + column])) {
            throw NotFiniteError(feature_name(program_->items().dense, column, "dense") +
                                 " is not finite in row " + std::to_string(row));
          }
        }
      }
    } else if (step.op == Op::kRecord || step.op == Op::kRecordScore) {
      if (records_.data == nullptr || records_.num_rows != rows ||
          records_.dim < program_->record_width()) {
        throw InputError("the program reads records " + std::to_string(program_->record_width()) +
                         " wide of " + std::to_string(rows) + " items; given are " +
                         std::to_string(records_.num_rows) + " records " +
                         std::to_string(records_.dim) + " wide");
      }
    }
  }
}

void Machine::check_call(const Call& call) const {
  const FeatureArrays& context = *call.context;
  const auto refuse = [](const char* kind, std::int64_t column, std::int64_t have) {
    throw InputError(std::string("the program reads ") + kind + " feature " +
                     std::to_string(column) + " of the context, which has " + std::to_string(have));
  };
  const auto check_lists = [&](int column) {
    if (column >= static_cast<int>(context.lists.size())) {
      refuse("multi-valued", column, static_cast<std::int64_t>(context.lists.size()));
    }
    check_offsets(context.lists[column], context.num_rows,
                  ListedFeature{program_->context().multi_valued, column});
  };
  for (const Instruction& step : program_->query()) {
    if (step.op == Op::kLookup && step.column >= context.num_categorical) {
      refuse("categorical", step.column, context.num_categorical);
    }
    if (step.op == Op::kPool) check_lists(step.column);
    if (step.op != Op::kDense) continue;
    for (std::int32_t column : step.columns) {
      if (column >= context.num_dense) refuse("dense", column, context.num_dense);
    }
  }
  for (const Instruction* step : row_sums_) check_lists(step->list);
  if (program_->given_width() > 0 && call.given == nullptr) {
    throw InputError("the program reads " + std::to_string(program_->given_width()) +
                     " given scores a candidate, none were given");
  }
}

void Machine::check_results(const float* tile, const Block& block) const {
  const std::ptrdiff_t count = std::ptrdiff_t{program_->result().width} * block.lanes;
  if (all_finite(tile, count)) return;
  std::ptrdiff_t bad = 0;
  while (is_finite(tile[bad])) ++bad;
  const std::int64_t column =
      block.first + std::min<std::ptrdiff_t>(bad % block.lanes, block.count - 1);
  throw NotFiniteError("returned " + std::to_string(tile[bad]) + " at (" +
                       std::to_string(block.query) + ", " + std::to_string(column) +
                       "); lower its learning rate or check its inputs");
}

}  // namespace recfunnel
