#include "cascade.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>

namespace recfunnel {
namespace {

template <class T>
void make_room(std::vector<T>& values, std::int64_t count) {
  if (static_cast<std::int64_t>(values.size()) < count) {
    values.resize(static_cast<std::size_t>(count));
  }
}

// values[i] = values[positions[i]]; positions rise, so none is overwritten before it is read.
template <class T>
void pick(std::vector<T>& values, const std::vector<std::int64_t>& positions, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) values[i] = values[positions[i]];
}

// The same in any order, by way of `spare`.
template <class T>
void reorder(std::vector<T>& values, std::vector<T>& spare, const std::vector<std::int64_t>& order,
             std::int64_t count) {
  make_room(spare, count);
  for (std::int64_t i = 0; i < count; ++i) spare[i] = values[order[i]];
  std::copy_n(spare.begin(), count, values.begin());
}

}  // namespace

Cascade::Cascade(std::vector<CascadeStage> stages, int num_slots, bool best_first)
    : stages_(std::move(stages)),
      best_first_(best_first),
      slots_(static_cast<std::size_t>(std::max(num_slots, 0))),
      seconds_(stages_.size()) {
  const auto known = [&](int slot) { return slot >= 0 && slot < num_slots; };
  if (stages_.empty()) throw InputError("a cascade needs at least one stage");
  for (const CascadeStage& stage : stages_) {
    if (stage.scorers.empty()) throw InputError("a stage needs at least the model that ranks");
    for (const Scorer& scorer : stage.scorers) {
      if (scorer.machine == nullptr || scorer.machine->result_width() != 1) {
        throw InputError("a model of a cascade gives one score a candidate");
      }
      if (!known(scorer.slot) || !std::ranges::all_of(scorer.given, known)) {
        throw InputError("a cascade has slots 0 to " + std::to_string(num_slots - 1));
      }
    }
  }
}

void Cascade::run_stages(const Offered& offered) {
  using Clock = std::chrono::steady_clock;
  take_in(offered);
  bool whole = offered.columns == nullptr && offered.rows == nullptr;
  Clock::time_point began = Clock::now();
  for (std::size_t number = 0; number < stages_.size(); ++number) {
    const CascadeStage& stage = stages_[number];
    for (std::size_t i = 0; i + 1 < stage.scorers.size(); ++i) {
      score(stage.scorers[i], offered, whole);
    }
    keep_best(stage, offered, number == 0, whole);
    whole = false;
    const Clock::time_point now = Clock::now();
    seconds_[number] = std::chrono::duration<double>(now - began).count();
    began = now;
  }
  if (best_first_) order_by(stages_.back().scorers.back().slot);
}

void Cascade::take_in(const Offered& offered) {
  count_ = offered.count;
  make_room(columns_, count_);
  make_room(rows_, count_);
  if (offered.columns == nullptr) {
    std::iota(columns_.begin(), columns_.begin() + count_, std::int64_t{0});
  } else {
    std::copy_n(offered.columns, count_, columns_.begin());
  }
  std::copy_n(offered.rows == nullptr ? columns_.data() : offered.rows, count_, rows_.begin());
  for (std::size_t slot = 0; slot < slots_.size(); ++slot) {
    make_room(slots_[slot], count_);
    if (slot < offered.scores.size() && offered.scores[slot] != nullptr) {
      std::copy_n(offered.scores[slot], count_, slots_[slot].begin());
    }
  }
}

Call Cascade::call_of(const Scorer& scorer, const Offered& offered, bool whole) {
  Call call;
  call.context = offered.context;
  call.num_candidates = count_;
  // The first stage of a query that offers all items needs no list of them.
  const bool all = whole && count_ == scorer.machine->num_items();
  call.candidates = all ? nullptr : rows_.data();
  if (!scorer.given.empty()) {
    const std::size_t width = scorer.given.size();
    make_room(given_, count_ * static_cast<std::int64_t>(width));
    for (std::size_t i = 0; i < width; ++i) {
      const std::vector<float>& from = slots_[scorer.given[i]];
      for (std::int64_t c = 0; c < count_; ++c) given_[c * width + i] = from[c];
    }
    call.given = given_.data();
  }
  return call;
}

void Cascade::score(const Scorer& scorer, const Offered& offered, bool whole) {
  const Call call = call_of(scorer, offered, whole);
  scorer.machine->run(call, slots_[scorer.slot].data());
}

void Cascade::keep_best(const CascadeStage& stage, const Offered& offered, bool first,
                        bool whole) {
  const Scorer& own = stage.scorers.back();
  const std::span<const std::int64_t> none;
  own.machine->top_k(call_of(own, offered, whole), stage.num_out, first ? offered.excluded : none,
                     top_);
  keep(top_.positions(), top_.size());
  std::copy_n(top_.scores().begin(), count_, slots_[own.slot].begin());
}

void Cascade::keep(const std::vector<std::int64_t>& positions, std::int64_t count) {
  pick(columns_, positions, count);
  pick(rows_, positions, count);
  for (std::vector<float>& slot : slots_) pick(slot, positions, count);
  count_ = count;
}

void Cascade::order_by(int slot) {
  make_room(order_, count_);
  std::iota(order_.begin(), order_.begin() + count_, std::int64_t{0});
  const std::vector<float>& scores = slots_[slot];
  std::sort(order_.begin(), order_.begin() + count_, [&](std::int64_t a, std::int64_t b) {
    return scores[a] > scores[b] || (scores[a] == scores[b] && a < b);
  });
  reorder(columns_, moved_, order_, count_);
  for (std::vector<float>& each : slots_) reorder(each, ordered_, order_, count_);
}

}  // namespace recfunnel
