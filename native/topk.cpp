#include "topk.hpp"

#include <algorithm>
#include <limits>

namespace recfunnel {
namespace {

constexpr std::int64_t kSpare = 512;  // room for new scores before the buffer is cut to k again
constexpr int kAtOnce = 64;

}  // namespace

void TopK::reset(const Kernels& kernels, std::int64_t k) {
  kernels_ = &kernels;
  k_ = k;
  size_ = 0;
  threshold_ = -std::numeric_limits<float>::infinity();
  const auto room = static_cast<std::size_t>(2 * k + kSpare);
  if (scores_.size() < room) {
    scores_.resize(room);
    positions_.resize(room);
  }
}

void TopK::feed(const float* scores, int count, std::int64_t first) {
  for (int start = 0; start < count; start += kAtOnce) {
    const int step = std::min(kAtOnce, count - start);
    if (size_ + step + kMaxLanes > static_cast<std::int64_t>(scores_.size())) shrink();
    size_ = kernels_->collect_above(scores + start, step, threshold_, first + start,
                                    scores_.data(), positions_.data(), static_cast<int>(size_));
  }
}

void TopK::merge(const TopK& other) {
  const auto both = static_cast<std::size_t>(size_ + other.size_);
  if (scores_.size() < both) {
    scores_.resize(both);
    positions_.resize(both);
  }
  std::copy_n(other.scores_.begin(), other.size_, scores_.begin() + size_);
  std::copy_n(other.positions_.begin(), other.size_, positions_.begin() + size_);
  size_ += other.size_;
}

// Leaves those above the threshold, and the first `most_equal` of those that equal it.
void TopK::keep_from_threshold(std::int64_t most_equal) {
  size_ = kernels_->keep_from(scores_.data(), positions_.data(), static_cast<int>(size_),
                              threshold_, static_cast<int>(most_equal));
}

// Sets the threshold to the k-th best; how many are better.
std::int64_t TopK::find_threshold() {
  const KthLargest found =
      kernels_->kth_largest(scores_.data(), static_cast<int>(size_), static_cast<int>(k_));
  threshold_ = found.value;
  return found.num_above;
}

// Leaves the best k. Of those that equal the k-th, the first ones stay.
void TopK::shrink() {
  if (size_ > k_) keep_from_threshold(k_ - find_threshold());
}

void TopK::finish() {
  if (!std::is_sorted(positions_.begin(), positions_.begin() + size_)) {  // several threads' scores
    if (size_ > k_) {
      find_threshold();
      keep_from_threshold(size_);
    }
    sort();
  }
  shrink();
}

void TopK::sort() {
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
