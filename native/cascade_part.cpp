#include "cascade_part.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace recfunnel {
namespace {

template <class T>
void make_room(std::vector<T>& values, std::int64_t count) {
  if (static_cast<std::int64_t>(values.size()) < count) {
    values.resize(static_cast<std::size_t>(count));
  }
}

// to[i] = from[positions[i]]; positions rise, so that `to` may be `from`: none is overwritten before
// it is read.
template <class T>
void pick(const T* from, std::span<const std::int64_t> positions, std::vector<T>& to) {
  for (std::size_t i = 0; i < positions.size(); ++i) to[i] = from[positions[i]];
}

template <class T>
void append(std::vector<T>& values, std::int64_t count, const std::vector<T>& more,
            std::int64_t num_more) {
  make_room(values, count + num_more);
  std::copy_n(more.begin(), num_more, values.begin() + count);
}

}  // namespace

void Candidates::append(const Candidates& more) {
  recfunnel::append(columns, count, more.columns, more.count);
  recfunnel::append(rows, count, more.rows, more.count);
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    recfunnel::append(slots[slot], count, more.slots[slot], more.count);
  }
  count += more.count;
}

void Candidates::keep(std::span<const std::int64_t> positions) {
  pick(columns.data(), positions, columns);
  pick(rows.data(), positions, rows);
  for (std::vector<float>& slot : slots) pick(slot.data(), positions, slot);
  count = static_cast<std::int64_t>(positions.size());
}

CascadePart::CascadePart(int num_slots, std::size_t num_stages)
    : seconds_(num_stages) {
  left_.slots.resize(static_cast<std::size_t>(num_slots));
}

void CascadePart::take_in(const Offered& offered, std::int64_t first, std::int64_t last) {
  offered_ = &offered;
  first_ = first;
  is_offered_ = true;
  left_.count = last - first;
  is_made_.assign(left_.slots.size(), false);
  for (std::vector<float>& slot : left_.slots) make_room(slot, left_.count);
  const auto& all = offered.excluded;
  excluded_.assign(std::lower_bound(all.begin(), all.end(), first),
                   std::lower_bound(all.begin(), all.end(), last));
  for (std::int64_t& position : excluded_) position -= first;
}

void CascadePart::run(const CascadeStage& stage, std::size_t number, std::int64_t num_out,
                      int threads) {
  seconds_[number] = 0.0;
  if (left_.count == 0) return;
  using Clock = std::chrono::steady_clock;
  const Clock::time_point began = Clock::now();
  for (std::size_t i = 0; i + 1 < stage.scorers.size(); ++i) {
    const Scorer& scorer = stage.scorers[i];
    scorer.machine->run(call_of(scorer, threads), left_.slots[scorer.slot].data());
    is_made_[scorer.slot] = true;
  }
  const Scorer& own = stage.scorers.back();
  own.machine->top_k(call_of(own, threads), num_out, excluded_, top_);
  keep({top_.positions().data(), static_cast<std::size_t>(top_.size())});
  std::copy_n(top_.scores().begin(), left_.count, left_.slots[own.slot].begin());
  excluded_.clear();
  seconds_[number] = std::chrono::duration<double>(Clock::now() - began).count();
}

// Leaves those at some positions, which rise.
void CascadePart::keep(std::span<const std::int64_t> positions) {
  if (!is_offered_) return left_.keep(positions);
  for (std::size_t slot = 0; slot < left_.slots.size(); ++slot) {
    pick(scores_of(slot), positions, left_.slots[slot]);
  }
  left_.count = std::ssize(positions);
  make_room(left_.columns, left_.count);
  make_room(left_.rows, left_.count);
  for (std::size_t i = 0; i < positions.size(); ++i) {
    const std::int64_t from = first_ + positions[i];
    left_.columns[i] = offered_->column(from);
    left_.rows[i] = offered_->rows == nullptr ? left_.columns[i] : offered_->rows[from];
  }
  is_offered_ = false;
}

// The items behind what is left; null: all the machine has, in order.
const std::int64_t* CascadePart::rows_for(const Machine& machine) {
  if (!is_offered_) return left_.rows.data();
  if (offered_->rows != nullptr) return offered_->rows + first_;
  if (offered_->columns != nullptr) return offered_->columns + first_;
  if (first_ == 0 && left_.count == machine.num_items()) return nullptr;
  make_room(left_.rows, left_.count);
  std::iota(left_.rows.begin(), left_.rows.begin() + left_.count, first_);
  return left_.rows.data();
}

const float* CascadePart::scores_of(std::size_t slot) const {
  const bool is_brought = is_offered_ && !is_made_[slot] && slot < offered_->scores.size() &&
                          offered_->scores[slot] != nullptr;
  return is_brought ? offered_->scores[slot] + first_ : left_.slots[slot].data();
}

Call CascadePart::call_of(const Scorer& scorer, int threads) {
  Call call;
  call.context = offered_->context;
  call.num_candidates = left_.count;
  call.most_threads = threads;
  call.candidates = rows_for(*scorer.machine);
  if (!scorer.given.empty()) {
    const std::size_t width = scorer.given.size();
    make_room(given_, left_.count * static_cast<std::int64_t>(width));
    for (std::size_t i = 0; i < width; ++i) {
      const float* from = scores_of(scorer.given[i]);
      for (std::int64_t c = 0; c < left_.count; ++c) given_[c * width + i] = from[c];
    }
    call.given = given_.data();
  }
  return call;
}

}  // namespace recfunnel
