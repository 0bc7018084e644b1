#include "made_rows.hpp"

#include <algorithm>

#include "machine_parts.hpp"

namespace recfunnel {
namespace {

constexpr std::size_t kFirstSlots = 1024;

// Calls visit(place, row) for what a call reads of one side: a place a query, or a place a query and
// candidate. Candidates that are no items are left out.
template <class Visit>
void each_row(const Call& call, bool of_items, std::int64_t num_items, Visit visit) {
  const std::int64_t num_queries = call.context->num_rows;
  if (!of_items) {
    for (std::int64_t query = 0; query < num_queries; ++query) visit(query, query);
    return;
  }
  const std::int64_t count = num_queries * call.num_candidates;
  for (std::int64_t place = 0; place < count; ++place) {
    const std::int64_t row =
        call.candidates == nullptr ? place % call.num_candidates : call.candidates[place];
    if (!outside(row, num_items)) visit(place, row);
  }
}

std::int64_t num_places(const Call& call, bool of_items) {
  return call.context->num_rows * (of_items ? call.num_candidates : 1);
}

template <class Vector>
void make_room(Vector& values, std::size_t size) {
  if (values.size() < size) values.resize(size);
}

}  // namespace

void Numbering::clear() {
  ids_.clear();
  if (++round_ != 0) return;
  std::fill(slots_.begin(), slots_.end(), Slot{});
  round_ = 1;
}

std::uint32_t Numbering::number_of(std::uint32_t id) {
  if (2 * (ids_.size() + 1) > slots_.size()) grow();
  const std::size_t last = slots_.size() - 1;  // a power of two less one
  std::size_t at = mixed(id) & last;
  while (slots_[at].round == round_) {
    if (slots_[at].id == id) return slots_[at].number;
    at = (at + 1) & last;
  }
  slots_[at] = {id, static_cast<std::uint32_t>(ids_.size()), round_};
  ids_.push_back(id);
  return slots_[at].number;
}

void Numbering::grow() {
  slots_.assign(std::max(kFirstSlots, 2 * slots_.size()), Slot{});
  round_ = 1;
  const std::vector<std::uint32_t> known = std::move(ids_);
  ids_.clear();
  ids_.reserve(slots_.size());
  for (std::uint32_t id : known) number_of(id);
}

MadeRows::MadeRows(const Program& program)
    : program_(&program), inputs_(program.computed_inputs().size()) {
  for (std::int32_t table = 0; table < program.num_tables(); ++table) {
    const Program::Computed* computed = program.computed_at(table);
    part_of_.push_back(computed == nullptr ? kNone : static_cast<std::int32_t>(parts_.size()));
    if (computed == nullptr) continue;
    parts_.emplace_back();
    parts_.back().computed = computed;
    parts_.back().table = program.table_at(table);
    scratch_bytes_ = std::max(scratch_bytes_, computed->table->scratch_bytes() +
                                                  sizeof(float) * kMaxLanes *
                                                      static_cast<std::size_t>(computed->table->dim()) +
                                                  kCacheLine);
  }
}

void MadeRows::make(const FeatureArrays& items, const Call& call, Pool& pool, int threads) {
  for (Part& part : parts_) part.numbering.clear();
  number_inputs(items, call);
  tasks_.clear();
  for (std::size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    copy_hot(part);
    for (std::size_t first = 0; first < part.cold.size(); first += kMaxLanes) {
      const int count = static_cast<int>(std::min<std::size_t>(kMaxLanes, part.cold.size() - first));
      tasks_.push_back({static_cast<std::int32_t>(i), first, count});
    }
  }
  if (static_cast<int>(scratch_.size()) < threads) scratch_.resize(static_cast<std::size_t>(threads));
  for (auto& each : scratch_) make_room(each, scratch_bytes_);
  pool.run(std::ssize(tasks_), threads, [&](std::int64_t task, int worker) {
    compute(tasks_[task], scratch_[worker].data());
  });
  ++num_calls;
}

void MadeRows::number_inputs(const FeatureArrays& items, const Call& call) {
  for (std::size_t i = 0; i < inputs_.size(); ++i) {
    const ComputedInput& from = program_->computed_inputs()[i];
    const FeatureArrays& features = from.of_items ? items : *call.context;
    if (from.listed) {
      number_lists(from, features, call, inputs_[i]);
    } else {
      number_lookups(from, features, call, inputs_[i]);
    }
  }
}

void MadeRows::number_lookups(const ComputedInput& from, const FeatureArrays& features,
                              const Call& call, Input& to) {
  Part& part = parts_[part_of_[from.table]];
  make_room(to.numbers, static_cast<std::size_t>(num_places(call, from.of_items)));
  each_row(call, from.of_items, features.num_rows, [&](std::int64_t place, std::int64_t row) {
    const std::int64_t id = features.categorical[row * features.num_categorical + from.column];
    if (outside(id, part.table.num_rows)) {  // of the context: items were looked at before
      refuse_id(feature_name(program_->context().categorical, from.column, "categorical"), id,
                part.table.num_rows, " in row " + std::to_string(row));
    }
    to.numbers[place] = number(part, id);
  });
}

void MadeRows::number_lists(const ComputedInput& from, const FeatureArrays& features,
                            const Call& call, Input& to) {
  Part& part = parts_[part_of_[from.table]];
  const Lists& lists = features.lists[from.column];
  to.numbers.clear();
  make_room(to.starts, static_cast<std::size_t>(num_places(call, from.of_items)));
  each_row(call, from.of_items, features.num_rows, [&](std::int64_t place, std::int64_t row) {
    if (!from.of_items) {
      check_list(lists, row, part.table.num_rows,
                 ListedFeature{program_->context().multi_valued, from.column});
    }
    to.starts[place] = std::ssize(to.numbers);
    for (std::int64_t i = lists.offsets[row]; i < lists.offsets[row + 1]; ++i) {
      to.numbers.push_back(number(part, lists.values[i]));
    }
  });
}

std::int64_t MadeRows::number(Part& part, std::int64_t id) {
  const auto known = part.numbering.ids().size();
  const std::uint32_t number = part.numbering.number_of(static_cast<std::uint32_t>(id));
  const auto& hot = part.computed->hot;
  if (number == known && hot) hot->fetch(static_cast<std::uint32_t>(id));
  return number;
}

void MadeRows::copy_hot(Part& part) {
  const std::span<const std::uint32_t> ids = part.numbering.ids();
  const auto dim = static_cast<std::size_t>(part.table.dim);
  make_room(part.rows, ids.size() * dim);
  part.table.data = reinterpret_cast<const std::byte*>(part.rows.data());
  part.cold.clear();
  for (std::uint32_t number = 0; number < ids.size(); ++number) {
    const float* row = part.computed->hot ? part.computed->hot->find(ids[number]) : nullptr;
    if (row == nullptr) {
      part.cold.push_back(number);
    } else {
      std::copy_n(row, dim, part.rows.data() + number * dim);
    }
  }
}

void MadeRows::compute(const Task& task, std::byte* scratch) {
  Part& part = parts_[task.part];
  const ComputedTable& table = *part.computed->table;
  const auto dim = static_cast<std::size_t>(table.dim());
  std::uint32_t ids[kMaxLanes];
  for (int i = 0; i < task.count; ++i) {
    ids[i] = part.numbering.ids()[part.cold[task.first + i]];
  }
  auto* made = reinterpret_cast<float*>(scratch);
  std::byte* own = scratch + round_up(sizeof(float) * kMaxLanes * dim, kCacheLine);
  table.rows(ids, task.count, made, own);
  for (int i = 0; i < task.count; ++i) {
    std::copy_n(made + i * dim, dim, part.rows.data() + part.cold[task.first + i] * dim);
  }
}

}  // namespace recfunnel
