#include "topk.hpp"

#include <algorithm>
#include <limits>

namespace recfunnel {
namespace {

constexpr std::int64_t kSpare = 1024;  // room for new scores before the buffer is cut to k again
constexpr int kAtOnce = 64;

}  // namespace

void TopK::reset(std::int64_t k) {
  k_ = k;
  size_ = 0;
  threshold_ = -std::numeric_limits<float>::infinity();
  const auto room = static_cast<std::size_t>(2 * k + kSpare);
  if (scores_.size() < room) {
    scores_.resize(room);
    positions_.resize(room);
  }
}

void TopK::feed(const Kernels& kernels, const float* scores, int count, std::int64_t first) {
  for (int start = 0; start < count; start += kAtOnce) {
    const int step = std::min(kAtOnce, count - start);
    if (size_ + step + kMaxLanes > static_cast<std::int64_t>(scores_.size())) shrink();
    size_ = kernels.collect_above(scores + start, step, threshold_, first + start, scores_.data(),
                                  positions_.data(), static_cast<int>(size_));
  }
}

void TopK::merge(const TopK& other) {
  for (std::int64_t i = 0; i < other.size_; ++i) {
    if (size_ == static_cast<std::int64_t>(scores_.size())) shrink();
    scores_[size_] = other.scores_[i];
    positions_[size_++] = other.positions_[i];
  }
}

void TopK::shrink() {
  if (size_ <= k_) return;
  order_.resize(static_cast<std::size_t>(size_));
  for (std::int64_t i = 0; i < size_; ++i) order_[i] = {scores_[i], positions_[i]};
  const auto better = [](const Kept& a, const Kept& b) {
    return a.score > b.score || (a.score == b.score && a.position < b.position);
  };
  if (k_ > 0) {
    std::nth_element(order_.begin(), order_.begin() + (k_ - 1), order_.end(), better);
    threshold_ = order_[k_ - 1].score;
  }
  size_ = k_;
  for (std::int64_t i = 0; i < size_; ++i) {
    scores_[i] = order_[i].score;
    positions_[i] = order_[i].position;
  }
}

void TopK::finish() {
  shrink();
  order_.resize(static_cast<std::size_t>(size_));
  for (std::int64_t i = 0; i < size_; ++i) order_[i] = {scores_[i], positions_[i]};
  std::sort(order_.begin(), order_.end(),
            [](const Kept& a, const Kept& b) { return a.position < b.position; });
  for (std::int64_t i = 0; i < size_; ++i) {
    scores_[i] = order_[i].score;
    positions_[i] = order_[i].position;
  }
}

}  // namespace recfunnel
