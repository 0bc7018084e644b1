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

// values[i] = values[positions[i]]; positions rise, so none is overwritten before it is read.
template <class T>
void pick(std::vector<T>& values, std::span<const std::int64_t> positions) {
  for (std::size_t i = 0; i < positions.size(); ++i) values[i] = values[positions[i]];
}

template <class T>
void append(std::vector<T>& values, std::int64_t count, const std::vector<T>& more,
            std::int64_t num_more) {
  make_room(values, count + num_more);
  std::copy_n(more.begin(), num_more, values.begin() + count);
}

}  // namespace

void Candidates::take(const Offered& offered, std::int64_t first, std::int64_t last) {
  count = last - first;
  make_room(columns, count);
  make_room(rows, count);
  if (offered.columns == nullptr) {
    std::iota(columns.begin(), columns.begin() + count, first);
  } else {
    std::copy_n(offered.columns + first, count, columns.begin());
  }
  std::copy_n(offered.rows == nullptr ? columns.data() : offered.rows + first, count, rows.begin());
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    make_room(slots[slot], count);
    if (slot < offered.scores.size() && offered.scores[slot] != nullptr) {
      std::copy_n(offered.scores[slot] + first, count, slots[slot].begin());
    }
  }
}

void Candidates::append(const Candidates& more) {
  recfunnel::append(columns, count, more.columns, more.count);
  recfunnel::append(rows, count, more.rows, more.count);
  for (std::size_t slot = 0; slot < slots.size(); ++slot) {
    recfunnel::append(slots[slot], count, more.slots[slot], more.count);
  }
  count += more.count;
}

void Candidates::keep(std::span<const std::int64_t> positions) {
  pick(columns, positions);
  pick(rows, positions);
  for (std::vector<float>& slot : slots) pick(slot, positions);
  count = static_cast<std::int64_t>(positions.size());
}

CascadePart::CascadePart(int num_slots, std::size_t num_stages) : seconds_(num_stages) {
  left_.slots.resize(static_cast<std::size_t>(num_slots));
}

void CascadePart::take_in(const Offered& offered, std::int64_t first, std::int64_t last) {
  offered_ = &offered;
  left_.take(offered, first, last);
  all_in_order_ = offered.columns == nullptr && offered.rows == nullptr && first == 0;
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
  }
  const Scorer& own = stage.scorers.back();
  own.machine->top_k(call_of(own, threads), num_out, excluded_, top_);
  left_.keep({top_.positions().data(), static_cast<std::size_t>(top_.size())});
  std::copy_n(top_.scores().begin(), left_.count, left_.slots[own.slot].begin());
  all_in_order_ = false;
  excluded_.clear();
  seconds_[number] = std::chrono::duration<double>(Clock::now() - began).count();
}

Call CascadePart::call_of(const Scorer& scorer, int threads) {
  Call call;
  call.context = offered_->context;
  call.num_candidates = left_.count;
  call.most_threads = threads;
  // The first stage of a query that offers all items needs no list of them.
  const bool all = all_in_order_ && left_.count == scorer.machine->num_items();
  call.candidates = all ? nullptr : left_.rows.data();
  if (!scorer.given.empty()) {
    const std::size_t width = scorer.given.size();
    make_room(given_, left_.count * static_cast<std::int64_t>(width));
    for (std::size_t i = 0; i < width; ++i) {
      const std::vector<float>& from = left_.slots[scorer.given[i]];
      for (std::int64_t c = 0; c < left_.count; ++c) given_[c * width + i] = from[c];
    }
    call.given = given_.data();
  }
  return call;
}

}  // namespace recfunnel
