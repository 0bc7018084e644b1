#include "cascade.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string>
#include <thread>
#include <utility>

#include "pause.hpp"

namespace recfunnel {
namespace {

constexpr int kSpins = 5000;  // about 200 microseconds of pauses before the core is offered

// values[i] = values[order[i]], by way of `spare`.
template <class T>
void reorder(std::vector<T>& values, std::vector<T>& spare,
             const std::vector<std::int64_t>& order) {
  spare.resize(std::max(spare.size(), order.size()));
  for (std::size_t i = 0; i < order.size(); ++i) spare[i] = values[order[i]];
  std::copy_n(spare.begin(), order.size(), values.begin());
}

int most_threads(const std::vector<CascadeStage>& stages) {
  int most = 1;
  for (const CascadeStage& stage : stages) {
    for (const Scorer& each : stage.scorers) most = std::max(most, each.machine->num_threads());
  }
  return most;
}

std::vector<CascadeStage> checked(std::vector<CascadeStage> stages, int num_slots) {
  const auto known = [&](int slot) { return slot >= 0 && slot < num_slots; };
  if (stages.empty()) throw InputError("a cascade needs at least one stage");
  for (std::size_t number = 0; number < stages.size(); ++number) {
    const CascadeStage& stage = stages[number];
    if (stage.scorers.empty()) throw InputError("a stage needs at least the model that ranks");
    if (stage.num_out < 1) {
      throw InputError("stage " + std::to_string(number) + " keeps " +
                       std::to_string(stage.num_out) + " candidates; it must keep at least 1");
    }
    if (number > 0 && stage.num_out > stages[number - 1].num_out) {
      throw InputError("stage " + std::to_string(number) + " keeps " +
                       std::to_string(stage.num_out) + " candidates of the " +
                       std::to_string(stages[number - 1].num_out) +
                       " it reads; a stage cannot keep more than it reads");
    }
    for (const Scorer& scorer : stage.scorers) {
      if (scorer.machine == nullptr || scorer.machine->result_width() != 1) {
        throw InputError("a model of a cascade gives one score a candidate");
      }
      if (!known(scorer.slot) || !std::ranges::all_of(scorer.given, known)) {
        throw InputError("a cascade has slots 0 to " + std::to_string(num_slots - 1));
      }
    }
  }
  return stages;
}

SubBatches checked(SubBatches sub_batches) {
  if (sub_batches.count >= 1) return sub_batches;
  throw InputError("a query is cut into at least 1 sub-batch, not " +
                   std::to_string(sub_batches.count));
}

}  // namespace

Cascade::Cascade(std::vector<CascadeStage> stages, int num_slots, bool ends,
                 SubBatches sub_batches)
    : stages_(checked(std::move(stages), num_slots)),
      ends_(ends),
      sub_batches_(checked(sub_batches)),
      pool_(sub_batches_.count > 1 ? most_threads(stages_) : 1),
      seconds_(stages_.size()) {
  left_.slots.resize(static_cast<std::size_t>(std::max(num_slots, 0)));
  for (int i = 0; i < sub_batches_.count; ++i) parts_.emplace_back(num_slots, stages_.size());
}

void Cascade::run_stages(const Offered& offered, std::int64_t num_columns) {
  if (num_parts() == 1) {
    parts_[0].take_in(offered, 0, offered.count);
    for (std::size_t number = 0; number < stages_.size(); ++number) {
      parts_[0].run(stages_[number], number, stages_[number].num_out,
                    std::numeric_limits<int>::max());
    }
    gather();
  } else if (sub_batches_.keep == Keep::kShare) {
    run_shares(offered, num_columns);
  } else {
    run_meeting(offered);
  }
  std::ranges::fill(seconds_, 0.0);
  for (const CascadePart& part : parts_) {
    for (std::size_t i = 0; i < seconds_.size(); ++i) seconds_[i] += part.stage_seconds()[i];
  }
  if (ends_) order_by(stages_.back().slot());
}

// Work of one thread; the first that fails is told when all have stopped.
template <class Work>
void Cascade::guarded(Work&& work) {
  if (failed_.load(std::memory_order_relaxed)) return;
  try {
    work();
  } catch (...) {
    const std::lock_guard lock(failing_);
    if (!failure_) failure_ = std::current_exception();
    failed_.store(true, std::memory_order_relaxed);
  }
}

void Cascade::run_shares(const Offered& offered, std::int64_t num_columns) {
  const auto start_of = [&](std::int64_t part) {
    const std::int64_t column = part * num_columns / num_parts();
    if (offered.columns == nullptr) return std::min(column, offered.count);
    return std::lower_bound(offered.columns, offered.columns + offered.count, column) -
           offered.columns;
  };
  pool_.run(num_parts(), pool_.num_threads(), [&](std::int64_t index, int) {
    guarded([&] {
      CascadePart& part = parts_[index];
      part.take_in(offered, start_of(index),
                   index + 1 == num_parts() ? offered.count : start_of(index + 1));
      for (std::size_t number = 0; number < stages_.size(); ++number) {
        const std::int64_t num_out = stages_[number].num_out;
        const std::int64_t share = (num_out + num_parts() - 1) / num_parts();
        part.run(stages_[number], number, is_last(number) ? num_out : share, 1);
      }
    });
  });
  if (failure_) rethrow();
  gather();
  if (ends_) {
    find_best(stages_.back().num_out, stages_.back().slot());
    left_.keep(best_);
  }
}

// Threads take the parts of the first stage, then those of the second, and so on. Whoever ends a
// stage's last part cuts what is left anew; the others wait for it. As parts are taken in order,
// those that are waited for are always being worked on.
void Cascade::run_meeting(const Offered& offered) {
  finished_.store(0, std::memory_order_relaxed);
  met_.store(0, std::memory_order_relaxed);
  const auto num_stages = static_cast<std::int64_t>(stages_.size());
  pool_.run(num_stages * num_parts(), pool_.num_threads(), [&](std::int64_t index, int) {
    const auto number = static_cast<std::size_t>(index / num_parts());
    const std::int64_t i = index % num_parts();
    wait_for_meeting(number);
    guarded([&] {
      const Offered& from = number == 0 ? offered : between_;
      parts_[i].take_in(from, i * from.count / num_parts(), (i + 1) * from.count / num_parts());
      parts_[i].run(stages_[number], number, stages_[number].num_out, 1);
    });
    if (finished_.fetch_add(1, std::memory_order_acq_rel) + 1 !=
        static_cast<std::int64_t>(number + 1) * num_parts()) {
      return;
    }
    guarded([&] { meet(number, offered); });
    met_.store(number + 1, std::memory_order_release);
  });
  if (failure_) rethrow();
}

void Cascade::wait_for_meeting(std::size_t number) const {
  for (int spins = 0; met_.load(std::memory_order_acquire) < number; ++spins) {
    if (spins < kSpins) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

// The best of all parts, offered to the next stage.
void Cascade::meet(std::size_t number, const Offered& offered) {
  gather();
  find_best(stages_[number].num_out, stages_[number].slot());
  left_.keep(best_);
  between_.context = offered.context;
  between_.columns = left_.columns.data();
  between_.rows = left_.rows.data();
  between_.count = left_.count;
  between_.scores.clear();
  for (const std::vector<float>& slot : left_.slots) between_.scores.push_back(slot.data());
}

void Cascade::rethrow() {
  const std::exception_ptr failure = std::exchange(failure_, nullptr);
  failed_.store(false, std::memory_order_relaxed);
  std::rethrow_exception(failure);
}

// The parts' survivors one behind the other: their columns rise.
void Cascade::gather() {
  left_.count = 0;
  for (const CascadePart& part : parts_) left_.append(part.left());
}

// Positions of the best scores, rising; the lower position first among equals.
void Cascade::find_best(std::int64_t count, int slot) {
  best_.resize(size());
  std::iota(best_.begin(), best_.end(), std::int64_t{0});
  if (count >= left_.count) return;
  const std::vector<float>& scores = left_.slots[slot];
  std::nth_element(best_.begin(), best_.begin() + count, best_.end(),
                   [&](std::int64_t a, std::int64_t b) {
                     return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
                   });
  best_.resize(static_cast<std::size_t>(count));
  std::sort(best_.begin(), best_.end());
}

void Cascade::order_by(int slot) {
  const std::vector<float>& scores = left_.slots[slot];
  order_.resize(size());
  for (std::size_t i = 0; i < order_.size(); ++i) order_[i] = {-scores[i], i};
  std::sort(order_.begin(), order_.end());
  best_.resize(size());
  std::ranges::transform(order_, best_.begin(), [](const auto& each) { return each.second; });
  reorder(left_.columns, moved_, best_);
  for (std::vector<float>& each : left_.slots) reorder(each, ordered_, best_);
}

}  // namespace recfunnel
